"""Which runs are taken for one another."""

from __future__ import annotations

from faultline.history import Contract, History
from faultline.history.event import (
    Answer,
    Answered,
    Belief,
    Boot,
    Contracted,
    Crashed,
    Effect,
    Event,
    OrderBelief,
    Received,
    Resolved,
    Struck,
)
from faultline.search.coverage import trace_of


def order(t: float = 1.0, ident: str = "order1", intent: str = "I1") -> Effect:
    return Effect(t, 1, "order", ident, intent, "key", "", "working", key="k1")


def asked(t: float = 0.5, nth: int = 1, key: str = "k1") -> Received:
    return Received(t, nth, 1, "POST /orders", "I1", nth, key=key)


BASE: tuple[Event, ...] = (Boot(0.0, 1), asked(), order(), Answered(1.1, 1, 201), Answer(1.2, "I1", "ok", 1))


def trace(*events: Event, seed: int = 0) -> str:
    told = History([Contracted(0.0, Contract("test"), seed), *events])
    told.seal()
    return trace_of(told)


def test_times_ids_and_receipts_make_no_difference() -> None:
    struck = Struck(0.6, 1, "lost_response", "message", "POST /orders", "I1", 1, "after", "cut")
    later = (Boot(0.0, 1), asked(9.5, key="k7"), order(10.0, "order9"), Answered(12.0, 1, 201))
    said = Answer(99.0, "I1", "ok", 1)
    assert trace(*BASE) == trace(*later, said) == trace(*later, struck, Resolved(12.5, 1, "applied"), said)


def test_what_went_over_the_wire_and_what_came_of_it_does() -> None:
    different = [
        BASE,
        BASE[:-1],
        (*BASE[:-1], Answer(1.2, "I1", "info", 1)),
        (*BASE[:3], Answered(1.1, 1, 201, "lost"), BASE[4]),
        (*BASE[:3], Answered(1.1, 1, 503), BASE[4]),
        (*BASE, asked(nth=2)),
        (*BASE, order(2.0, "order2")),
        (*BASE, order(2.0, "order2", "I2")),
        (*BASE, Crashed(2.0, 1, "fin"), Boot(3.0, 2)),
        (*BASE, Belief(2.0, 1, (OrderBelief("I1", "working"),))),
        (*BASE, Belief(2.0, 1, (OrderBelief("I1", "filled"),))),
        (BASE[0], BASE[2], BASE[1], *BASE[3:]),
    ]
    assert len({trace(*events) for events in different}) == len(different)
