"""The state reconciler on a stream and a venue that the test drives, and behind a real connection; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from targets.resilience.channel_model import Channel, Delta, Heartbeat, News
from targets.resilience.connection_state import ConnectionState
from targets.resilience.errors import APIError
from targets.resilience.sequence import Sequence
from targets.resilience.state_reconciler import ResyncError, StateReconciler, StateReconcilerConfig
from tests.targets.resilience.hub import Stage
from tests.targets.resilience.hub import on_stage as on_hub
from tests.targets.resilience.ledger import Handler, Ledger, Store, Stream, fold
from tests.worlds.sim.kit import new_simulation

QUIET = {"sweep_interval": 3_600_000, "jitter": 0}


def read(event: str, *arguments: object) -> Iterator[News]:
    (said,) = arguments
    if not isinstance(said, Delta | Heartbeat):
        raise ValueError("neither a delta nor a heartbeat")
    yield said


class Scene:
    """A reconciler with one channel, ``c``, and everything around it."""

    def __init__(self, ledger: Ledger, store: Store, settings: dict[str, Any]) -> None:
        self.ledger = ledger
        self.store = store
        self.stream = Stream()
        self.handler = Handler()
        config = StateReconcilerConfig(**{**QUIET, **settings})
        self.reconciler = StateReconciler(config, self.stream, store, self.handler)
        self.reconciler.follow(Channel("c", ledger, read, events=("data", "beat")))

    async def emit(self, value: int, *, lost: bool = False, key: str = "a") -> None:
        delta = self.ledger.emit(key, value)
        if not lost:
            await self.stream.say("data", delta)

    @property
    def level(self) -> bool:
        """The store is what the ledger is, and the reconciler says so."""
        return not self.reconciler.stale and self.store.state.get("c", {}) == fold(self.ledger.changes)

    async def until(self, condition: Callable[[], object], *, within_s: float = 100.0) -> float:
        """Wait until ``condition`` holds. How long that took."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return loop.time() - began_s


def play(
    test: Callable[[Scene], Awaitable[None]],
    *,
    ledger: Ledger | None = None,
    store: Store | None = None,
    **settings: Any,
) -> None:
    async def main() -> None:
        scene = Scene(ledger or Ledger(), store or Store(), settings)
        try:
            await test(scene)
        finally:
            await scene.reconciler.stop()

    new_simulation().run(main)


def test_it_is_level_only_after_a_resync_on_a_subscribed_stream() -> None:
    async def test(scene: Scene) -> None:
        scene.ledger.emit("a", 1)
        scene.reconciler.start()
        assert scene.reconciler.stale
        await asyncio.sleep(1)  # without a stream, the venue is asked, and that is not enough
        assert (scene.store.state["c"], scene.reconciler.stale) == ({"a": 1}, True)
        await scene.stream.up()
        assert scene.level
        scene.stream.down()
        assert scene.reconciler.stale
        scene.ledger.emit("a", 2)
        await scene.stream.up()  # which returns when it is level
        assert scene.level
        assert scene.handler.calls == [("snapshot", 1)] * 3

    play(test)


def test_a_gap_is_fetched_when_it_is_no_mere_reordering() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        late = scene.ledger.emit("a", 1)
        await scene.emit(2, key="b")
        assert scene.reconciler.stale
        await asyncio.sleep(0.1)
        await scene.stream.say("data", late)
        await asyncio.sleep(5)
        assert (scene.level, len(scene.ledger.asked_s)) == (True, 1)
        await scene.emit(3, lost=True)
        await scene.emit(4, key="b")
        assert await scene.until(lambda: scene.level) == pytest.approx(0.25, abs=0.05)

    play(test)


def test_a_lost_last_message_shows_in_the_next_heartbeat() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        await scene.emit(1, lost=True)
        assert not scene.reconciler.stale  # nobody can know
        await scene.stream.say("beat", Heartbeat(1))
        assert scene.reconciler.stale
        assert await scene.until(lambda: scene.level) < 0.3

    play(test)


def test_without_numbers_the_sweep_is_the_deadline() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        await scene.emit(1, lost=True)
        assert await scene.until(lambda: scene.level and scene.store.state["c"]) == pytest.approx(5, abs=0.1)

    play(test, ledger=Ledger(numbered=False), sweep_interval=5000)


def test_the_sweep_is_not_put_off_by_a_busy_stream() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        for value in range(120):
            late = scene.ledger.emit("a", value)
            await scene.emit(value, key="b")
            await scene.stream.say("data", late)
            await asyncio.sleep(0.1)
        assert len(scene.ledger.asked_s) == 3

    play(test, sweep_interval=5000)


