"""Makes moments and asks faults about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from faultline.faults import Fault
from faultline.faults.actions import Action
from faultline.faults.deciders import Rules
from faultline.faults.points import Moment, Plane, Point


def make_moment(
    endpoint: str = "POST /orders",
    entity: str = "I1",
    nth: int = 1,
    phase: str = "before",
    *,
    plane: Plane = Plane.MESSAGE,
    t_s: float = 1.0,
    **more: Any,
) -> Moment:
    return Moment(Point(plane, endpoint, entity, nth, phase), t_s, **more)


def ask(fault: Fault, *moments: Moment, seed: int = 0) -> list[tuple[Action, ...]]:
    rules = Rules([fault], seed)
    return [tuple(decision.action for decision in rules.decide(moment)) for moment in moments]


@pytest.fixture(scope="session")
def moment() -> Callable[..., Moment]:
    """Makes a moment: a request before its effect, unless told otherwise."""
    return make_moment


@pytest.fixture(scope="session")
def decide() -> Callable[..., list[tuple[Action, ...]]]:
    """Asks a fault about moments in turn; gives the actions at each."""
    return ask
