"""Profiles of real venues: each speaks its venue's own API closely enough for the published clients of that venue.

docs/venues.md says what is modelled of each, from which sources, and what is not.
"""
