"""How long things took, read from a history."""

from __future__ import annotations

import pytest

from faultline.history import Contract, History
from faultline.history.event import Answer, Answered, Contracted, Delivered, Effect, Event, Intent, Received, Struck
from faultline.history.operations import operations, rank, requests, timing


def history(*events: Event) -> History:
    return History([Contracted(0.0, Contract("v"), 0), *events])


def asked(request: int, sent_t: float, answered_t: float | None, entity: str = "-", **more: object) -> list[Event]:
    events: list[Event] = [Received(sent_t + 0.5, request, 1, "GET /x", entity, request, sent_t, **more)]  # type: ignore[arg-type]
    return events if answered_t is None else [*events, Answered(answered_t, request, 200)]


def struck(t: float, nth: int, plane: str = "message") -> Struck:
    return Struck(t, nth, "f", plane, "GET /x", "-", nth, "after", "Cut()")


def test_an_operation_lasts_until_its_first_answer() -> None:
    found = operations(
        history(
            Intent(1.0, "A", "place"), Answer(1.5, "A", "info", 1), Answer(9.0, "A", "ok", 1), Intent(2.0, "B", "place")
        )
    )
    assert [(each.intent, each.t, each.end_t, each.outcome) for each in found] == [
        ("A", 1.0, 1.5, "info"),
        ("B", 2.0, None, None),
    ]


def test_a_request_lasts_from_the_send_and_is_not_charged_when_faultline_made_it() -> None:
    copy = asked(3, 5.0, 6.0, injected=True)
    found = requests(history(*asked(1, 1.0, 2.0), *asked(2, 3.0, None), *copy))
    assert [(each.request, each.t, each.end_t, each.status, each.fate) for each in found] == [
        (1, 1.0, 2.0, 200, "sent"),
        (2, 3.0, None, 0, "none"),
    ]


@pytest.mark.parametrize(
    ("strike", "counted"),
    [
        (struck(1.5, 2), [1.0, 3.0]),  # this request itself
        (struck(4.0, 9, "stream"), [1.0, 2.0]),  # the connections, while the third was under way
        (struck(90.0, 9, "stream"), [1.0, 2.0, 3.0]),  # long after
    ],
)
def test_only_what_no_fault_touched_says_how_fast_requests_are(strike: Struck, counted: list[float]) -> None:
    events = [*asked(1, 0.0, 1.0), *asked(2, 1.2, 3.2), *asked(3, 3.5, 6.5), strike]
    found = timing(history(*sorted(events, key=lambda event: event.t)))
    assert (found.requests, found.request_max_s) == (len(counted), pytest.approx(counted[-1]))


def test_a_message_lasts_from_its_fill_and_its_repetition_does_not_count() -> None:
    def told(t: float, fill: str, fate: str = "sent", nth: int = 1) -> Delivered:
        return Delivered(t, 1, "user", "fills", 1, "A/1", nth, fill, fate)  # type: ignore[arg-type]

    def filled(t: float, fill: str) -> Effect:
        return Effect(t, 1, "fill", "o", "A", "order", "new", "filled", fill=fill, quantity="1", filled="1")

    found = timing(
        history(
            filled(1.0, "f1"), told(1.25, "f1"), told(9.0, "f1", nth=2), filled(2.0, "f2"), told(2.0, "f2", "dropped")
        )
    )
    assert (found.messages, found.message_max_s) == (1, 0.25)


def test_percentiles_are_of_the_nearest_rank_and_nothing_has_none() -> None:
    assert rank([], 0.5) is None
    assert [rank([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.75, 0.99, 1.0)] == [1.0, 2.0, 3.0, 4.0, 4.0]
    assert timing(history()).operation_p50_s is None
