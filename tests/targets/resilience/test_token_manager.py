"""One token for everybody: renewed in time, by one at a time, and never replaced by an older one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from faultline.session import Session
from targets.resilience.errors import APIError, AuthenticationError
from targets.resilience.token_manager import Grant, TokenManager, TokenManagerConfig
from targets.resilience.token_store import MemoryTokenStore, TokenState

DAY_S = 86_400.0
HOUR_S = 3600.0
CONFIG = TokenManagerConfig(refresh_buffer_seconds=7200, max_refresh_retries=3, storage_type="memory")


class Issuer:
    """Issues token1, token2, ... and notes what it was asked for, and when.

    ``trouble`` maps the number of a request, from 1, to what becomes of it: an exception, or something to await first.
    """

    def __init__(self, faultline: Session, life_s: float = DAY_S, *, takes_s: float = 0.1, refreshes: bool = True):
        self._faultline = faultline
        self.life_s = life_s
        self.takes_s = takes_s
        self.refreshes = refreshes
        self.trouble: dict[int, Exception | Callable[[], Awaitable[object]]] = {}
        self.always: Exception | None = None
        self.asked: list[str] = []
        self.times: list[float] = []
        self.issued = 0

    async def authenticate(self) -> Grant:
        return await self._issue("login")

    async def refresh(self, token: str) -> Grant:
        return await self._issue(f"refresh {token}")

    async def _issue(self, what: str) -> Grant:
        self.asked.append(what)
        self.times.append(round(self._faultline.now_s(), 2))
        await asyncio.sleep(self.takes_s)
        trouble = self.trouble.get(len(self.asked), self.always)
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            await trouble()
        self.issued += 1
        return Grant(f"token{self.issued}", self.life_s, f"refresh{self.issued}" if self.refreshes else "")


def down(status: int | None = 503, **more: Any) -> APIError:
    return APIError("trouble", status, **more)


async def hangs() -> None:
    await asyncio.Event().wait()


def managed(issuer: Issuer | None, **settings: Any) -> TokenManager:
    return TokenManager(TokenManagerConfig(**settings) if settings else CONFIG, issuer)


# When


async def test_the_first_caller_logs_in_and_the_next_ones_use_that(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    await manager.initialize()
    assert (issuer.asked, manager.state, manager.is_expired(), manager.needs_refresh()) == ([], None, True, True)
    assert [await manager.get_valid_token() for _ in range(5)] == ["token1"] * 5
    assert (issuer.asked, manager.generation) == (["login"], 1)
    assert not manager.needs_refresh()


@pytest.mark.parametrize("life_s", [DAY_S, 2 * HOUR_S + 61])
async def test_a_token_is_renewed_two_hours_before_it_expires(faultline: Session, life_s: float) -> None:
    issuer = Issuer(faultline, life_s, takes_s=0)
    manager = managed(issuer)
    await manager.get_valid_token()
    await asyncio.sleep(life_s - 2 * HOUR_S - 0.5)
    assert (manager.needs_refresh(), await manager.get_valid_token()) == (False, "token1")
    await asyncio.sleep(1)
    assert (manager.needs_refresh(), manager.is_expired()) == (True, False)
    assert await manager.get_valid_token() == "token2"
    assert issuer.asked == ["login", "refresh refresh1"]


@pytest.mark.parametrize(("life_s", "renewals"), [(HOUR_S, 13), (60.0, 130), (4.0, 130), (2 * HOUR_S + 1, 600)])
async def test_tokens_that_hardly_outlive_the_buffer_cause_no_storm(
    faultline: Session, life_s: float, renewals: int
) -> None:
    issuer = Issuer(faultline, life_s, takes_s=0)
    manager = managed(issuer)
    step_s = min(life_s / 50, 30.0)
    while faultline.now_s() < min(10 * HOUR_S, 100 * life_s):
        token = await manager.get_valid_token()
        assert token == f"token{issuer.issued}"
        assert not manager.is_expired()
        await asyncio.sleep(step_s)
    lives = faultline.now_s() / life_s
    assert len(issuer.asked) <= renewals
    assert len(issuer.asked) <= max(lives * 1.3, faultline.now_s() / 60) + 1


async def test_a_life_counts_from_when_the_token_was_asked_for(faultline: Session) -> None:
    issuer = Issuer(faultline, life_s=10, takes_s=4)
    manager = managed(issuer)
    await manager.get_valid_token()
    await asyncio.sleep(3.9)
    assert not manager.needs_refresh()
    await asyncio.sleep(0.2)
    assert manager.needs_refresh()
    await asyncio.sleep(2)
    assert manager.is_expired()


async def test_a_step_of_the_wall_clock_moves_nothing(faultline: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = managed(Issuer(faultline))
    await manager.get_valid_token()
    wall_s = time.time
    for step_s in (-DAY_S, DAY_S):
        with monkeypatch.context() as stepped:
            stepped.setattr(time, "time", lambda step_s=step_s: wall_s() + step_s)
            assert not manager.needs_refresh()
            assert not manager.is_expired()
            await asyncio.sleep(10 * HOUR_S)
    assert not manager.needs_refresh()
    await asyncio.sleep(2 * HOUR_S)
    assert manager.needs_refresh()


async def test_an_expired_token_is_never_handed_out(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    await manager.get_valid_token()
    issuer.always = down(400)
    await asyncio.sleep(DAY_S + HOUR_S)
    assert manager.is_expired()
    assert not manager.is_ready()
    with pytest.raises(AuthenticationError):
        await manager.get_valid_token()


@pytest.mark.parametrize(("life_s", "leeway_s"), [(DAY_S, 5), (10.0, 2)])
async def test_a_token_that_may_expire_on_its_way_is_not_handed_out(
    faultline: Session, life_s: float, leeway_s: float
) -> None:
    issuer = Issuer(faultline, life_s, takes_s=0)
    manager = managed(issuer)
    await manager.get_valid_token()
    issuer.always = down(400)
    await asyncio.sleep(life_s - leeway_s - 0.1)
    assert await manager.get_valid_token() == "token1"
    await asyncio.sleep(0.2)
    assert not manager.is_expired()
    with pytest.raises(AuthenticationError):
        await manager.get_valid_token()


# By whom


async def test_ten_callers_at_once_cause_one_renewal_and_get_the_same_token(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    assert await asyncio.gather(*(manager.get_valid_token() for _ in range(10))) == ["token1"] * 10
    await asyncio.sleep(DAY_S - HOUR_S)
    assert await asyncio.gather(*(manager.get_valid_token() for _ in range(10))) == ["token2"] * 10
    assert issuer.asked == ["login", "refresh refresh1"]


async def test_a_hundred_401s_at_once_and_stragglers_cause_one_renewal(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    rejected = await manager.get_valid_token()
    await asyncio.sleep(60)

    async def request(answered_after_s: float) -> str:
        await asyncio.sleep(answered_after_s)
        manager.reject(rejected)
        return await manager.get_valid_token()

    assert set(await asyncio.gather(*(request(number / 100) for number in range(100)))) == {"token2"}
    assert len(issuer.asked) == 2
    assert manager.generation == 2


async def test_a_late_401_says_nothing_about_a_newer_token(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    manager.reject("a token of somebody else")
    manager.reject(await manager.get_valid_token())
    assert manager.is_expired()
    await manager.get_valid_token()
    manager.reject("token1")
    assert not manager.is_expired()
    assert await manager.get_valid_token() == "token2"


async def test_a_caller_that_is_cancelled_takes_nobodys_renewal_away(faultline: Session) -> None:
    issuer = Issuer(faultline, takes_s=5)
    manager = managed(issuer)
    callers = [asyncio.create_task(manager.get_valid_token()) for _ in range(3)]
    await asyncio.sleep(1)
    callers[0].cancel()
    await asyncio.wait(callers)
    assert callers[0].cancelled()
    assert [caller.result() for caller in callers[1:]] == ["token1"] * 2
    alone = asyncio.create_task(managed(issuer).get_valid_token())
    await asyncio.sleep(1)
    alone.cancel()
    await asyncio.sleep(10)
    assert issuer.asked == ["login", "login"]


async def test_while_the_old_token_is_good_nobody_waits_long_for_the_new_one(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    await manager.get_valid_token()
    issuer.trouble = {2: hangs}
    await asyncio.sleep(DAY_S - HOUR_S)
    began = faultline.now_s()
    assert await asyncio.gather(*(manager.get_valid_token() for _ in range(10))) == ["token1"] * 10
    assert faultline.now_s() - began == pytest.approx(5, abs=0.01)
    assert await manager.get_valid_token() == "token1"
    assert faultline.now_s() - began == pytest.approx(5, abs=0.01)
    await asyncio.sleep(10)
    assert await manager.get_valid_token() == "token2"


async def test_an_outage_while_the_old_token_is_good_is_not_noticed_by_callers(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    await manager.get_valid_token()
    issuer.always = down()
    await asyncio.sleep(DAY_S - HOUR_S)
    waits = []
    for _ in range(100):
        began = faultline.now_s()
        assert await manager.get_valid_token() == "token1"
        waits.append(faultline.now_s() - began)
        await asyncio.sleep(10)
    assert sum(waits) < 1
    assert len(issuer.asked) < 140
    issuer.always = None
    await asyncio.sleep(60)
    await manager.get_valid_token()
    await asyncio.sleep(10)
    assert await manager.get_valid_token() == "token2"


async def test_closing_ends_a_renewal_and_tells_those_who_wait(faultline: Session) -> None:
    manager = managed(Issuer(faultline, takes_s=5))
    await manager.close()
    caller = asyncio.create_task(manager.get_valid_token())
    await asyncio.sleep(1)
    await manager.close()
    with pytest.raises(AuthenticationError, match="closed"):
        await caller


# How


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refresh_that_is_declined_leads_to_a_login_at_once(faultline: Session, status: int) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    manager.reject(await manager.get_valid_token())
    issuer.trouble = {2: down(status)}
    assert await manager.get_valid_token() == "token2"
    assert issuer.asked == ["login", "refresh refresh1", "login"]
    assert issuer.times == [0, 0.1, 0.2]


@pytest.mark.parametrize("failure", [down(), down(500), down(429), down(None), ConnectionResetError(), TimeoutError()])
async def test_a_refresh_that_fails_is_tried_three_times_more_and_then_a_login(
    faultline: Session, failure: Exception
) -> None:
    issuer = Issuer(faultline, takes_s=0)
    manager = managed(issuer)
    manager.reject(await manager.get_valid_token())
    issuer.trouble = dict.fromkeys(range(2, 7), failure)
    assert await manager.get_valid_token() == "token2"
    assert issuer.asked == ["login", *["refresh refresh1"] * 4, "login", "login"]
    assert issuer.times == [0, 0, 1, 3, 7, 7, 8]


async def test_jitter_keeps_the_tries_of_many_clients_apart(faultline: Session) -> None:
    issuers = [Issuer(faultline, takes_s=0) for _ in range(20)]
    for issuer in issuers:
        issuer.trouble = {1: down()}
    await asyncio.gather(*(managed(issuer, jitter=0.5).get_valid_token() for issuer in issuers))
    second_tries = [issuer.times[1] for issuer in issuers]
    assert len(set(second_tries)) > 12
    assert 1 <= min(second_tries) < max(second_tries) <= 1.5


async def test_a_refresh_whose_answer_was_lost_has_spent_its_token_and_a_login_helps(faultline: Session) -> None:
    issuer = Issuer(faultline, takes_s=0)
    manager = managed(issuer, attempt_seconds=2)
    manager.reject(await manager.get_valid_token())
    issuer.trouble = {2: hangs, 3: down(400), **dict.fromkeys(range(4, 8), down())}
    with pytest.raises(AuthenticationError, match="no token: APIError 503"):
        await manager.get_valid_token()
    await asyncio.sleep(60)
    assert await manager.get_valid_token() == "token2"
    assert issuer.asked == ["login", *["refresh refresh1"] * 2, *["login"] * 5]


async def test_a_refresh_that_returns_the_rejected_token_has_failed(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    manager.reject(await manager.get_valid_token())
    issuer.issued = 0
    assert await manager.get_valid_token() == "token2"
    assert issuer.asked == ["login", "refresh refresh1", "login"]


async def test_a_token_that_renews_itself_is_not_shown_when_it_is_dead(faultline: Session) -> None:
    issuer = Issuer(faultline, refreshes=False)
    manager = managed(issuer)
    await manager.get_valid_token()
    await asyncio.sleep(DAY_S - HOUR_S)
    manager.reject(await manager.get_valid_token())
    await manager.get_valid_token()
    await asyncio.sleep(DAY_S)
    await manager.get_valid_token()
    assert issuer.asked == ["login", "refresh token1", "login", "login"]


async def test_where_a_refresh_issues_no_new_refresh_token_the_old_one_stays(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = managed(issuer)
    await manager.get_valid_token()
    issuer.refreshes = False
    for _ in range(2):
        await asyncio.sleep(DAY_S)
        await manager.get_valid_token()
    assert issuer.asked == ["login", "refresh refresh1", "refresh refresh1"]


async def test_wrong_credentials_are_tried_once_and_then_at_growing_distances(faultline: Session) -> None:
    issuer = Issuer(faultline, takes_s=0)
    issuer.always = down(401)
    manager = managed(issuer)
    while faultline.now_s() < 300:
        with pytest.raises(AuthenticationError, match="no token: APIError 401") as raised:
            await manager.get_valid_token()
        assert (raised.value.status_code, raised.value.effect) == (401, "none")
        assert raised.value.__cause__ is issuer.always
        await asyncio.sleep(0.1)
    gaps_s = [round(later - earlier) for earlier, later in zip(issuer.times, issuer.times[1:], strict=False)]
    assert gaps_s == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_venue_that_rejects_what_it_issues_is_not_asked_for_ever(faultline: Session) -> None:
    issuer = Issuer(faultline, takes_s=0.01)
    manager = managed(issuer)
    while faultline.now_s() < 60:
        manager.reject(await manager.get_valid_token())
        await asyncio.sleep(0.05)
    assert len(issuer.asked) <= 10
    assert await manager.get_valid_token()
    await asyncio.sleep(10)
    began = faultline.now_s()
    for _ in range(2):
        manager.reject(await manager.get_valid_token())
        await manager.get_valid_token()
    assert faultline.now_s() - began < 1


async def test_a_pause_that_the_venue_asks_for_is_kept_and_a_long_one_is_not_waited_for(faultline: Session) -> None:
    issuer = Issuer(faultline, takes_s=0)
    issuer.trouble = {1: down(429, retry_after_s=20.0), 3: down(429, retry_after_s=600.0)}
    manager = managed(issuer)
    assert await manager.get_valid_token() == "token1"
    assert faultline.now_s() == pytest.approx(20, abs=0.01)
    issuer.always = down(429, retry_after_s=600.0)
    manager.reject("token1")
    with pytest.raises(AuthenticationError) as raised:
        await manager.get_valid_token()
    assert raised.value.retry_after_s == pytest.approx(600, abs=0.1)
    assert faultline.now_s() < 21


@pytest.mark.parametrize("grant", [Grant("", 60), Grant("token", 0), Grant("token", -5), Grant("token", float("nan"))])
async def test_an_answer_without_a_token_that_lives_is_a_failure(faultline: Session, grant: Grant) -> None:
    class Odd(Issuer):
        async def authenticate(self) -> Grant:
            self.asked.append("login")
            return grant

    issuer = Odd(faultline)
    with pytest.raises(AuthenticationError):
        await managed(issuer).get_valid_token()
    assert len(issuer.asked) == 4


async def test_tokens_that_die_before_they_can_be_used_are_not_fetched_for_ever(faultline: Session) -> None:
    issuer = Issuer(faultline, life_s=0.05, takes_s=0.1)
    with pytest.raises(AuthenticationError, match="before it could be used"):
        await managed(issuer).get_ready()
    assert len(issuer.asked) == 3


async def test_without_an_authenticator_there_is_only_what_is_stored(faultline: Session) -> None:
    with pytest.raises(AuthenticationError, match="no authenticator"):
        await managed(None).get_valid_token()


# Across restarts


def stored(*, issued_s_ago: float, life_s: float = DAY_S) -> MemoryTokenStore:
    issued = datetime.now(UTC) - timedelta(seconds=issued_s_ago)
    store = MemoryTokenStore()
    store.save(TokenState("stored", issued + timedelta(seconds=life_s), issued, "kept"))
    return store


async def restarted(issuer: Issuer, store: MemoryTokenStore) -> TokenManager:
    manager = TokenManager(CONFIG, issuer, store=store)
    await manager.initialize()
    return manager


async def test_a_stored_token_is_used_for_as_long_as_it_lives(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = await restarted(issuer, stored(issued_s_ago=21 * HOUR_S))
    assert await manager.get_valid_token() == "stored"
    await asyncio.sleep(HOUR_S + 1)
    assert await manager.get_valid_token() == "token1"
    assert issuer.asked == ["refresh kept"]
    await manager.initialize()
    assert await manager.get_valid_token() == "token1"


async def test_a_stored_token_that_has_expired_is_refreshed(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = await restarted(issuer, stored(issued_s_ago=30 * HOUR_S))
    assert manager.is_expired()
    assert await manager.get_valid_token() == "token1"
    assert issuer.asked == ["refresh kept"]


async def test_a_clock_that_was_set_back_does_not_prolong_a_stored_token(faultline: Session) -> None:
    issuer = Issuer(faultline)
    manager = await restarted(issuer, stored(issued_s_ago=-5 * HOUR_S))
    assert manager.is_expired()
    assert await manager.get_valid_token() == "token1"


async def test_what_is_issued_is_stored_in_wall_clock_time(faultline: Session) -> None:
    store = MemoryTokenStore()
    issuer = Issuer(faultline, life_s=HOUR_S, takes_s=4)
    issuer.trouble = {1: down()}
    manager = await restarted(issuer, store)
    await manager.get_valid_token()
    state = store.load()
    assert state is not None
    assert state == manager.state
    assert state.expiry - state.refresh_time == timedelta(seconds=HOUR_S)
    assert (datetime.now(UTC) - state.refresh_time).total_seconds() == pytest.approx(4, abs=0.01)


async def test_a_disk_that_is_full_does_not_cost_the_token(faultline: Session) -> None:
    class Full(MemoryTokenStore):
        def save(self, state: TokenState) -> None:
            raise OSError(28, "No space left on device")

        def load(self) -> TokenState | None:
            return stored(issued_s_ago=HOUR_S).load()

    manager = await restarted(Issuer(faultline), Full())
    manager.reject("stored")
    assert await manager.get_valid_token() == "token1"
    await manager.initialize()
    assert (await manager.get_valid_token(), manager.generation) == ("token1", 2)


# Secrets and settings


async def test_no_secret_is_in_a_repr_a_log_or_an_error(
    faultline: Session, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    key = "bm90IGEgc2VjcmV0LCBidXQgYXMgbG9uZyBhcyBvbmU="
    config = TokenManagerConfig(storage_type="file", storage_path=str(tmp_path / "token"), encryption_key=key)
    issuer = Issuer(faultline)
    issuer.trouble = {2: ValueError("cannot read {'access_token': 'token7'}"), 3: down(401)}
    manager = TokenManager(config, issuer)
    manager.reject(await manager.get_valid_token())
    shown = [repr(config), repr(manager), repr(manager.state), repr(Grant("token7", 1, "refresh7"))]
    with pytest.raises(AuthenticationError) as raised:
        await manager.get_valid_token()
    shown += [repr(raised.value), repr(raised.value.__cause__)]
    issuer.always = ValueError("cannot read {'access_token': 'token8'}")
    await asyncio.sleep(60)
    with pytest.raises(AuthenticationError, match="no token: ValueError") as raised:
        await manager.get_valid_token()
    assert raised.value.__cause__ is None
    shown += [repr(raised.value), *(record.getMessage() for record in caplog.records)]
    assert len(caplog.records) > 2
    for secret in ("token1", "refresh1", "token7", "refresh7", "token8", key):
        assert not [text for text in shown if secret in text], secret


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"refresh_buffer_seconds": -1}, "refresh_buffer_seconds: -1"),
        ({"max_refresh_retries": -1}, "max_refresh_retries: -1"),
        ({"refresh_share": 1}, "refresh_share: 1"),
        ({"jitter": 2}, "jitter: 2"),
        ({"storage_type": "cloud"}, "storage_type: 'cloud' is neither"),
        ({"storage_type": "file"}, "storage_path: needed"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenManagerConfig(**settings)
