from __future__ import annotations

from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.history import RateBucket
from faultline.venues.ratelimit import RateLimiter

POST, GET = "POST /orders", "GET /orders"


def bucket(limit: int = 2, window_s: float = 10.0, kind: Any = "sliding", **weights: int) -> RateBucket:
    return RateBucket("orders", limit, window_s, tuple(weights.items()) or ((POST, 1), ("GET *", 0)), kind)


def statuses(limiter: RateLimiter, *times: float, endpoint: str = POST) -> list[int]:
    return [limiter.charge(t, endpoint).status for t in times]


def test_a_sliding_window_frees_each_request_by_itself() -> None:
    assert statuses(RateLimiter([bucket()]), 0.0, 6.0, 9.9, 10.0, 15.9, 16.0) == [0, 0, 429, 0, 429, 0]


def test_a_fixed_window_frees_all_at_once_at_its_multiples() -> None:
    assert statuses(RateLimiter([bucket(kind="fixed")]), 8.0, 9.0, 9.5, 10.0, 11.0, 19.9, 20.0) == [
        0, 0, 429, 0, 0, 429, 0,
    ]  # fmt: skip


def test_refused_requests_do_not_count() -> None:
    assert statuses(RateLimiter([bucket()]), 0.0, 0.0, *[5.0] * 9, 10.0) == [0, 0, *[429] * 9, 0]


def test_a_request_costs_what_the_first_fitting_pattern_says() -> None:
    weights = RateBucket("all", 10, 60.0, ((POST, 5), ("GET *", 0), ("*", 1)))
    limiter = RateLimiter([weights])
    assert statuses(limiter, 0.0, endpoint=POST) == [0]
    assert statuses(limiter, *[0.0] * 20, endpoint=GET) == [0] * 20
    assert statuses(limiter, *[0.0] * 6, endpoint="DELETE /orders/{id}") == [0, 0, 0, 0, 0, 429]
    assert statuses(limiter, 0.0, endpoint=POST) == [429]


def test_the_headers_tell_of_the_fullest_bucket() -> None:
    wide = RateBucket("wide", 100, 60.0, (("*", 1),))
    limiter = RateLimiter([wide, bucket()])
    assert dict(limiter.charge(0.0, POST).headers) == {
        "X-RateLimit-Limit": "2", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "10",
    }  # fmt: skip
    assert dict(limiter.charge(0.0, "GET /fills").headers)["X-RateLimit-Limit"] == "100"


def test_an_endpoint_without_a_limit_has_no_headers() -> None:
    assert RateLimiter([bucket()]).charge(0.0, GET).headers == ()
    assert RateLimiter([]).charge(0.0, POST) == (0, ())


def test_retry_after_is_long_enough_and_in_whole_seconds() -> None:
    limiter = RateLimiter([bucket(limit=3)])
    assert statuses(limiter, 0.0, 1.5, 3.0) == [0, 0, 0]
    refused = limiter.charge(4.25, POST)
    assert dict(refused.headers)["Retry-After"] == "6"
    assert statuses(limiter, 4.25 + 6) == [0]


def test_a_heavy_request_is_told_to_wait_until_enough_is_free() -> None:
    limiter = RateLimiter([RateBucket("w", 3, 10.0, ((POST, 3), ("*", 1)))])
    assert statuses(limiter, 0.0, 4.0, endpoint="GET /fills") == [0, 0]
    assert dict(limiter.charge(5.0, POST).headers)["Retry-After"] == "9"
    assert statuses(limiter, 13.9, 14.0) == [429, 0]


def test_a_request_that_never_fits_is_told_to_wait_a_window() -> None:
    limiter = RateLimiter([RateBucket("w", 3, 10.0, ((POST, 4),))])
    assert dict(limiter.charge(0.0, POST).headers)["Retry-After"] == "10"


def test_all_buckets_must_agree_and_none_is_charged_when_one_does_not() -> None:
    one = RateBucket("one", 1, 1.0, ((POST, 1),))
    many = RateBucket("many", 2, 100.0, ((POST, 1),))
    limiter = RateLimiter([one, many])
    assert statuses(limiter, 0.0, 0.5, 0.6, 1.0, 2.0) == [0, 429, 429, 0, 429]


def test_too_many_refusals_in_a_row_become_a_ban() -> None:
    limiter = RateLimiter([bucket()], ban_after=3, ban_s=100.0)
    assert statuses(limiter, 0, 0, 1, 1, 1, 1, 50) == [0, 0, 429, 429, 429, 418, 418]
    banned = limiter.charge(100.5, "GET /time")
    assert (banned.status, banned.headers) == (418, (("Retry-After", "1"),))
    assert statuses(limiter, 101.0) == [0]


def test_a_success_forgives_the_refusals_before_it() -> None:
    limiter = RateLimiter([bucket(limit=1)], ban_after=2, ban_s=100.0)
    assert statuses(limiter, 0, 1, 2, 10, 11, 12, 13) == [0, 429, 429, 0, 429, 429, 418]


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["sliding", "fixed"]),
    limit=st.integers(1, 6),
    steps=st.lists(st.tuples(st.integers(0, 12), st.sampled_from([POST, GET])), max_size=60),
)
def test_no_window_ever_holds_more_than_its_limit(
    kind: Literal["sliding", "fixed"], limit: int, steps: list[tuple[int, str]]
) -> None:
    weights = {POST: 2, GET: 1}
    limiter = RateLimiter([RateBucket("b", limit, 10.0, tuple(weights.items()), kind)])
    t, passed = 0.0, []
    for step, endpoint in steps:
        t += step
        start = t // 10.0 * 10.0 if kind == "fixed" else t - 10.0
        used = sum(weight for at, weight in passed if at >= start and (kind == "fixed" or at > start))
        charge = limiter.charge(t, endpoint)
        assert (charge.status == 0) == (used + weights[endpoint] <= limit)
        if charge.status == 0:
            passed.append((t, weights[endpoint]))
        elif weights[endpoint] <= limit:
            # Who waits as long as he was told gets in, if nobody else came meanwhile.
            t += float(dict(charge.headers)["Retry-After"])
            assert limiter.charge(t, endpoint).status == 0
            passed.append((t, weights[endpoint]))
