from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from faultline.faults import StatusStorm
from faultline.faults.actions import Action, Reply
from faultline.faults.points import Moment

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]
WALL_S = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()


def reply(decide: Decide, fault: StatusStorm, here: Moment) -> Reply:
    [(action,)] = decide(fault, here)
    assert isinstance(action, Reply)
    return action


def retry_after(action: Reply) -> str | None:
    return dict(action.headers).get("Retry-After")


@pytest.mark.parametrize("status", [418, 429, 500, 502, 503, 504, 520])
def test_it_answers_with_the_status_and_a_json_error(status: int, moment: Make, decide: Decide) -> None:
    answer = reply(decide, StatusStorm(status=status), moment())
    assert answer.status == status
    assert set(json.loads(answer.body)) == {"error", "message"}
    assert dict(answer.headers)["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"retry_after_s": 2.0}, "2"),
        ({"retry_after_s": 1.2}, "2"),
        ({"retry_after_s": 0.0}, "0"),
        ({"retry_after_s": 2.0, "retry_after_form": "none"}, None),
        ({"retry_after_s": 2.0, "retry_after_form": "garbage"}, "soon"),
        ({"retry_after_form": "garbage"}, "soon"),
        ({"retry_after_s": 90.0, "retry_after_form": "http_date"}, "Sun, 01 Mar 2026 12:01:30 GMT"),
    ],
)
def test_retry_after_is_written_as_asked(
    given: dict[str, Any], expected: str | None, moment: Make, decide: Decide
) -> None:
    assert retry_after(reply(decide, StatusStorm(status=429, **given), moment(wall_s=WALL_S))) == expected


def test_a_date_never_lies_earlier_than_asked(moment: Make, decide: Decide) -> None:
    fault = StatusStorm(status=429, retry_after_s=1.5, retry_after_form="http_date")
    text = retry_after(reply(decide, fault, moment(wall_s=WALL_S + 0.7)))
    assert text is not None
    assert parsedate_to_datetime(text).timestamp() == WALL_S + 3


def test_it_strikes_on_its_own_side_of_the_effect(moment: Make, decide: Decide) -> None:
    here = [moment(phase="before"), moment(phase="after")]
    assert [bool(actions) for actions in decide(StatusStorm(), *here)] == [True, False]
    assert [bool(actions) for actions in decide(StatusStorm(phase="after"), *here)] == [False, True]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"status": 200}, "between 400 and 599"),
        ({"status": 429, "phase": "after"}, "promises that nothing was done"),
        ({"retry_after_form": "http_date"}, "needs retry_after"),
    ],
)
def test_an_answer_that_no_venue_gives_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        StatusStorm(**given)


def test_a_request_timeout_may_have_been_carried_out() -> None:
    assert StatusStorm(status=408, phase="after").status == 408
