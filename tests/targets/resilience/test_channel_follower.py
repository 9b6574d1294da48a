"""One channel under any interleaving: snapshots, messages, repetitions, reorderings, losses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.resilience import channel_follower
from targets.resilience.channel_follower import ChannelFollower, ResyncError
from targets.resilience.channel_model import Channel, Delta, Heartbeat, Page, Snapshot
from targets.resilience.sequence import Sequence
from tests.targets.resilience.ledger import Ledger, Store, ask, fold

Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["emit", "emit silently", "say again"]), st.integers(0, 30)),
        st.tuples(st.sampled_from(["ask", "answer", "beat", "reconnect"]), st.integers(0, 3)),
    ),
    max_size=40,
)


def following(ledger: Ledger, store: Store, *, buffer_max: int = 1000, **options: Any) -> ChannelFollower:
    return ChannelFollower(Channel("c", ledger, lambda *arguments: (), **options), store, buffer_max)


async def play(steps: list[Step], ledger: Ledger, store: Store, follower: ChannelFollower) -> None:
    """Do what the steps say, then let the faults end."""
    fetching: asyncio.Task[None] | None = None
    for kind, number in steps:
        if kind.startswith("emit"):
            delta = ledger.emit(f"k{number % 4}", None if number % 5 == 0 else number)
            if kind == "emit":
                await follower.take(delta)
        elif kind == "say again" and ledger.changes:
            await follower.take(ledger.delta(1 + number % len(ledger.changes)))
        elif kind == "beat" and ledger.numbered:
            await follower.take(Heartbeat(len(ledger.changes)))
        elif kind == "reconnect":
            follower.lost()
        elif kind == "ask" and fetching is None:
            ledger.gate, ledger.lag = asyncio.Event(), number
            fetching = asyncio.create_task(follower.fetch(ask))
            await asyncio.sleep(0)
        elif kind == "answer" and fetching is not None and ledger.gate is not None:
            ledger.gate.set()
            await asyncio.wait({fetching})
            assert isinstance(fetching.exception(), ResyncError | None)
            fetching = None
    ledger.gate, ledger.lag = None, 0
    if fetching is not None:
        fetching.cancel()
        await asyncio.wait({fetching})
    await follower.fetch(ask)


@given(STEPS)
def test_an_ordered_channel_is_the_fold_of_the_ledger_at_every_moment(steps: list[Step]) -> None:
    ledger, store = Ledger(), Store()
    asyncio.run(play(steps, ledger, store, following(ledger, store, ordered=True)))
    for read, state in store.history:
        assert not read.ahead
        assert state == fold(ledger.changes[: read.contiguous])
    contiguous = [read.contiguous for read, _ in store.history]
    assert contiguous == sorted(contiguous)
    assert store.state["c"] == fold(ledger.changes)


@given(STEPS)
def test_a_numbered_log_takes_everything_in_exactly_once(steps: list[Step]) -> None:
    ledger, store = Ledger(log=True), Store()
    asyncio.run(play(steps, ledger, store, following(ledger, store)))
    assert sorted(store.events, key=str) == sorted(ledger.changes, key=str)
    assert store.read("c") == Sequence(len(ledger.changes))


@given(STEPS)
def test_a_log_without_numbers_takes_everything_in_once_by_its_ids(steps: list[Step]) -> None:
    ledger, store = Ledger(log=True, numbered=False), Store()
    asyncio.run(play(steps, ledger, store, following(ledger, store)))
    assert sorted(store.events, key=str) == sorted(ledger.changes, key=str)


@given(STEPS)
def test_a_collection_whose_messages_stand_alone_ends_as_the_ledger_does(steps: list[Step]) -> None:
    ledger, store = Ledger(), Store()
    # Every key is written once: what stands alone does not depend on the order in which it comes.
    alone = [
        (kind, 1 + index * 10 if kind.startswith("emit") else number) for index, (kind, number) in enumerate(steps)
    ]
    real_emit = ledger.emit
    ledger.emit = lambda key, value: real_emit(f"k{value}", value)  # type: ignore[method-assign]
    asyncio.run(play(alone, ledger, store, following(ledger, store)))
    assert store.state["c"] == fold(ledger.changes)


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


@pytest.mark.parametrize("snapshots_numbered", [True, False])
def test_a_message_that_stands_alone_is_applied_while_a_snapshot_is_fetched_and_survives_it(
    snapshots_numbered: bool,
) -> None:
    async def test() -> None:
        ledger, store = Ledger(), Store()
        ledger.snapshots_numbered = snapshots_numbered
        follower = following(ledger, store)
        await follower.take(ledger.emit("a", 1))
        ledger.gate = asyncio.Event()
        fetching = asyncio.create_task(follower.fetch(ask))
        await asyncio.sleep(0)
        await follower.take(ledger.emit("b", 2))
        assert store.state["c"] == {"a": 1, "b": 2}
        ledger.gate.set()
        await fetching
        assert store.state["c"] == {"a": 1, "b": 2}
        # In one commit: at no moment was the newer message gone.
        assert all("b" in state for _, state in store.history[1:])

    run(test)


def test_a_snapshot_replaces_what_was_known_and_is_not_merged_into_it() -> None:
    async def test() -> None:
        ledger, store = Ledger(numbered=False), Store()
        follower = following(ledger, store)
        await follower.take(ledger.emit("a", 1))
        ledger.emit("a", None)
        ledger.emit("b", 2)
        await follower.fetch(ask)
        assert store.state["c"] == {"b": 2}

    run(test)


def test_an_older_snapshot_never_replaces_newer_state_whether_fetched_or_pushed() -> None:
    async def test() -> None:
        ledger, store = Ledger(), Store()
        follower = following(ledger, store)
        for value in (1, 2, 3):
            await follower.take(ledger.emit("a", value))
        ledger.lag = 2
        with pytest.raises(ResyncError, match="snapshot of 1, and 3"):
            await follower.fetch(ask)
        with pytest.raises(ResyncError):
            await follower.take(Snapshot((("a", 1),), 1))
        assert store.state["c"] == {"a": 3}
        # A pushed snapshot that is newer than the one still being fetched wins over it.
        ledger.lag, ledger.gate = 0, asyncio.Event()
        fetching = asyncio.create_task(follower.fetch(ask))
        await asyncio.sleep(0)
        ledger.emit("a", 4)
        await follower.take(Snapshot((("a", 4),), 4))
        ledger.gate.set()
        with pytest.raises(ResyncError):
            await fetching
        assert store.state["c"] == {"a": 4}

    run(test)


def test_messages_that_stand_for_several_numbers_fit_where_they_overlap_the_snapshot() -> None:
    async def test() -> None:
        ledger, store = Ledger(), Store()
        follower = following(ledger, store, ordered=True)
        for value in range(1, 6):
            ledger.emit("a", value)
        await follower.fetch(ask)  # up to 5
        await follower.take(Delta(("a", 4), sequence=4, first=3))
        await follower.take(Delta(("a", 9), sequence=9, first=8))
        assert (store.state["c"], follower.missing) == ({"a": 5}, True)
        await follower.take(Delta(("a", 7), sequence=7, first=5))
        assert (store.state["c"], follower.missing) == ({"a": 9}, False)
        assert store.read("c") == Sequence(9)

    run(test)


def test_numbers_may_begin_anew_with_each_connection() -> None:
    async def test() -> None:
        ledger, store = Ledger(), Store()
        follower = following(ledger, store, ordered=True, restarts=True)
        for value in range(1, 6):
            ledger.emit("a", value)
        await follower.fetch(ask)
        follower.lost()
        await follower.take(Delta(("z", 1), sequence=6))  # a sixth of the new numbers, not of the old ones
        assert store.state["c"] == {"a": 5}
        follower.lost()
        ledger.changes = [("b", 1)]
        await follower.fetch(ask)
        await follower.take(ledger.emit("b", 2))
        assert (store.state["c"], store.read("c"), follower.missing) == ({"b": 2}, Sequence(2), False)

    run(test)
    with pytest.raises(ValueError, match="restarts"):
        Channel("c", Ledger(), lambda *arguments: (), restarts=True)


def test_a_correction_of_an_event_counts_although_its_id_and_number_are_known() -> None:
    async def test() -> None:
        ledger, store = Ledger(log=True), Store()
        follower = following(ledger, store)
        trade = ledger.emit("fill", 5)
        voided = Delta(("fill", None), id=trade.id, sequence=trade.sequence, revision=1)
        for delta in (trade, trade, voided, voided, trade):
            await follower.take(delta)
        assert store.events == [("fill", 5), ("fill", None)]
        assert store.state["c"] == {}

    run(test)


def test_more_messages_than_the_buffer_holds_spoil_the_snapshot_and_no_memory() -> None:
    async def test() -> None:
        ledger, store = Ledger(), Store()
        follower = following(ledger, store, ordered=True, buffer_max=5)
        ledger.gate = asyncio.Event()
        fetching = asyncio.create_task(follower.fetch(ask))
        await asyncio.sleep(0)
        for value in range(20):
            await follower.take(ledger.emit("a", value))
        ledger.gate.set()
        with pytest.raises(ResyncError, match="more than 5 messages"):
            await fetching
        await follower.fetch(ask)
        assert (store.state["c"], follower.missing) == ({"a": 19}, False)
        for number in range(30, 60):
            await follower.take(Delta(("a", 1), sequence=number))
        assert len(follower._held) == 5

    run(test)


def test_a_log_that_never_ends_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        async def snapshot(self, since: int, ask: Any) -> Page:
            return Page((Delta(("a", 1), id="e1"),), more=True)

    monkeypatch.setattr(channel_follower, "PAGES_MAX", 7)
    follower = ChannelFollower(Channel("c", Endless(), lambda *arguments: ()), Store(), 10)
    with pytest.raises(ResyncError, match="no end"):
        asyncio.run(follower.fetch(ask))


def test_a_page_may_say_that_the_holes_before_it_are_no_gaps() -> None:
    class Filtered:
        async def snapshot(self, since: int, ask: Any) -> Page:
            return Page((Delta(("a", 1), id="e3", sequence=3), Delta(("a", 1), id="e3", sequence=3)), up_to=5)

    async def test() -> None:
        store = Store()
        follower = ChannelFollower(Channel("c", Filtered(), lambda *arguments: ()), store, 10)
        await follower.take(Heartbeat(5))
        assert follower.missing
        await follower.fetch(ask)
        assert store.events == [("a", 1)]
        assert (store.read("c"), follower.missing, store.read("c").latest, 4 in store.read("c")) == (
            Sequence(5),
            False,
            5,
            True,
        )

    run(test)
