"""What the careful client does with one intent when something goes wrong on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from faultline.faults import (
    DropMessage,
    Latency,
    LateRequest,
    LostRequest,
    LostResponse,
    MalformedBody,
    Reject,
    StaleRead,
    StatusStorm,
)
from faultline.history.event import Effect
from faultline.session import Session

from .conftest import CAREFUL, ORDER, on_stage, scenario, status, until, verdicts

KEEPS_NO_KEYS = ("none", "unique_while_pending")


async def test_an_order_is_placed_and_followed_to_its_fill(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        assert await client.place("A", **ORDER) == "accepted"
        assert status(client, "A") == "new"
        await until(lambda: status(client, "A") == "filled", within_s=2)
        assert client.snapshot() == {
            "orders": {"A": {"order_id": stage.orders[0].order, "status": "filled", "filled": "4"}},
            "positions": {"NQ": "4"},
            "fills": ["fill1"],
            "stale": False,
        }


async def test_an_intent_asked_for_twice_is_one_order(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with stage.running() as client:
        assert await asyncio.gather(client.place("A", **ORDER), client.place("A", **ORDER)) == ["accepted"] * 2
        assert await client.place("A", **ORDER) == "accepted"
    async with stage.running() as client:
        assert await client.place("A", **ORDER) == "accepted"
    assert len(stage.orders) == 1


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
async def test_a_lost_answer_is_found_out_and_not_ordered_again(faultline: Session, tmp_path: Path, how: str) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with stage.running() as client:
        with faultline.inject(LostResponse(on="POST /orders", how=how)):  # type: ignore[arg-type]
            assert await client.place("A", **ORDER) == "accepted"
        assert faultline.now_s() < 5
    assert len(stage.orders) == len(stage.arrivals("POST /orders")) == 1


async def test_a_lost_request_is_sent_again_once_it_can_no_longer_arrive(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with stage.running() as client:
        with faultline.inject(LostRequest(on="POST /orders", first=1)):
            assert await client.place("A", **ORDER) == "accepted"
    first, second = stage.arrivals("POST /orders")
    assert 16 < second - first < 30
    assert len(stage.orders) == 1


@pytest.mark.parametrize("idempotency", KEEPS_NO_KEYS)
async def test_a_request_that_arrives_late_is_waited_for(faultline: Session, tmp_path: Path, idempotency: str) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency=idempotency)
    async with stage.running() as client:
        with faultline.inject(LateRequest(on="POST /orders", by_s=15)):
            placing = asyncio.create_task(client.place("A", **ORDER))
            await asyncio.sleep(10)
            assert status(client, "A") == "unknown"
            assert await placing == "accepted"
    assert len(stage.orders) == 1


async def test_an_empty_answer_of_a_query_that_trails_proves_nothing(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none", fill_delay_s=30)
    async with stage.running() as client:
        lost = LostResponse(on="POST /orders"), StatusStorm(on="GET /fills", status=500), StaleRead(lag_s=3.5)
        with faultline.inject(*lost):
            await asyncio.sleep(5)
            assert await client.place("A", **ORDER) == "accepted"
    assert len(stage.orders) == 1


async def test_the_same_key_goes_out_again_after_a_refusal(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="unique_forever")
    async with stage.running() as client:
        with faultline.inject(StatusStorm(on="POST /orders", status=429, retry_after_s=2, first=1)):
            assert await client.place("A", **ORDER) == "accepted"
    first, second = stage.arrivals("POST /orders")
    assert 2 <= second - first < 3
    assert len({event.key for event in stage.orders}) == 1


async def test_a_5xx_is_looked_into_and_not_taken_for_a_failure(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with stage.running() as client:
        with faultline.inject(StatusStorm(on="POST /orders", status=503, phase="after")):
            assert await client.place("A", **ORDER) == "accepted"
        with faultline.inject(StatusStorm(on="POST /orders", status=503, first=1)):
            assert await client.place("B", **{**ORDER, "price": "200"}) == "accepted"
    assert [order.price for order in stage.orders] == ["100", "200"]


async def test_a_key_that_is_taken_means_that_the_order_exists(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="unique_forever", fill_delay_s=60)
    async with stage.running() as client:
        # A 409 on the first try: the order got there by a copy of the request that nobody answered.
        taken = StatusStorm(on="POST /orders", status=409, phase="before")
        with faultline.inject(taken):
            placing = asyncio.create_task(client.place("A", **ORDER))
            await asyncio.sleep(40)
        assert not placing.done()
        assert len(stage.arrivals("POST /orders")) == 1
        assert await placing == "unknown"
        assert status(client, "A") == "unknown"


@pytest.mark.parametrize("code", [400, 403, 422])
async def test_what_was_declined_is_not_sent_again(faultline: Session, tmp_path: Path, code: int) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(StatusStorm(on="POST /orders", status=code)):
            assert await client.place("A", **ORDER) == "rejected"
        await asyncio.sleep(30)
        assert await client.place("A", **ORDER) == "rejected"
        assert status(client, "A") == "rejected"
    async with stage.running() as client:
        assert await client.place("A", **ORDER) == "rejected"
    assert len(stage.arrivals("POST /orders")) == 1


async def test_a_refusal_of_the_venue_is_an_answer(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(Reject(reason="insufficient_funds")):
            assert await client.place("A", **ORDER) == "rejected"
    assert len(stage.arrivals("POST /orders")) == 1


async def test_an_answer_that_cannot_be_read_is_no_answer(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none")
    async with stage.running() as client:
        with faultline.inject(MalformedBody(on="POST /orders")):
            answers = await asyncio.gather(
                *(client.place(f"I{n}", **{**ORDER, "price": str(100 + n)}) for n in range(8))
            )
    assert answers == ["accepted"] * 8
    assert len(stage.orders) == 8


async def test_an_intent_without_an_end_is_unknown_after_a_minute_and_settled_later(
    faultline: Session, tmp_path: Path
) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(StatusStorm(on="* /orders*", status=503)):
            began = faultline.now_s()
            assert await client.place("A", **ORDER) == "unknown"
            assert 59 < faultline.now_s() - began < 61
            assert status(client, "A") == "unknown"
        await until(lambda: status(client, "A") == "filled")
        assert await client.place("A", **ORDER) == "accepted"
    assert len(stage.orders) == 1


async def test_a_restart_finishes_what_was_begun(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, idempotency="none", fill_delay_s=60)
    with faultline.inject(LostResponse(on="POST /orders", how="silence"), DropMessage(), StatusStorm(on="GET *")):
        async with stage.running() as client:
            placing = asyncio.create_task(client.place("A", **ORDER))
            await asyncio.sleep(0.01)
        assert await placing == "unknown"
        client = stage.client()
        await client.start()
    assert status(client, "A") == "unknown"
    await until(lambda: status(client, "A") == "new")
    await client.stop()
    assert len(stage.orders) == len(stage.arrivals("POST /orders")) == 1


async def test_start_returns_although_the_venue_is_down(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    client = stage.client()
    with faultline.inject(StatusStorm(status=503)):
        began = faultline.now_s()
        await client.start()
        assert 9 < faultline.now_s() - began < 12
        assert client.snapshot()["stale"]
    await until(lambda: not client.snapshot()["stale"])
    assert await client.place("A", **ORDER) == "accepted"
    await client.stop()


async def test_stop_leaves_no_task_behind_and_answers_who_still_waits(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    client = stage.client()
    before = asyncio.all_tasks()
    await client.start()
    with faultline.inject(Latency(on="*", delay_s=1)):
        placing = [asyncio.create_task(client.place(f"I{n}", **ORDER)) for n in range(3)]
        await asyncio.sleep(0.1)
        ours = asyncio.all_tasks() - before - set(placing)
        assert ours
        await client.stop()
        assert await asyncio.gather(*placing) == ["unknown"] * 3
    assert not {task for task in ours if not task.done() and "order" in repr(task.get_coro())}


# Cancels and replacements


async def test_a_cancel_ends_the_order(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, resting=1.0)
    async with stage.running() as client:
        await client.place("A", **ORDER)
        assert await client.cancel("CA", of="A") == "accepted"
        assert status(client, "A") == "canceled"
        assert await client.cancel("CB", of="nothing") == "rejected"


async def test_a_cancel_that_comes_too_late_is_rejected(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, fill_delay_s=0.1)
    async with stage.running() as client:
        await client.place("A", **ORDER)
        await until(lambda: status(client, "A") == "filled")
        assert await client.cancel("CA", of="A") == "rejected"
        # Filled at the venue, and not heard of yet.
        with faultline.inject(DropMessage()):
            await client.place("B", **{**ORDER, "price": "200"})
            await asyncio.sleep(0.15)
            assert status(client, "B") == "new"
            assert await client.cancel("CB", of="B") == "rejected"


async def test_a_cancel_whose_answer_is_lost_is_found_out(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, resting=1.0)
    async with stage.running() as client:
        await client.place("A", **ORDER)
        with faultline.inject(LostResponse(on="DELETE /orders/*", first=2)):
            assert await client.cancel("CA", of="A") == "accepted"
        assert status(client, "A") == "canceled"


async def test_an_order_that_nobody_wants_any_more_is_not_sent(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    async with stage.running() as client:
        with faultline.inject(StatusStorm(on="POST /orders", status=429, retry_after_s=5, first=1)):
            placing = asyncio.create_task(client.place("A", **ORDER))
            await asyncio.sleep(1)
            assert await client.cancel("CA", of="A") == "accepted"
            assert await placing == "rejected"
    assert stage.orders == []
    assert len(stage.arrivals("POST /orders")) == 1


async def test_a_cancel_outlives_a_restart(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, resting=1.0)
    with faultline.inject(StatusStorm(on="DELETE /orders/*", status=503)):
        async with stage.running() as client:
            await client.place("A", **ORDER)
            cancelling = asyncio.create_task(client.cancel("CA", of="A"))
            await asyncio.sleep(1)
        assert await cancelling == "unknown"
    async with stage.running() as client:
        await until(lambda: status(client, "A") == "canceled", within_s=10)
        assert await client.cancel("CA", of="A") == "accepted"


async def test_a_replacement_changes_the_order_once(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, resting=1.0)
    async with stage.running() as client:
        await client.place("A", **ORDER)
        with faultline.inject(LostResponse(on="PUT /orders/*", how="rst")):
            assert await client.replace("RA", of="A", quantity="6", price="101") == "accepted"
        assert len(stage.arrivals("PUT /orders/{id}")) <= 2  # aiohttp itself repeats a PUT on a reused connection
        await client.cancel("CA", of="A")
        assert await client.replace("RB", of="A", quantity="7", price="102") == "rejected"


async def test_replacements_of_one_order_do_not_overtake_each_other(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path, resting=1.0)
    async with stage.running() as client:
        await client.place("A", **ORDER)
        with faultline.inject(LateRequest(on="PUT /orders/*", by_s=8, first=1)):
            first = asyncio.create_task(client.replace("R1", of="A", quantity="6", price="101"))
            await asyncio.sleep(3)
            second = asyncio.create_task(client.replace("R2", of="A", quantity="8", price="102"))
            assert await asyncio.gather(first, second) == ["accepted", "accepted"]
        replaced = [effect.quantity for effect in faultline.history.of(Effect) if effect.what == "replace"]
        assert replaced == ["6", "8"]


async def test_a_replacement_of_an_order_that_never_was_is_rejected(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    with faultline.inject(StatusStorm(on="POST /orders", status=429, retry_after_s=30)):
        async with stage.running() as client:
            placing = asyncio.create_task(client.place("A", **ORDER))
            replacing = asyncio.create_task(client.replace("RA", of="A", quantity="6", price="101"))
            await asyncio.sleep(1)
            assert await client.replace("RB", of="nothing", quantity="6", price="101") == "rejected"
            cancelling = asyncio.create_task(client.cancel("CA", of="A"))
            await asyncio.sleep(1)
        assert await asyncio.gather(placing, replacing, cancelling) == ["unknown"] * 3
    async with stage.running() as client:
        assert await client.cancel("CA", of="A") == "accepted"
        assert await client.place("A", **ORDER) == "rejected"
        assert await client.replace("RA", of="A", quantity="6", price="101") == "rejected"
    assert stage.orders == []


async def test_stop_may_be_called_twice_and_after_a_start_that_failed(faultline: Session, tmp_path: Path) -> None:
    stage = await on_stage(faultline, tmp_path)
    client = stage.client()
    await client.stop()
    await client.start()
    await client.stop()
    await client.stop()
    stage.store = tmp_path / "no such folder" / "state.db"
    nowhere = stage.client()
    with pytest.raises(Exception, match="unable to open"):
        await nowhere.start()
    await nowhere.stop()


# The store


@pytest.mark.parametrize("seed", range(3))
def test_a_store_that_refuses_now_and_then_loses_nothing(seed: int) -> None:
    done = scenario(
        "venue: {profile: generic, resting: 30%}\n"
        "workload: {orders: 20, rate: 4/s, cancels: 20%, replaces: 20%, linger: 60s}\n"
        "faults:\n"
        "  - store_error: {error: full, probability: 20%, during: [0s, 10s]}\n"
        "  - store_error: {error: busy, probability: 20%, during: [0s, 10s]}\n"
        "  - lost_response: {on: '* *', probability: 10%, during: [0s, 10s]}\n"
        "expect: [no_duplicates, no_loss, fills_conserved, reconciled, no_stuck_tasks]\n",
        CAREFUL,
        seed,
    )
    assert set(verdicts(done).values()) == {"pass"}
