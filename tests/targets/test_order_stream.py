"""How the careful client stays level with the venue whatever the stream leaves out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from faultline.faults import (
    DelayMessage,
    Disconnect,
    DropMessage,
    DuplicateMessage,
    HalfOpen,
    PartialFill,
    ReorderMessages,
    SilentStream,
    StatusStorm,
)
from faultline.history.event import Connected
from faultline.session import Session

from .conftest import ORDER, Stage, on_stage, status, until


async def place_some(client: Any, count: int, *, first: int = 1, every_s: float = 0.1) -> None:
    for number in range(first, first + count):
        assert await client.place(f"I{number}", **{**ORDER, "price": str(100 + number)}) == "accepted"
        await asyncio.sleep(every_s)


def is_level(stage: Stage, client: Any) -> bool:
    """What the client believes is what the venue knows."""
    view, ledger = client.snapshot(), stage.session.history.ledger
    return (
        not view["stale"]
        and sorted(view["fills"]) == sorted(ledger.fills)
        and {order["order_id"]: order["status"] for order in view["orders"].values()}
        == {record.order: record.state for record in ledger.orders.values()}
        and view["positions"] == {symbol: str(held) for symbol, held in ledger.true_positions().items()}
    )


def subscriptions(stage: Stage) -> int:
    return sum(1 for event in stage.session.history.of(Connected) if event.topics)


@pytest.mark.parametrize("how", ["close", "fin", "rst"])
async def test_after_a_reconnect_it_subscribes_again_and_fetches_what_it_missed(
    faultline: Session, tmp_path: Path, how: Any
) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(Disconnect(at_s=0.5, how=how)):
            await place_some(client, 8)
        await until(lambda: is_level(stage, client), within_s=5)
    assert subscriptions(stage) == 2


async def test_a_dead_connection_that_looks_alive_is_given_up(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(HalfOpen(on="stream", at_s=0.2)):
            await place_some(client, 3)
            await until(lambda: subscriptions(stage) == 2, within_s=8)
        await until(lambda: is_level(stage, client), within_s=3)


async def test_a_quiet_market_is_no_reason_to_reconnect(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, heartbeat_s=3600)
    async with stage.running() as client:
        await asyncio.sleep(120)
        assert not client.snapshot()["stale"]
    assert subscriptions(stage) == 1


async def test_a_gap_is_fetched(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, heartbeat_s=3600)
    async with stage.running() as client:
        with faultline.inject(DropMessage(topic="fills", nth=2)):
            await place_some(client, 4)
            # Long before the next sweep: the number after the hole shows it.
            await until(lambda: is_level(stage, client), within_s=1)


async def test_a_lost_last_message_is_seen_by_the_heartbeat(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(DropMessage(topic="fills", nth=1), DropMessage(topic="orders", nth=2)):
            await place_some(client, 1)
            await until(lambda: is_level(stage, client), within_s=2)


async def test_without_numbers_the_sweep_finds_what_is_missing(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, sequences=False)
    async with stage.running() as client:
        with faultline.inject(DropMessage()):
            await place_some(client, 3)
            await until(lambda: is_level(stage, client), within_s=6)


async def test_a_stream_that_only_beats_is_worked_around_and_then_given_up(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(SilentStream()):
            for number in range(1, 8):
                await place_some(client, 1, first=number)
                await until(lambda: status(client, f"I{number}") == "filled", within_s=3)  # noqa: B023
    assert subscriptions(stage) >= 2


async def test_a_fill_counts_once_however_often_it_is_told(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(DuplicateMessage(), PartialFill(parts=3, gap_s=0.1)):
            await place_some(client, 3)
            await until(lambda: len(client.snapshot()["fills"]) == 9, within_s=3)
        await until(lambda: is_level(stage, client), within_s=3)
        assert client.snapshot()["positions"] == {"NQ": "12.00000000"}


async def test_old_news_does_not_replace_newer(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    seen: list[tuple[str, str]] = []
    async with stage.running() as client:
        faults = ReorderMessages(), DelayMessage(by_s=0.3, probability=0.5), PartialFill(parts=3, gap_s=0.05)
        with faultline.inject(*faults):
            placing = asyncio.create_task(place_some(client, 6))
            while not (placing.done() and is_level(stage, client)):
                seen += [(intent, order["status"]) for intent, order in client.snapshot()["orders"].items()]
                await asyncio.sleep(0.02)
    for intent in {intent for intent, _ in seen}:
        stages = [("new", "partially_filled", "filled").index(word) for name, word in seen if name == intent]
        assert stages == sorted(stages)


async def test_a_resync_that_fails_is_repeated(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(Disconnect(at_s=0.3), StatusStorm(on="GET *", status=500)):
            await place_some(client, 5)
            await asyncio.sleep(3)
            assert client.snapshot()["stale"]
        await until(lambda: is_level(stage, client), within_s=5)


async def test_a_resync_that_trails_is_repeated_until_it_does_not(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, read_lag_s=3)
    async with stage.running() as client:
        with faultline.inject(DropMessage(topic="fills")):
            await place_some(client, 3)
            await asyncio.sleep(1.5)
            assert client.snapshot()["stale"]
            await until(lambda: is_level(stage, client), within_s=6)


async def test_orders_of_somebody_else_count_for_the_position_only(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    other = Stage(faultline, stage.venue, tmp_path / "other.db")
    async with stage.running() as client, other.running() as stranger:
        await stranger.place("S", **ORDER)
        await client.place("A", **{**ORDER, "side": "sell", "quantity": "1", "price": "200"})
        await until(lambda: len(client.snapshot()["fills"]) == 2, within_s=3)
        assert set(client.snapshot()["orders"]) == {"A"}
        assert client.snapshot()["positions"] == {"NQ": "3"}


async def test_a_restart_resumes_at_the_gap_and_not_at_the_largest_number(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    lost = DropMessage(topic="fills", nth=1), StatusStorm(on="GET *", status=503)
    with faultline.inject(*lost):
        async with stage.running() as client:
            await place_some(client, 3)
            await until(lambda: len(client.snapshot()["fills"]) == 2, within_s=2)
    async with stage.running() as client:
        await until(lambda: is_level(stage, client), within_s=3)
        assert status(client, "I1") == "filled"
