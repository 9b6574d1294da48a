"""No window holds more than it may, nobody starves, and whoever gives up leaves no trace."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faultline.session import Session
from targets.resilience.errors import QueueFullError
from targets.resilience.rate_limiter import BucketRule, RateLimiter, RateLimiterConfig, RateLimiters

WINDOW_S = 30.0


def limiter(
    requests: int = 50, window_s: float = WINDOW_S, queue_size: int = 100, reserve_s: float = 0.1
) -> RateLimiter:
    return RateLimiter(RateLimiterConfig(requests, window_s, queue_size, reserve_s))


async def passes_at(
    faultline: Session, target: RateLimiter | RateLimiters, count: int, endpoint: str = ""
) -> list[float]:
    """When each of ``count`` simultaneous requests may go, in the order in which they asked."""

    async def one() -> float:
        await target.throttle(endpoint)
        return faultline.now_s()

    return list(await asyncio.gather(*(one() for _ in range(count))))


# The window


async def test_requests_under_the_limit_do_not_wait(faultline: Session) -> None:
    limited = limiter()
    assert await passes_at(faultline, limited, 49) == [0.0] * 49
    assert limited.free == 1


async def test_the_request_over_the_limit_waits_until_the_oldest_has_left_the_window(faultline: Session) -> None:
    limited = limiter()
    times = await passes_at(faultline, limited, 51)
    assert times[49] == 0
    assert times[50] == pytest.approx(30.1, abs=0.001)


async def test_the_window_slides_so_that_its_boundary_lets_no_double_burst_through(faultline: Session) -> None:
    limited = limiter()
    await passes_at(faultline, limited, 25)
    await asyncio.sleep(29)
    times = await passes_at(faultline, limited, 75)
    assert Counter(round(t, 1) for t in times) == {29.0: 25, 30.1: 25, 59.1: 25}


async def test_a_window_that_is_over_is_free_again(faultline: Session) -> None:
    limited = limiter()
    await passes_at(faultline, limited, 50)
    assert limited.free == 0
    await asyncio.sleep(30.1)
    assert limited.free == 50
    assert await passes_at(faultline, limited, 50) == [pytest.approx(30.1, abs=0.001)] * 50


async def test_a_step_of_the_wall_clock_neither_opens_nor_shuts_the_window(
    faultline: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = limiter()
    await passes_at(faultline, limited, 50)
    wall_s = time.time
    with monkeypatch.context() as stepped:
        stepped.setattr(time, "time", lambda: wall_s() + 3600)
        assert limited.free == 0
        stepped.setattr(time, "time", lambda: wall_s() - 3600)
        await limited.throttle()
    assert faultline.now_s() == pytest.approx(30.1, abs=0.001)


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.001, 0.3, 0.999, 1.0, 1.5]),  # seconds after the one before
        st.integers(1, 4),  # weight
        st.sampled_from([None, None, None, 0.0, 0.4, 1.0]),  # given up after so many seconds
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(ARRIVALS)
@example([(0.0, 1, None)] * 4 + [(0.999, 1, None)] + [(0.001, 1, None)] * 8)
def test_no_window_ever_holds_more_than_its_limit(arrivals: list[tuple[float, int, float | None]]) -> None:
    granted: list[tuple[float, int, int]] = []
    session = Session()

    async def request(limited: RateLimiter, number: int, weight: int, patience_s: float | None) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await limited.throttle(weight=weight)
        except TimeoutError:
            return
        granted.append((session.now_s(), weight, number))

    async def play() -> None:
        limited = limiter(4, 1.0, reserve_s=0)
        tasks = []
        for number, (gap_s, weight, patience_s) in enumerate(arrivals):
            await asyncio.sleep(gap_s)
            tasks.append(asyncio.create_task(request(limited, number, weight, patience_s)))
        await asyncio.gather(*tasks)
        assert limited.waiting == 0
        await asyncio.sleep(1)
        assert limited.free == 4

    session.run(play)
    for start, _, _ in granted:
        assert sum(weight for t, weight, _ in granted if start <= t < start + 1.0 - 1e-6) <= 4
    numbers = [number for _, _, number in granted]
    assert numbers == sorted(numbers)
    assert {number for number, (_, _, patience_s) in enumerate(arrivals) if patience_s is None} <= set(numbers)


# The queue


async def test_a_full_queue_is_told_at_once_and_the_others_are_served(faultline: Session) -> None:
    limited = limiter(queue_size=5)
    calls = [asyncio.create_task(limited.throttle()) for _ in range(100)]
    await asyncio.sleep(0)
    assert limited.waiting == 5
    refused = [call for call in calls if call.done() and isinstance(call.exception(), QueueFullError)]
    assert len(refused) == 45
    await asyncio.gather(*(call for call in calls if call not in refused))
    assert faultline.now_s() == pytest.approx(30.1, abs=0.001)


async def test_a_queue_of_size_nought_waits_for_nobody(faultline: Session) -> None:
    limited = limiter(2, queue_size=0)
    await passes_at(faultline, limited, 2)
    with pytest.raises(QueueFullError, match="0 callers wait"):
        await limited.throttle()


async def test_a_heavy_request_is_not_overtaken_by_light_ones(faultline: Session) -> None:
    limited = limiter(10, 10.0, reserve_s=0)
    order: list[str] = []

    async def request(name: str, weight: int) -> None:
        await limited.throttle(weight=weight)
        order.append(name)

    await request("first", 6)
    asked = [("heavy", 10), *((f"light {number}", 1) for number in range(3))]
    await asyncio.gather(*(request(name, weight) for name, weight in asked))
    assert order == ["first", "heavy", "light 0", "light 1", "light 2"]


async def test_waiters_that_are_cancelled_lose_no_place_for_those_behind_them(faultline: Session) -> None:
    limited = limiter(1, 10.0, reserve_s=0)
    await limited.throttle()
    waiters = [asyncio.create_task(limited.throttle()) for _ in range(4)]
    await asyncio.sleep(5)
    waiters[0].cancel()
    waiters[2].cancel()
    await asyncio.wait(waiters)
    assert [waiter.cancelled() for waiter in waiters] == [True, False, True, False]
    assert faultline.now_s() == pytest.approx(20, abs=0.001)
    assert limited.waiting == 0


async def test_a_waiter_cancelled_at_the_moment_of_its_turn_spends_nothing(faultline: Session) -> None:
    limited = limiter(1, 10.0, reserve_s=0)
    await limited.throttle()
    waiter = asyncio.create_task(limited.throttle())
    asyncio.get_running_loop().call_later(10.0, waiter.cancel)
    await asyncio.wait({waiter})
    assert waiter.cancelled()
    assert limited.free == 1


async def test_two_clients_of_one_account_share_a_limiter(faultline: Session) -> None:
    account = limiter(10, 10.0, reserve_s=0)
    times = await asyncio.gather(passes_at(faultline, account, 10), passes_at(faultline, account, 10))
    assert Counter(round(t) for client in times for t in client) == {0: 10, 10: 10}


# What the venue asks for


async def test_a_pause_silences_everybody_and_a_shorter_one_does_not_end_it(faultline: Session) -> None:
    limited = limiter()
    limited.pause(3)
    waiting = asyncio.create_task(limited.throttle())
    await asyncio.sleep(2)
    limited.pause(5)
    limited.pause(1)
    await waiting
    assert faultline.now_s() == pytest.approx(7, abs=0.001)


async def test_a_refusal_is_honoured_for_as_long_as_the_venue_says(faultline: Session) -> None:
    limited = limiter()
    limited.refused(429, 12.5)
    await limited.throttle()
    assert faultline.now_s() == pytest.approx(12.5, abs=0.001)


@pytest.mark.parametrize(("status", "first_s"), [(429, 1.0), (418, 5.0)])
async def test_refusals_without_a_hint_double_the_pause_until_one_is_served(
    faultline: Session, status: int, first_s: float
) -> None:
    limited = limiter()

    async def pause_s() -> float:
        began = faultline.now_s()
        for _ in range(5):
            limited.refused(status)  # five that were under way together are one refusal
        limited.served()  # so was this one: it was sent before the pause
        await limited.throttle()
        return faultline.now_s() - began

    pauses = [await pause_s() for _ in range(8)]
    assert pauses == pytest.approx([min(60, first_s * 2**n) for n in range(8)], abs=0.001)
    limited.served()
    assert await pause_s() == pytest.approx(first_s, abs=0.001)


async def test_jitter_stretches_pauses_so_that_clients_do_not_return_together(faultline: Session) -> None:
    clients = [RateLimiter(RateLimiterConfig(pause_jitter=0.5)) for _ in range(20)]
    for client in clients:
        client.refused(429)
    times = [t for client in await asyncio.gather(*(passes_at(faultline, c, 1) for c in clients)) for t in client]
    assert len(set(times)) == 20
    assert 1.0 <= min(times) < max(times) <= 1.501


# Several limits


async def test_history_and_all_others_have_limits_of_their_own(faultline: Session) -> None:
    limits = RateLimiters.projectx()
    history, others = await asyncio.gather(
        passes_at(faultline, limits, 60, "POST /api/History/retrieveBars"),
        passes_at(faultline, limits, 300, "POST /api/Order/place"),
    )
    assert Counter(round(t, 1) for t in history) == {0.0: 50, 30.1: 10}
    assert Counter(round(t, 1) for t in others) == {0.0: 200, 60.1: 100}


def layered() -> RateLimiters:
    return RateLimiters(
        {
            "orders": RateLimiterConfig(2, 10.0, reserve_seconds=0),
            "all": RateLimiterConfig(8, 4.0, reserve_seconds=0),
        },
        [BucketRule("POST /orders", ("orders", "all")), BucketRule("GET /book", ("all",), weight=3)],
        default=["all"],
    )


async def test_a_request_under_two_limits_keeps_both(faultline: Session) -> None:
    limits = layered()
    orders, others = await asyncio.gather(
        passes_at(faultline, limits, 5, "POST /orders"), passes_at(faultline, limits, 12)
    )
    assert [round(t) for t in orders] == [0, 0, 10, 10, 20]
    everything = sorted([*orders, *others])
    assert all(later - earlier >= 4 - 1e-6 for earlier, later in zip(everything, everything[8:], strict=False))
    # Orders that wait for their own limit do not hold up the rest, nor the rest them.
    assert [round(t) for t in others] == [0] * 6 + [4] * 6


async def test_a_rule_may_make_a_request_heavy(faultline: Session) -> None:
    assert [round(t) for t in await passes_at(faultline, layered(), 4, "GET /book")] == [0, 0, 4, 4]


async def test_a_request_that_waits_for_one_limit_notices_a_pause_of_another(faultline: Session) -> None:
    limits = layered()
    await passes_at(faultline, limits, 8)
    waiting = asyncio.create_task(limits.throttle("POST /orders"))
    await asyncio.sleep(3)
    limits.buckets["orders"].pause(4)
    await waiting
    assert faultline.now_s() == pytest.approx(7, abs=0.001)


async def test_what_the_venue_says_holds_for_all_buckets(faultline: Session) -> None:
    limits = layered()
    limits.refused(429)
    limits.pause(0.5)
    assert await passes_at(faultline, limits, 1, "POST /orders") == [pytest.approx(1.0, abs=0.001)]
    limits.served()
    limits.refused(418)
    assert await passes_at(faultline, limits, 1) == [pytest.approx(6.0, abs=0.001)]


# Settings


async def test_a_weight_that_no_window_holds_is_refused(faultline: Session) -> None:
    with pytest.raises(ValueError, match="weight 51 never fits: the limit is 50"):
        await limiter().throttle(weight=51)


@pytest.mark.parametrize(
    ("field", "value"),
    [("requests", 0), ("window_seconds", 0), ("queue_size", -1), ("reserve_seconds", -1), ("pause_jitter", 2)],
)
def test_a_setting_that_cannot_be_is_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field}: {value} is out of range"):
        RateLimiterConfig(**{field: value})


@pytest.mark.parametrize("buckets", [(), ("all", "nobody")])
def test_a_rule_has_to_name_buckets_that_exist(buckets: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"rule 'GET \*'"):
        RateLimiters({"all": RateLimiterConfig()}, [BucketRule("GET *", buckets)], default=["all"])