def test_a_cumulative_quantity_above_its_parts_is_a_gap() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        await scene.emit(1, lost=True)
        scene.store.reported = 2
        await scene.emit(2)  # the venue's report arrives with some other message
        await scene.until(lambda: len(scene.store.events) == 2, within_s=1)
        assert not scene.reconciler.stale

    play(test, ledger=Ledger(numbered=False, log=True), store=Store(log=True))


def test_a_failing_resync_is_repeated_with_growing_delays_and_says_stale_meanwhile() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        scene.ledger.failures = [APIError("busy", 503), TimeoutError(), OSError("no route"), *[APIError("", 500)] * 4]
        scene.stream.down()
        scene.ledger.emit("a", 7)
        up = asyncio.create_task(scene.stream.up())
        await scene.until(lambda: len(scene.ledger.failures) == 2)
        assert scene.reconciler.stale
        assert scene.stream.state is ConnectionState.SYNCHRONIZING
        await up
        assert scene.level
        gaps = [later - earlier for earlier, later in pairwise(scene.ledger.asked_s[1:])]
        assert gaps == pytest.approx([0.25, 0.5, 1, 2, 4, 4, 4], abs=0.02)

    play(test)


def test_a_query_that_trails_is_repeated_until_it_does_not() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        for value in range(4):
            await scene.emit(value, lost=value == 1, key=f"k{value}")
        scene.ledger.lag = 3
        await asyncio.sleep(3)
        assert scene.reconciler.stale
        assert len(scene.store.state["c"]) == 3  # the older answer replaced nothing
        scene.ledger.lag = 0
        await scene.until(lambda: scene.level, within_s=5)

    play(test)


def test_a_log_that_trails_is_asked_with_growing_delays() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        await scene.emit(1, lost=True)
        await scene.emit(2)
        scene.ledger.lag = 2
        await asyncio.sleep(3)
        assert scene.reconciler.stale
        assert len(scene.ledger.asked_s) < 7
        scene.ledger.lag = 0
        await scene.until(lambda: not scene.reconciler.stale and len(scene.store.events) == 2, within_s=5)

    play(test, ledger=Ledger(log=True), store=Store(log=True))


def test_a_sweep_that_fails_says_stale_although_nothing_is_known_to_be_missing() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        scene.ledger.failures = [APIError("", 503)] * 3
        await asyncio.sleep(5.1)
        assert scene.reconciler.stale
        await scene.until(lambda: not scene.reconciler.stale, within_s=3)

    play(test, ledger=Ledger(numbered=False), sweep_interval=5000)


def test_a_book_whose_numbers_begin_anew_is_followed_across_connections() -> None:
    async def test(scene: Scene) -> None:
        book = Ledger()
        scene.reconciler.follow(Channel("book", book, read, events=("book",), ordered=True, restarts=True))
        for price in range(5):
            book.emit("bid", price)
        await scene.stream.up()
        scene.stream.down()
        book.changes = [("ask", 9)]
        await asyncio.wait_for(scene.stream.up(), 1)
        await scene.stream.say("book", book.emit("ask", 8))
        assert (scene.store.state["book"], scene.reconciler.stale) == ({"ask": 8}, False)

    play(test)


def test_one_channel_that_fails_does_not_keep_the_others_back() -> None:
    async def test(scene: Scene) -> None:
        other = Ledger()
        other.emit("o", 1)
        scene.reconciler.follow(Channel("d", other, read))
        scene.ledger.failures = [APIError("", 500)] * 3
        up = asyncio.create_task(scene.stream.up())
        await scene.until(lambda: scene.store.state.get("d") == {"o": 1}, within_s=0.1)
        assert scene.reconciler.stale
        await up
        assert len(other.asked_s) == 1

    play(test)


def test_a_message_that_cannot_be_stored_is_fetched_later() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        scene.store.broken = 2
        await scene.emit(1)
        await scene.until(lambda: scene.level and scene.store.state["c"] == {"a": 1}, within_s=1)

    play(test, ledger=Ledger(numbered=False))


def test_a_message_that_cannot_be_read_ends_the_connection() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        await scene.stream.say("data", "nonsense")
        assert scene.stream.given_up == ["data cannot be read"]
        await scene.until(lambda: len(scene.ledger.asked_s) == 2, within_s=1)

    play(test)


