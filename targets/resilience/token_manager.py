"""The access token: one for everybody, renewed by one at a time, before it expires.

* **When.** ``refresh_buffer_seconds`` before it expires. A token that does not live that long is renewed when
  ``refresh_share`` of its life is left, and none is renewed within a minute of its birth (or half its life) for being
  due: a venue that hands out short tokens must not cause a storm of renewals.
* **By whom.** However many callers find the token due, expired or rejected at once, one renewal runs, in a task of its
  own, and all wait for it. A caller that is cancelled takes nobody's renewal away. While the old token is still good,
  nobody waits long for the new one, and nobody at all once a try has failed.
* **How.** It is refreshed; where that fails, or the token is too dead to renew itself, the client logs in anew. Both
  are tried again ``max_refresh_retries`` times where that may help. When nothing helped, the next renewal keeps a
  growing distance, and so it does when the venue rejects what it has just issued.
* **Which.** ``reject`` names the token that the venue refused. A late 401 for an old token says nothing about its
  successor, and a refresh that returns the very token that was rejected has failed.
* **How long.** Its life counts from the moment it was asked for, by the monotonic clock: the venue started no earlier,
  and a step of the wall clock moves nothing. Only what is stored speaks in wall clock time. When that cannot be right
  (the token would come from the future), the clock was set, and the token is renewed before use.

No token is ever in a ``repr``, in a log or in an error.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_before_delay

from targets.resilience.errors import APIError, AuthenticationError, ResilienceError
from targets.resilience.ranges import in_range
from targets.resilience.retry_policy import Backoff, is_transient, retry_after_of, sleep
from targets.resilience.token_store import FileTokenStore, MemoryTokenStore, TokenCipher, TokenState, TokenStore

log = logging.getLogger(__name__)

LEEWAY_S: Final = 5.0
LEEWAY_SHARE: Final = 0.2
"""A token that will live no longer than this is not shown any more, because the request may take that long to arrive:
five seconds, or a fifth of a life shorter than that allows."""
LIFE_MAX_S: Final = 366 * 86_400.0
"""A longer life is not believed."""
RENEWAL_MAX_S: Final = 60.0
"""How long a refresh, or a login, is tried again before it counts as failed."""
YOUTH_S: Final = 60.0
"""A new token is not due for so long, or for half its life if that is shorter."""
PATIENCE_S: Final = 5.0
"""How long a renewal is waited for while the old token is still good."""
REJECTED_AT_BIRTH_S: Final = 2.0
"""A token rejected within this time was never good: renewing at once would go in circles."""
CLOCKS_AGREE_S: Final = 2.0
"""How far a stored moment may lie ahead without it meaning that the wall clock was set."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a venue issues: a token, how long it lives from the moment it was asked for, and what renews it.

    ``refresh_token`` is empty where the token itself is shown to renew it.
    """

    token: str = field(repr=False)
    life_s: float
    refresh_token: str = field(default="", repr=False)


class Authenticator(Protocol):
    """How one venue issues tokens. Each method makes one request, through the rate limiter, and retries nothing.

    They raise APIError when the venue says no, or ConnectionError or TimeoutError. A venue without a refresh logs in
    there too. Errors must not quote requests or answers.
    """

    async def authenticate(self) -> Grant:
        """Log in."""
        ...

    async def refresh(self, token: str) -> Grant:
        """Renew: ``token`` is the refresh token, or the access token where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class TokenManagerConfig:
    """``storage_type`` "file" keeps the token in ``storage_path``, encrypted under ``encryption_key`` (see
    :mod:`~targets.resilience.token_store`), for the account that ``owner`` names. ``jitter`` stretches the delays
    between tries (1, 2, 4... s) by up to that share at random. Raises ValueError for what cannot be.
    """

    refresh_buffer_seconds: float = 7200
    max_refresh_retries: int = 3
    storage_type: Literal["memory", "file"] = "memory"
    storage_path: str = ""
    encryption_key: str = field(default="", repr=False)
    owner: str = ""
    refresh_share: float = 0.2
    attempt_seconds: float = 10.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        in_range("refresh_buffer_seconds", self.refresh_buffer_seconds, 0)
        in_range("max_refresh_retries", self.max_refresh_retries, 0)
        in_range("refresh_share", self.refresh_share, 0, 0.9)
        in_range("attempt_seconds", self.attempt_seconds, 0.001)
        in_range("jitter", self.jitter, 0, 1)
        if self.storage_type not in ("memory", "file"):
            raise ValueError(f"storage_type: {self.storage_type!r} is neither 'memory' nor 'file'")
        if self.storage_type == "file" and not self.storage_path:
            raise ValueError("storage_path: needed where storage_type is 'file'")


@dataclass(slots=True)
class _Held:
    """The token in use. Moments are monotonic."""

    state: TokenState
    born_at: float
    renew_at: float
    good_until: float
    expires_at: float
    rejected: bool = False
    spent: bool = False
    """The venue has declined to renew it."""

    @property
    def usable(self) -> bool:
        return not self.rejected and time.monotonic() < self.good_until

    @property
    def can_renew(self) -> bool:
        """Whether a refresh has anything to show that may still be accepted."""
        alive = not self.rejected and time.monotonic() < self.expires_at
        return not self.spent and (bool(self.state.refresh_token) or alive)


