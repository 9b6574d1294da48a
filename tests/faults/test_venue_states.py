"""Unknown execution status, bans, maintenance, and the races between a venue's answers and its stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from faultline.faults.actions import Delay, Reply
from faultline.faults.closed import Ban, Maintenance
from faultline.faults.points import Moment, Plane
from faultline.faults.races import CancelRace, FillBeforeAck
from faultline.faults.unknown import UnknownStatus

Decide = Callable[..., list[tuple[Any, ...]]]
Make = Callable[..., Moment]


@pytest.mark.parametrize("phase", ["before", "after"])
def test_an_unknown_status_strikes_one_side_of_the_effect(decide: Decide, moment: Make, phase: str) -> None:
    fault = UnknownStatus(phase=phase, first=1)  # type: ignore[arg-type]
    here, there = moment(phase=phase), moment(phase="after" if phase == "before" else "before")
    (nothing,), (struck,) = decide(fault, there)[:1], decide(fault, here)
    assert nothing == ()
    assert struck[0].status == 504


@pytest.mark.parametrize(
    ("says", "status", "code"),
    [
        ("binance -1006", 500, -1006),
        ("binance -1007", 504, -1007),
        ("okx 50004", 400, "50004"),
        ("okx 51054", 500, "51054"),
        ("okx 51149", 500, "51149"),
        ("mexc 504", 504, 504),
    ],
)
def test_an_unknown_status_is_said_in_the_venues_words(
    decide: Decide, moment: Make, says: str, status: int, code: Any
) -> None:
    ((reply,),) = decide(UnknownStatus(says=says), moment(phase="after"))  # type: ignore[arg-type]
    assert isinstance(reply, Reply)
    assert (reply.status, json.loads(reply.body)["code"]) == (status, code)


def test_a_venue_is_refused_another_venues_words() -> None:
    assert UnknownStatus(says="okx 51149").misfit("okx") == ""
    assert UnknownStatus().misfit("okx") == ""
    assert "binance venue does not speak" in UnknownStatus(says="okx 51149").misfit("binance")
    with pytest.raises(ValueError, match="says"):
        UnknownStatus(says="nothing")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="phase"):
        UnknownStatus(phase="during")  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "status"), [(Ban, 418), (Maintenance, 503)])
def test_a_closed_venue_says_until_when(decide: Decide, moment: Make, kind: type[Ban], status: int) -> None:
    fault = kind(during_s=(10.0, 30.0))
    before, within, later, last, over = decide(fault, *(moment("GET /time", t_s=t) for t in (9.9, 10, 12.3, 29.99, 30)))
    assert before == over == ()
    told = [(one[0].status, dict(one[0].headers)["Retry-After"]) for one in (within, later, last)]
    assert told == [(status, "20"), (status, "18"), (status, "1")]
    assert decide(fault, moment(phase="after", t_s=12)) == [()]


def test_a_ban_without_an_end_does_not_tell_one(decide: Decide, moment: Make) -> None:
    ((reply,),) = decide(Ban(), moment())
    assert "Retry-After" not in dict(reply.headers)


def test_races_delay_one_of_the_two(decide: Decide, moment: Make) -> None:
    assert decide(FillBeforeAck(), moment(phase="before"), moment(phase="after")) == [(), (Delay(1.0),)]
    cancel = "DELETE /orders/{id}"
    assert decide(CancelRace(), moment(), moment(cancel), moment(cancel, phase="after")) == [(), (Delay(0.5),), ()]
    assert CancelRace().about(Plane.MESSAGE, cancel, "before")
    with pytest.raises(ValueError, match="by"):
        CancelRace(by_s=-1.0)
