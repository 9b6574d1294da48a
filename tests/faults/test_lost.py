from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from faultline.faults import LostRequest, LostResponse
from faultline.faults.actions import Action, Cut
from faultline.faults.points import Moment

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


@pytest.mark.parametrize(("fault", "phase"), [(LostRequest(), "before"), (LostResponse(), "after")])
def test_the_way_it_is_lost_is_drawn_for_each_when_not_given(
    fault: LostRequest | LostResponse, phase: str, moment: Make, decide: Decide
) -> None:
    answers = decide(fault, *[moment(entity=f"I{n}", phase=phase) for n in range(300)])
    ways = Counter(action.how for (action,) in answers if isinstance(action, Cut))
    assert set(ways) == {"fin", "rst", "silence"}
    assert min(ways.values()) > 60


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_the_way_it_is_lost_is_the_one_given(how: str, moment: Make, decide: Decide) -> None:
    fault = LostResponse(how=how)  # type: ignore[arg-type]
    assert decide(fault, moment(phase="after")) == [(Cut(how=how),)]  # type: ignore[arg-type]


def test_part_of_a_response_may_still_arrive(moment: Make, decide: Decide) -> None:
    assert decide(LostResponse(how="fin", sent_bytes=40), moment(phase="after")) == [(Cut(40, "fin"),)]


def test_a_web_socket_close_is_no_way_to_lose_a_response() -> None:
    with pytest.raises(ValueError, match="how is 'close'; it is one of fin, rst, silence"):
        LostResponse(how="close")  # type: ignore[arg-type]
