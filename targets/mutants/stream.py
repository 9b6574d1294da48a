"""The connection and what keeps the state level, without their rules."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any, Final

from faultline.mutants import Driven, Mutant, Patch
from faultline.oracles import NoDuplicates, Reconciled, ThunderingHerd
from targets.mutants import drives
from targets.resilience.channel_follower import ChannelFollower
from targets.resilience.channel_model import Snapshot
from targets.resilience.connection_manager import SignalRConnectionManager
from targets.resilience.connection_state import SignalRConfig
from targets.resilience.order_channels import OrderChannels, OrderSnapshots
from targets.resilience.records import OrderRecord
from targets.resilience.sequence import Sequence
from targets.resilience.state_manager import StateManager
from targets.resilience.state_reconciler import StateReconciler
from targets.resilience.stream_connection import StreamConnection
from targets.resilience.system import IntegratedSystem
from targets.resilience.venue import OrderStatus


def subscribes_once(patch: Patch) -> None:
    """Subscribes on its first connection only."""

    def make(live: Any) -> Any:
        async def lives(self: SignalRConnectionManager, connection: StreamConnection) -> None:
            asked, self._subscriptions = self._subscriptions, {} if self._failures else self._subscriptions
            try:
                await live(self, connection)
            finally:
                self._subscriptions = asked

        return lives

    patch.wrap(SignalRConnectionManager, "_live", make)


def fetches_nothing_after_a_reconnect(patch: Patch) -> None:
    """Subscribes again after a reconnect, and does not ask what it missed."""

    async def fetch(self: ChannelFollower, ask: Any) -> None:
        self.fetched = True

    patch.set(ChannelFollower, "fetch", fetch)


def stops_after_four_attempts(patch: Patch) -> None:
    """Stops trying after four attempts, and tells nobody."""

    def make(until_lost: Any) -> Any:
        async def until(self: SignalRConnectionManager, events: Any) -> Any:
            if self._failures >= 4:
                await asyncio.Event().wait()
            return await until_lost(self, events)

        return until

    patch.wrap(SignalRConnectionManager, "_until_lost", make)


def trusts_a_silent_connection(patch: Patch) -> None:
    """Waits for a silent connection as long as it likes."""
    patch.set(StreamConnection, "_due_s", lambda self: math.inf)


def looks_at_no_numbers(patch: Patch) -> None:
    """Does not look for gaps."""
    patch.set(ChannelFollower, "missing", False)


def resumes_at_the_largest_number(patch: Patch) -> None:
    """Resumes after the largest number that it has seen, whatever is missing before."""

    def with_numbers(self: Sequence, *numbers: int) -> Sequence:
        return Sequence(max(self.contiguous, *numbers, 0))

    patch.set(Sequence, "with_numbers", with_numbers)


def takes_everything_in_again(patch: Patch) -> None:
    """Takes in what it has taken in already."""
    patch.set(StateManager, "has", lambda self, fill: False)
    patch.set(Sequence, "__contains__", lambda self, number: False)


def lets_old_news_win(patch: Patch) -> None:
    """Believes whatever it heard last, however old."""

    def told(self: OrderRecord, order: Any) -> OrderRecord:
        return replace(self, order_id=order.id, status=order.status, reported=order.filled)

    patch.set(OrderRecord, "told", told)


def merges_a_snapshot(patch: Patch) -> None:
    """Keeps what is not in the snapshot any more."""

    async def snapshot(self: OrderSnapshots, since: int, ask: Any) -> Snapshot:
        return Snapshot(tuple(await ask(self._venue.open_orders, endpoint="Order/searchOpen")))

    patch.set(OrderSnapshots, "snapshot", snapshot)


def swallows_a_failed_resync(patch: Patch) -> None:
    """Goes on after a resync that failed as if it had worked."""

    async def fetch_wanted(self: StateReconciler) -> None:
        for name, follower in list(self._followers.items()):
            if self._wanted.pop(name, None) is None:
                continue
            try:
                await follower.fetch(self._ask)
            except Exception:
                follower.fetched = True

    patch.set(StateReconciler, "_fetch_wanted", fetch_wanted)


def ignores_a_mismatch(patch: Patch) -> None:
    """Ignores that an order reports more than its fills come to."""
    patch.set(OrderChannels, "short", lambda self, channel: False)


def keeps_a_timer_of_each_connection(patch: Patch) -> None:
    """Keeps a timer of each connection that it ever had."""

    def make(live: Any) -> Any:
        async def lives(self: SignalRConnectionManager, connection: StreamConnection) -> None:
            asyncio.get_running_loop().call_later(86_400, self.reconnect, "a day is over")
            await live(self, connection)

        return lives

    patch.wrap(SignalRConnectionManager, "_live", make)


def trusts_a_list_that_trails(patch: Patch) -> None:
    """Takes an order that a query does not list for one that was rejected."""

    def make(snapshot: Any) -> Any:
        async def takes(self: StateManager, open_orders: Any) -> None:
            orders = tuple(open_orders)
            await snapshot(self, orders)
            listed = {order.id for order in orders}
            for record in [each for each in self.orders.values() if each.order_id and not each.ended]:
                if record.order_id not in listed:
                    await self._save({record.request_id: replace(record, status=OrderStatus.REJECTED)})

        return takes

    patch.wrap(StateManager, "snapshot", make)


def leaves_its_services_running(patch: Patch) -> None:
    """Stops without ending what it has started."""

    async def stop(self: Any) -> None:
        await self._http.close()
        self.state_manager.close()

    patch.set(IntegratedSystem, "stop", stop)


def registers_its_handlers_again(patch: Patch) -> None:
    """Registers its handlers again on each new connection."""

    def make(live: Any) -> Any:
        async def lives(self: SignalRConnectionManager, connection: StreamConnection) -> None:
            for handlers in self._handlers.values():
                handlers.extend(handlers if self._failures else ())
            await live(self, connection)

        return lives

    patch.wrap(SignalRConnectionManager, "_live", make)


def reconnects_at_once(patch: Patch) -> None:
    """Reconnects at once, whoever else does."""
    patch.set(SignalRConfig, "delay_s", lambda self, attempt, chance=0.0, more=0.0: 0.0)


def draws_what_everybody_draws(patch: Patch) -> None:
    """Draws the same delays as every other client."""

    def make(init: Any) -> Any:
        return lambda self, *given, **more: init(self, *given, **more, chance=lambda: 0.5)

    patch.wrap(SignalRConnectionManager, "__init__", make)


def ignores_what_others_trade(patch: Patch) -> None:
    """Ignores fills of orders that are not its own."""

    def make(apply: Any) -> Any:
        async def applies(self: StateManager, *fills: Any, **more: Any) -> None:
            await apply(self, *(fill for fill in fills if self._owner(fill)), **more)

        return applies

    patch.wrap(StateManager, "apply", make)


FOLLOWER: Final = "any; a client that relies on its stream"

HERD: Final = (ThunderingHerd(spread_s=drives.SPREAD_MS / 1000),)

CONNECTION: Final = (
    Mutant(
        "W01", "Conn", subscribes_once,
        "witnesses/W01.yaml", ("no_lost_events", "reconciled"), faults="a disconnect", venues=FOLLOWER, wasabi="HOW",
        seen=("aspnet/SignalR#3305", "philippseith/signalr#110"),
    ),
    Mutant(
        "W02", "Conn", fetches_nothing_after_a_reconnect,
        "witnesses/W02.yaml", ("no_lost_events", "reconciled"), faults="a fill in an outage", wasabi="HOW",
        seen=("SignalR/SignalR#3245",),
    ),
    Mutant(
        "W04", "Conn", registers_its_handlers_again,
        Driven(drives.fills_are_counted_by_a_handler, (NoDuplicates(),)),
        ("no_duplicates",), faults="a disconnect", wasabi="HOW",
    ),
    Mutant(
        "W05", "Conn", stops_after_four_attempts,
        "witnesses/W05.yaml", ("no_lost_events", "reconciled"), faults="a long outage", venues=FOLLOWER,
        wasabi="IF", seen=("dotnet/AspNetCore.Docs#11951",),
    ),
    Mutant(
        "W06", "Conn", reconnects_at_once, Driven(drives.a_herd_comes_back, HERD),
        ("thundering_herd",), faults="an outage under 24 clients", wasabi="WHEN",
    ),
    Mutant(
        "R05", "Conn", draws_what_everybody_draws, Driven(drives.a_herd_comes_back, HERD),
        ("thundering_herd",), faults="an outage under 24 clients", wasabi="WHEN",
    ),
    Mutant(
        "W07", "Conn", trusts_a_silent_connection,
        "witnesses/W07.yaml", ("no_lost_events", "reconciled"), faults="a half-open connection", venues=FOLLOWER,
    ),
    Mutant(
        "X07", "Conn", keeps_a_timer_of_each_connection,
        "witnesses/X07.yaml", ("no_leaks",), faults="many disconnects", wasabi="HOW",
    ),
    Mutant(
        "X04", "Conn", leaves_its_services_running,
        "witnesses/X04.yaml", ("no_stuck_tasks",), faults="none: every run ends with a stop", fault_free=True,
    ),
)  # fmt: skip
RECONCILER: Final = (
    Mutant(
        "S01", "Recon", looks_at_no_numbers,
        "witnesses/S01.yaml", ("no_lost_events",), faults="a lost stream message", venues=FOLLOWER,
        seen=("Kucoin/kucoin-api-docs#44", "coinbasepro-python#365"),
    ),
    Mutant(
        "X05", "Recon", resumes_at_the_largest_number,
        "witnesses/X05.yaml", ("no_lost_events",), faults="a lost stream message",
    ),
    Mutant(
        "S03", "Recon", takes_everything_in_again,
        "witnesses/S03.yaml", ("fills_conserved", "counter_bounds"), faults="a stream message twice",
    ),
    Mutant(
        "S04", "Recon", lets_old_news_win,
        "witnesses/S04.yaml", ("legal_order_states",), faults="a late answer", seen=("pybotters#564",),
    ),
    Mutant(
        "S05", "Recon", merges_a_snapshot,
        "witnesses/S05.yaml", ("no_lost_events", "reconciled"), faults="an order that ends in an outage",
        venues="order_life: 3s", seen=("ccxt#29210",),
    ),
    Mutant(
        "S07", "Recon", swallows_a_failed_resync,
        "witnesses/S07.yaml", ("no_lost_events", "reconciled"), faults="a fill in an outage, and a 503 on the query",
        venues=f"{FOLLOWER}; sequences: false", wasabi="IF",
    ),
    Mutant(
        "S10", "Recon", ignores_a_mismatch,
        "witnesses/S10.yaml", ("no_lost_events", "reconciled"), faults="a lost fill",
        venues=f"{FOLLOWER}; sequences: false", seen=("bytex#30",),
    ),
    Mutant(
        "S12", "Recon", ignores_what_others_trade,
        Driven(drives.somebody_else_trades, (Reconciled(),)),
        ("reconciled",), faults="none: an order of somebody else", fault_free=True,
    ),
    Mutant(
        "X06", "Recon", trusts_a_list_that_trails,
        "witnesses/X06.yaml", ("read_your_writes",), faults="a disconnect", venues="read_lag: 2s",
    ),
)  # fmt: skip
