from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from faultline.faults import Bandwidth, Fault, Latency, Slicer
from faultline.faults.actions import Action, Delay
from faultline.faults.points import Moment, Plane

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


def segment(moment: Make, offset: int, phase: str = "up", connection: int = 1, label: str = "rest") -> Moment:
    return moment(label, str(connection), offset, phase, plane=Plane.STREAM, size_bytes=10)


def delays(answers: list[tuple[Action, ...]]) -> list[float]:
    return [action.delay_s for actions in answers for action in actions if isinstance(action, Delay)]


def test_jitter_is_drawn_for_each_segment_and_spread_evenly(moment: Make, decide: Decide) -> None:
    fault = Latency(delay_s=0.1, jitter_s=0.04)
    drawn = delays(decide(fault, *[segment(moment, 10 * n) for n in range(1000)]))
    assert len(set(drawn)) == 1000
    assert 0.06 <= min(drawn) < 0.062
    assert 0.138 < max(drawn) <= 0.14
    assert abs(sum(drawn) / 1000 - 0.1) < 0.004


def test_a_delay_is_never_negative(moment: Make, decide: Decide) -> None:
    fault = Latency(delay_s=0.01, jitter_s=0.5)
    drawn = delays(decide(fault, *[segment(moment, n) for n in range(100)]))
    assert min(drawn) == 0
    assert max(drawn) > 0.4


@pytest.mark.parametrize("kind", [Latency, Bandwidth, Slicer])
@pytest.mark.parametrize(
    ("direction", "expected"), [("up", [True, False]), ("down", [False, True]), ("both", [True, True])]
)
def test_a_direction_is_kept(
    kind: type[Fault], direction: str, expected: list[bool], moment: Make, decide: Decide
) -> None:
    given: dict[str, Any] = {"direction": direction}
    answers = decide(kind(**given), segment(moment, 0, "up"), segment(moment, 0, "down"))
    assert [bool(actions) for actions in answers] == expected


def test_on_and_connection_narrow_it(moment: Make, decide: Decide) -> None:
    here = [
        segment(moment, 0, label=label, connection=connection) for label in ("rest", "stream") for connection in (1, 2)
    ]
    assert [bool(actions) for actions in decide(Latency(on="stream"), *here)] == [False, False, True, True]
    assert [bool(actions) for actions in decide(Latency(connection=2), *here)] == [False, True, False, True]


def test_probability_decides_a_connection_as_a_whole(moment: Make, decide: Decide) -> None:
    fault = Latency(probability=0.4)
    places = product(range(1, 301), (0, 10, 20), ("up", "down"))
    here = [segment(moment, offset, phase, connection) for connection, offset, phase in places]
    struck = [bool(actions) for actions in decide(fault, *here)]
    by_connection = [set(struck[6 * n : 6 * n + 6]) for n in range(300)]
    assert all(len(answers) == 1 for answers in by_connection)
    assert 85 < sum(True in answers for answers in by_connection) < 155


def test_the_jitter_of_a_scenario_is_that_of_the_delay() -> None:
    assert Latency.synonyms == {}
    assert Bandwidth.synonyms == {"jitter": "every_jitter_s"}