def test_a_stream_that_only_beats_is_worked_around_and_then_given_up() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        for value in range(1, 5):
            await scene.emit(value, lost=value != 3)
            await scene.stream.say("beat", Heartbeat(value))
            await scene.until(lambda: scene.level, within_s=1)
        assert scene.stream.given_up == []  # the third did come
        for value in range(5, 7):
            await scene.emit(value, lost=True)
            await scene.stream.say("beat", Heartbeat(value))
            await scene.until(lambda: scene.level, within_s=1)
        assert scene.stream.given_up == ["it beats, and says nothing of what happens"]

    play(test)


def test_events_of_things_that_nobody_knows_are_kept() -> None:
    async def test(scene: Scene) -> None:
        await scene.stream.up()
        await scene.emit(5, key="an order of somebody else, or one whose acknowledgement is still on its way")
        await scene.reconciler.heard("c", Delta(("answered", 1), id="answer"))
        assert len(scene.store.events) == 2

    play(test, ledger=Ledger(log=True), store=Store(log=True))


def test_a_restart_resumes_at_the_gap_and_not_at_the_largest_number() -> None:
    ledger, store = Ledger(log=True, page_size=2), Store(log=True)
    for value in range(1, 8):
        ledger.emit("a", value)
    store.numbers["c"] = Sequence(2, frozenset({4, 5}))
    store.applied = [(f"e{number}", 0) for number in (1, 2, 4, 5)]

    async def test(scene: Scene) -> None:
        await scene.stream.up()
        assert ledger.asked_since == [2, 4, 6]
        assert [value for _, value in store.events] == [3, 6, 7]

    play(test, ledger=ledger, store=store)


def test_a_connection_that_ends_during_the_resync_makes_it_worthless() -> None:
    async def test(scene: Scene) -> None:
        scene.ledger.gate = asyncio.Event()
        first = asyncio.create_task(scene.stream.up())
        await asyncio.sleep(0.1)
        first.cancel()
        scene.stream.down()
        second = asyncio.create_task(scene.stream.up())
        await asyncio.sleep(0.1)
        scene.ledger.gate.set()
        await second
        # What was asked for on the first connection says nothing of what came between the two.
        assert len(scene.ledger.asked_s) == 2
        assert not scene.reconciler.stale

    play(test)


def test_it_ends_without_leaving_anything_and_a_bug_in_it_is_loud(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Ledger):
        async def snapshot(self, since: int, ask: Any) -> Any:
            raise KeyError("a bug")

    async def test(scene: Scene) -> None:
        before = asyncio.all_tasks()
        await scene.stream.up()
        await scene.reconciler.stop()
        await scene.reconciler.stop()
        assert asyncio.all_tasks() == before
        assert scene.stream.handlers == {"data": [], "beat": []}
        assert scene.stream.hooks == scene.stream.state_handlers == []

    async def broken(scene: Scene) -> None:
        with pytest.raises(ResyncError, match="ended"):
            await scene.stream.up()
        with pytest.raises(ResyncError):
            await scene.reconciler.resync()
        assert scene.reconciler.stale
        assert "the reconciler died" in caplog.text

    play(test)
    play(broken, ledger=Broken())


@pytest.mark.parametrize(
    ("field", "value"), [("reorder_window", -1), ("sweep_interval", 0), ("resync_delays", []), ("jitter", 2)]
)
def test_a_setting_that_cannot_be_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        StateReconcilerConfig(**{field: value})


def test_behind_a_real_connection_nothing_is_lost_between_two_connections() -> None:
    ledger, store = Ledger(log=True), Store(log=True)

    def read_wire(event: str, *arguments: object) -> Iterator[News]:
        yield ledger.delta(int(str(arguments[0])))

    async def test(stage: Stage) -> None:
        reconciler = StateReconciler(StateReconcilerConfig(**QUIET), stage.manager, store, Handler())
        reconciler.follow(Channel("c", ledger, read_wire, events=("Trade",)))
        stage.manager.on_state(lambda old, new, reason: seen.append((new, reconciler.stale)))
        await stage.manager.subscribe("SubscribeTrades", 7)
        await stage.manager.connect()
        for value in range(1, 61):
            ledger.emit("t", value)
            if value % 20 == 0:
                stage.hub.cut("rst")
            elif not stage.hub.sockets[-1].closed and value % 7:
                await stage.hub.say("Trade", value)
            await asyncio.sleep(0.2)
        await stage.until(lambda: not reconciler.stale and len(store.events) == 60, within_s=60)
        assert sorted(value or 0 for _, value in store.events) == list(range(1, 61))
        levels = [stale for state, stale in seen if state is ConnectionState.CONNECTED]
        assert levels == [False] * 4
        await reconciler.stop()

    seen: list[tuple[ConnectionState, bool]] = []
    on_hub(test)
