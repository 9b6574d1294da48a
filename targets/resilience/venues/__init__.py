"""Adapters: each speaks one venue's REST dialect behind the seam of :mod:`targets.resilience.venue`."""