@dataclass(frozen=True, slots=True)
class _Renewal:
    """One renewal. ``trouble`` is done as soon as one of its tries has failed."""

    task: asyncio.Task[None]
    trouble: asyncio.Future[None]
    began_at: float


class TokenManager:
    """Hands out the token of one account. Belongs to one event loop; :meth:`close` it there."""

    def __init__(
        self,
        config: TokenManagerConfig,
        authenticator: Authenticator | None = None,
        *,
        store: TokenStore | None = None,
    ) -> None:
        self.config = config
        self._authenticator = authenticator
        self._store = _store_of(config) if store is None else store
        self._held: _Held | None = None
        self._generation = 0
        self._backoff = Backoff(base_s=1.0, multiplier=2.0, max_s=60.0, jitter=config.jitter)
        self._renewal: _Renewal | None = None
        self._failure: AuthenticationError | None = None
        self._failures = 0
        self._births_rejected = 0
        self._not_before = 0.0

    @property
    def state(self) -> TokenState | None:
        """The token in use, None before there is one. Its moments are the wall clock's when it was issued."""
        return None if self._held is None else self._held.state

    @property
    def generation(self) -> int:
        """How many tokens there have been. Never decreases."""
        return self._generation

    def is_ready(self) -> bool:
        """Whether there is a token that is good for a request now."""
        return self._held is not None and self._held.usable

    def needs_refresh(self) -> bool:
        """Whether the next caller starts a renewal."""
        return not self.is_ready() or (self._held is not None and time.monotonic() >= self._held.renew_at)

    def is_expired(self) -> bool:
        """Whether the venue accepts the token no longer, or there is none."""
        return self._held is None or self._held.rejected or time.monotonic() >= self._held.expires_at

    async def initialize(self) -> None:
        """Take up the token that an earlier process left, if it can be used. Sends nothing, and replaces no token."""
        stored = self._store.load()
        if stored is None or self._held is not None:
            return
        now = datetime.now(UTC)
        left_s = (stored.expiry - now).total_seconds()
        life_s = (stored.expiry - stored.refresh_time).total_seconds()
        held = self._hold(stored, time.monotonic() - (life_s - left_s), life_s)
        if stored.refresh_time > now + timedelta(seconds=CLOCKS_AGREE_S):
            log.warning("the stored token comes from the future, so the clock was set: renewing it before use")
            held.rejected = True

    async def get_valid_token(self) -> str:
        """A token that is good for a request. Raises AuthenticationError when the venue gives none."""
        if self.is_ready() and self.needs_refresh() and not self._failed_lately:
            await self._renew_with_patience()
        for _ in range(3):
            if self._held is not None and self._held.usable:
                return self._held.state.token
            await self._wait_for_renewal()
        raise AuthenticationError("every token was rejected or expired before it could be used")

    async def get_ready(self) -> None:
        """As :meth:`get_valid_token`, for those who want the token later."""
        await self.get_valid_token()

    def reject(self, token: str) -> None:
        """The venue did not accept ``token``. Says nothing about a newer one."""
        held = self._held
        if held is None or held.rejected or token != held.state.token:
            return
        held.rejected = True
        if time.monotonic() - held.born_at >= REJECTED_AT_BIRTH_S:
            self._births_rejected = 0
            return
        # The first time it may have been bad luck: when tokens are revoked, one of them is always the youngest.
        if self._births_rejected:
            self._not_before = time.monotonic() + self._backoff.delay_s(self._births_rejected)
        self._births_rejected += 1

    async def close(self) -> None:
        """Stop a renewal that is under way. Its callers get AuthenticationError."""
        if self._renewal is not None:
            self._renewal.task.cancel()
            await asyncio.wait({self._renewal.task})

    # Waiting for a renewal

    @property
    def _failed_lately(self) -> bool:
        return self._failure is not None and time.monotonic() < self._not_before

    async def _renew_with_patience(self) -> None:
        """Start a renewal, or join it, for as long as that is no hindrance: the old token is still good."""
        renewal = self._running_renewal()
        patience_s = renewal.began_at + PATIENCE_S - time.monotonic()
        if patience_s > 0 and not renewal.trouble.done():
            await asyncio.wait({renewal.task, renewal.trouble}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)

    async def _wait_for_renewal(self) -> None:
        if not self._failed_lately:
            renewal = self._running_renewal().task
            # Not awaited itself: that would cancel it for all when one of them is cancelled.
            await asyncio.wait({renewal})
            if renewal.cancelled():
                raise AuthenticationError("the token manager was closed during the renewal")
            renewal.result()
        if self._failure is not None:
            # One of its own for each caller, who may write into it.
            left_s = max(0.0, self._not_before - time.monotonic())
            failure = AuthenticationError(str(self._failure), self._failure.status_code, retry_after_s=left_s)
            raise failure from self._failure.__cause__

    def _running_renewal(self) -> _Renewal:
        if self._renewal is None or self._renewal.task.done():
            trouble = asyncio.get_running_loop().create_future()
            if self._failures:
                trouble.set_result(None)
            task = asyncio.create_task(self._renew(trouble), name="token renewal")
            self._renewal = _Renewal(task, trouble, time.monotonic())
        return self._renewal

    # Renewing

    async def _renew(self, trouble: asyncio.Future[None]) -> None:
        if (wait_s := self._not_before - time.monotonic()) > 0:
            await sleep(wait_s)
        try:
            grant, asked_at = await self._obtain(trouble)
        except AuthenticationError as error:
            self._failures += 1
            self._failure = error
            self._not_before = time.monotonic() + self._backoff.delay_s(self._failures, error.retry_after_s)
            log.error("%s", error)
        else:
            self._failures = 0
            self._failure = None
            self._take(grant, asked_at)

    async def _obtain(self, trouble: asyncio.Future[None]) -> tuple[Grant, float]:
        """A new grant, and when it was asked for. Raises AuthenticationError."""
        authenticator, held = self._authenticator, self._held
        if authenticator is None:
            raise AuthenticationError("there is no usable token, and no authenticator to get one")
        if held is not None and held.can_renew:
            shown = held.state.refresh_token or held.state.token
            try:
                grant, asked_at = await self._tried(lambda: authenticator.refresh(shown), trouble)
            except Exception as error:
                # A refresh token that was declined is spent, perhaps by an earlier try whose answer was lost.
                held.spent = not is_transient(error)
                log.warning("the refresh failed (%s); logging in", _named(error))
            else:
                if not (held.rejected and grant.token == held.state.token):
                    # A venue that issues no new refresh token means the old one (RFC 6749, section 6).
                    return replace(grant, refresh_token=grant.refresh_token or held.state.refresh_token), asked_at
                log.warning("the refresh returned the token that was rejected; logging in")
        try:
            return await self._tried(authenticator.authenticate, trouble)
        except Exception as error:
            status = error.status_code if isinstance(error, APIError) else None
            failure = AuthenticationError(f"no token: {_named(error)}", status, retry_after_s=retry_after_of(error))
            # The text of any other error is not ours: it may quote the answer, and with it a token.
            raise failure from (error if isinstance(error, ResilienceError | OSError) else None)

    async def _tried(self, ask: Callable[[], Awaitable[Grant]], trouble: asyncio.Future[None]) -> tuple[Grant, float]:
        async def once() -> tuple[Grant, float]:
            asked_at = time.monotonic()
            try:
                async with asyncio.timeout(self.config.attempt_seconds):
                    grant = await ask()
                if not grant.token or not 0 < grant.life_s < math.inf:
                    raise APIError("an answer without a token, or with one that does not live")
            except Exception:
                if not trouble.done():
                    trouble.set_result(None)
                raise
            return grant, asked_at

        def delay_s(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return self._backoff.delay_s(state.attempt_number, retry_after_of(error))

        return await AsyncRetrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_attempt(1 + self.config.max_refresh_retries) | stop_before_delay(RENEWAL_MAX_S),
            wait=delay_s,
            sleep=sleep,
            reraise=True,
        )(once)

    # Holding a token

    def _take(self, grant: Grant, asked_at: float) -> None:
        life_s = min(grant.life_s, LIFE_MAX_S)
        issued = datetime.now(UTC) - timedelta(seconds=time.monotonic() - asked_at)
        state = TokenState(grant.token, issued + timedelta(seconds=life_s), issued, grant.refresh_token)
        self._hold(state, asked_at, life_s)
        try:
            self._store.save(state)
        except OSError as error:
            log.warning("the token could not be stored (%s); the next process will log in", _named(error))

    def _hold(self, state: TokenState, born_at: float, life_s: float) -> _Held:
        expires_at = born_at + life_s
        good_until = expires_at - min(LEEWAY_S, LEEWAY_SHARE * life_s)
        buffer_s = self.config.refresh_buffer_seconds
        due_at = expires_at - (buffer_s if life_s > buffer_s else self.config.refresh_share * life_s)
        renew_at = min(good_until, max(due_at, born_at + min(YOUTH_S, life_s / 2)))
        self._held = _Held(state, born_at, renew_at, good_until, expires_at)
        self._generation += 1
        return self._held


def _store_of(config: TokenManagerConfig) -> TokenStore:
    if config.storage_type == "memory":
        return MemoryTokenStore()
    path = Path(config.storage_path)
    key = config.encryption_key
    cipher = TokenCipher(key) if key else TokenCipher.with_key_file(path.with_name(f"{path.name}.key"))
    return FileTokenStore(path, cipher, config.owner)


def _named(error: BaseException) -> str:
    """An error by its kind and the venue's numbers, never by its text."""
    if isinstance(error, APIError):
        return " ".join(str(part) for part in (type(error).__name__, error.status_code, error.code) if part)
    return type(error).__name__
