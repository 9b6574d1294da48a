"""Where two runs of one seed part."""

from __future__ import annotations

from faultline.history import History
from faultline.history.event import Boot, Event, Phase
from faultline.search.repeat import Difference, first_difference


def sealed(*events: Event, wire: str = "") -> History:
    history = History(events)
    history.seal(wire)
    return history


def test_equal_runs_do_not_part() -> None:
    assert first_difference(sealed(Boot(0.0, 1)), sealed(Boot(0.0, 1))) is None


def test_the_first_event_that_differs_is_shown_from_both() -> None:
    first = sealed(Phase(0.0, "load"), Boot(0.1, 1), Boot(0.3, 2))
    second = sealed(Phase(0.0, "load"), Boot(0.2, 1), Boot(0.4, 2))
    found = first_difference(first, second)
    assert found == Difference(1, '{"kind":"boot","t":0.1,"incarnation":1}', '{"kind":"boot","t":0.2,"incarnation":1}')


def test_one_history_may_go_on_where_the_other_ends() -> None:
    found = first_difference(sealed(Boot(0.0, 1)), sealed(Boot(0.0, 1), Boot(1.0, 2)))
    assert found is not None
    assert (found.index, found.first) == (1, "the history ends here")


def test_equal_events_over_another_wire_are_a_difference_too() -> None:
    found = first_difference(sealed(Boot(0.0, 1), wire="a"), sealed(Boot(0.0, 1), wire="b"))
    assert found is not None
    assert found.index is None
