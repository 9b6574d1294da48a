"""Oracles: one property each, checked on a finished history."""
