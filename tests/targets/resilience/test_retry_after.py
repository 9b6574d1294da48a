"""How long a venue asks to be left alone, in every form that is sent, and which failures are worth another try."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from faultline.session import Session
from targets.resilience.retry_after import RETRY_AFTER_MAX_S, retry_after_s
from targets.resilience.retry_policy import Backoff


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("2", None, 2.0),
        (" 120 ", None, 120.0),
        ("0", None, 0.0),
        ("1.5", None, 1.5),
        ("9" * 400, None, RETRY_AFTER_MAX_S),
        (formatdate(1000, usegmt=True), formatdate(970, usegmt=True), 30.0),
        (formatdate(900, usegmt=True), formatdate(970, usegmt=True), 0.0),
        ("Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:07 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:07 GMT", 30.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", formatdate(970, usegmt=True), RETRY_AFTER_MAX_S),
        (None, None, None),
        ("", None, None),
        ("soon", None, None),
        ("-5", None, None),
        ("1e3", None, None),
        ("nan", None, None),
        ("²", None, None),
        ("Sun, 99 Foo 2026 99:99:99 GMT", None, None),
    ],
)
def test_both_forms_are_read_and_nonsense_is_not(value: str | None, date: str | None, expected: float | None) -> None:
    assert retry_after_s(value, date) == expected


def test_a_date_that_names_no_zone_is_in_gmt_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with monkeypatch.context() as tokyo:
            tokyo.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            assert retry_after_s("Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:07 GMT") == 30
    finally:
        time.tzset()


@pytest.mark.parametrize("date", [None, "yesterday"])
async def test_a_date_without_the_venues_own_is_read_against_our_clock(faultline: Session, date: str | None) -> None:
    assert retry_after_s(formatdate(time.time() + 60, usegmt=True), date) == pytest.approx(60, abs=1)


def test_delays_grow_to_their_maximum_and_are_never_shorter_than_asked_for() -> None:
    backoff = Backoff(base_s=1, multiplier=2, max_s=60)
    assert [backoff.delay_s(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.delay_s(10_000) == 60
    assert backoff.delay_s(1, 7.5) == 7.5
    assert backoff.delay_s(4, 7.5) == 8


def test_jitter_only_adds_and_follows_the_seed() -> None:
    def draws(seed: int) -> list[float]:
        async def play() -> list[float]:
            backoff = Backoff(base_s=1, multiplier=2, max_s=60, jitter=0.5)
            return [backoff.delay_s(3, 2.0) for _ in range(50)]

        return Session(seed).run(play)

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert 4 <= min(draws(1)) < max(draws(1)) <= 6
