"""Scenario files: read, checked, expanded and turned into frozen values before anything runs."""

from __future__ import annotations

from faultline.scenario.load import find, load_all
from faultline.scenario.load import load as load_scenarios
from faultline.scenario.model import Expectation, OrdersWorkload, Scenario, VenueSpec

__all__ = ["Expectation", "OrdersWorkload", "Scenario", "VenueSpec", "find", "load_all", "load_scenarios"]
