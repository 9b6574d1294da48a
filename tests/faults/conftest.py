"""Makes moments and faults, and asks the one about the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import strategies as st

from faultline.faults import FAULTS, Fault
from faultline.faults.actions import Action
from faultline.faults.chance import Chance
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


ENTITIES = ("I1", "I2", "I3", "I4")


def _points() -> Iterator[Point]:
    """Every sort of point that a run asks at, several of each."""
    endpoints = ("POST /orders", "DELETE /orders/{id}", "GET /fills", "POST /auth/token")
    for endpoint, entity, nth, phase in product(endpoints, ENTITIES, (1, 2, 3), ("before", "after")):
        yield Point(Plane.MESSAGE, endpoint, entity, nth, phase)
    for stream, entity, nth in product(("stream user", "stream public"), ENTITIES, (1, 2, 3)):
        yield Point(Plane.MESSAGE, stream, f"{entity}/1", nth, "out")
    for label, connection in product(("rest", "stream"), ("1", "2", "3")):
        yield Point(Plane.STREAM, label, connection, 0, "connect")
        for offset, phase in product(range(0, 250, 50), ("up", "down")):
            yield Point(Plane.STREAM, label, connection, offset, phase)
    for label, nth in product(("rest", "stream"), (1, 2, 3)):
        yield Point(Plane.STREAM, label, str(nth), 0, "resolve")
    for endpoint, entity in product(("match", "accept", "read"), ENTITIES):
        yield Point(Plane.VENUE, endpoint, entity, 1, "decide")
    for entity, nth, phase in product(ENTITIES, (1, 2, 3), ("before", "after")):
        yield Point(Plane.TARGET, "store", entity, nth, phase)


def _moment(point: Point, chance: Chance) -> Moment:
    t_s = chance.uniform(0, 30)
    on_link = point.plane is Plane.STREAM and point.phase != "resolve"
    return Moment(
        point,
        t_s,
        headers={"authorization": "Bearer x"} if point.phase in ("before", "after") else {},
        topic=chance.chosen(["fills", "orders"]) if point.phase == "out" else "",
        connection=int(point.entity) if on_link else chance.chosen([1, 2, 3]),
        marks={"fill": 2.0} if t_s >= 2 else {},
        size_bytes=50 if point.phase in ("up", "down") else 0,
    )


def a_run(seed: int) -> list[Moment]:
    """The moments of a run: every point once, in the order of times drawn from ``seed``."""
    moments = [_moment(point, Chance("run", seed).child(point)) for point in _points()]
    return sorted(moments, key=lambda moment: moment.t_s)


_TIMES = st.one_of(
    st.just({}),
    st.builds(lambda begin, length: {"during_s": (begin, begin + length)}, st.floats(0, 20), st.floats(0.1, 20)),
    st.builds(lambda at: {"at_s": at}, st.floats(0, 20)),
    st.builds(lambda at, length: {"at_s": at, "for_s": length}, st.floats(0, 20), st.floats(0.1, 9)),
    st.builds(
        lambda every, share, jitter: {"every_s": every, "for_s": every * share, "every_jitter_s": every * jitter},
        st.floats(1, 9),
        st.floats(0.1, 0.9),
        st.floats(0, 0.5),
    ),
    st.builds(lambda every: {"every_s": every}, st.floats(1, 9)),
    st.builds(lambda length: {"after": "fill", "for_s": length}, st.floats(0.1, 20)),
)
_COUNTS = st.one_of(
    st.just({}),
    st.builds(lambda nth: {"nth": nth}, st.integers(1, 4) | st.tuples(st.integers(1, 2), st.integers(3, 5))),
    st.builds(lambda first: {"first": first}, st.integers(1, 4)),
    st.builds(lambda attempt: {"attempt": attempt}, st.integers(1, 3)),
    st.builds(lambda connection: {"connection": connection}, st.integers(1, 3)),
)
_PATTERNS = ("*", "*", "POST /orders", "* /orders*", "stream user", "rest", "stream", "store")


_WHERE = {(point.plane, point.endpoint, point.phase) for point in _points()}


def _fault(kind: str, *given: dict[str, Any]) -> Fault | None:
    try:
        fault = FAULTS[kind](**{name: value for each in given for name, value in each.items()})
    except ValueError:
        return None
    ticking = fault.by_the_clock
    return fault if ticking or any(fault.about(*where) for where in _WHERE) else None


def a_fault() -> st.SearchStrategy[Fault]:
    """Any kind, anywhere, at any time that makes sense for it."""
    made = st.builds(
        _fault,
        st.sampled_from(sorted(FAULTS)),
        _TIMES,
        _COUNTS,
        st.just({}) | st.builds(lambda on: {"on": on}, st.sampled_from(_PATTERNS)),
        st.just({}) | st.builds(lambda chance: {"probability": chance}, st.sampled_from([0.25, 0.5, 0.75])),
    )
    return made.filter(lambda fault: fault is not None).map(lambda fault: fault)  # type: ignore[return-value, arg-type]


@pytest.fixture(scope="session")
def some_run() -> st.SearchStrategy[list[Moment]]:
    """Strategy: the moments of a run."""
    return st.builds(a_run, st.integers(0, 50))


@pytest.fixture(scope="session")
def some_faults() -> st.SearchStrategy[list[Fault]]:
    """Strategy: the faults of a scenario."""
    return st.lists(a_fault(), min_size=2, max_size=6)
