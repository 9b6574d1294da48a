"""The client keeps within the venue's rate limits, and waits when it is told to."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from faultline.history import History, RateBucket
from faultline.history.event import Answered, Received
from faultline.oracles.base import EPSILON_S, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import Hearing, sent_t
from faultline.units import Seconds, show_seconds

REFUSALS = frozenset({418, 429, 503})
"""Answers whose Retry-After binds the client."""


class Send(NamedTuple):
    """One request as a rate limit sees it: when it was sent, what it weighs, its number."""

    t: float
    weight: int
    request: int


@dataclass(frozen=True, slots=True)
class Burst:
    """Sends in a row of which each was over the limit when it was sent. ``units`` is the most weight in a window."""

    first: Send
    last: Send
    units: int
    over: int


@dataclass(frozen=True)
class RateLimitRespected:
    """No more weight per window than each bucket of the contract allows, and no send before the time that a 429, 418
    or 503 asked to wait was over.

    Judged by when the client *sent*, not by when things arrived; copies that faultline made are nobody's. Sends
    exactly a window apart are legal. Retry-After binds what certainly draws on the same limit: for 429 and 418 the
    endpoints that share every bucket of the refused one, for 503 (and without buckets) that endpoint alone. It binds
    from when the client must have heard it: at once for a resend of the same request, else ``grace_s`` later, because
    others may have been past the gate.
    """

    name: ClassVar[str] = "rate_limit_respected"
    checks: ClassVar[tuple[str, ...]] = ("C20", "C21")

    grace_s: Seconds = 0.25

    def judge(self, history: History) -> Verdict:
        """Fails on a burst or an ignored wait; unknown without a limit and without a request to wait."""
        buckets = history.contract.buckets
        requests = sorted((event for event in history.of(Received) if not event.injected), key=sent_t)
        findings: list[Finding] = []
        judged = 0
        for bucket in buckets:
            sends = _sends(bucket, requests)
            judged += len(sends)
            findings += [_over(bucket, burst) for burst in bursts(bucket, sends)]
        refusals = [
            event
            for event in history.of(Answered)
            if event.retry_after_s is not None and event.status in REFUSALS and event.retry_after_s > 0
        ]
        if refusals:
            judged += len(refusals)
            findings += self._impatient(history, requests, refusals)
        return verdict(
            self.name,
            judged,
            findings,
            summary=f"{plural(len(requests), 'request')} within {plural(len(buckets), 'limit')}, "
            f"{plural(len(refusals), 'request')} to wait",
            nothing="the contract has no rate limit that applies, and no answer asked to wait",
        )

    def _impatient(self, history: History, requests: list[Received], refusals: Iterable[Answered]) -> list[Finding]:
        hearing = Hearing(history)
        scopes = _Scopes(history.contract.buckets, requests)
        findings: dict[int, Finding] = {}
        for refusal in refusals:
            heard_t = hearing.heard_t(refusal)
            refused = hearing.requests.get(refusal.request)
            if refused is None or refusal.retry_after_s is None:
                continue
            until_t = min(refusal.t + refusal.retry_after_s - EPSILON_S, hearing.known_until_t(refusal.t))
            early = scopes.resend(refused, heard_t, until_t) or scopes.any(
                refused.endpoint, refusal.status, heard_t + self.grace_s, until_t
            )
            if early is not None and early.request not in findings:
                wait = f"wait {show_seconds(refusal.retry_after_s)}"
                what = (
                    f"{refused.endpoint} (request {refused.request}) was told at {seconds(refusal.t)} to {wait} "
                    f"({refusal.status}), but the client, having heard it, sent {early.endpoint} "
                    f"(request {early.request}) at {seconds(sent_t(early))}"
                )
                intent = early.entity if early.entity in history.ledger.intents else ""
                findings[early.request] = Finding(what, sent_t(early), intent)
        return list(findings.values())


def _sends(bucket: RateBucket, requests: Iterable[Received]) -> list[Send]:
    weights: dict[str, int] = {}
    sends: list[Send] = []
    for event in requests:
        weight = weights.get(event.endpoint)
        if weight is None:
            weight = weights[event.endpoint] = bucket.weight_of(event.endpoint)
        if weight:
            sends.append(Send(sent_t(event), weight, event.request))
    return sends


def bursts(bucket: RateBucket, sends: Sequence[Send]) -> list[Burst]:
    """Where ``sends``, in order of time, go over the limit of ``bucket``. One pass."""
    window: deque[Send] = deque()
    units = 0
    current: Burst | None = None
    found: list[Burst] = []
    for send in sends:
        while window and _left(bucket, window[0].t, send.t):
            units -= window.popleft().weight
        window.append(send)
        units += send.weight
        if units <= bucket.limit:
            current = None
        elif current is None:
            current = Burst(window[0], send, units, 1)
            found.append(current)
        else:
            current = replace(current, last=send, units=max(units, current.units), over=current.over + 1)
            found[-1] = current
    return found


def _left(bucket: RateBucket, t: float, now_t: float) -> bool:
    """Whether something sent at ``t`` no longer counts at ``now_t``."""
    if bucket.kind == "sliding":
        return now_t - t >= bucket.window_s - EPSILON_S
    return (t + EPSILON_S) // bucket.window_s < (now_t + EPSILON_S) // bucket.window_s


def _over(bucket: RateBucket, burst: Burst) -> Finding:
    window = "any" if bucket.kind == "sliding" else "each"
    what = (
        f"limit {bucket.name!r} allows {bucket.limit} in {window} {show_seconds(bucket.window_s)}, but from "
        f"{seconds(burst.first.t)} to {seconds(burst.last.t)} the client sent up to {burst.units}: "
        f"{plural(burst.over, 'request')} too many, the last being request {burst.last.request}"
    )
    return Finding(what, burst.last.t)


class _Scopes:
    """The sends that a request to wait binds, found by bisection: storms refuse often."""

    def __init__(self, buckets: Sequence[RateBucket], requests: Sequence[Received]) -> None:
        self._buckets = buckets
        self._requests = requests
        self._own: dict[tuple[str, str], list[Received]] = {}
        self._bound: dict[tuple[str, bool], tuple[list[float], list[Received]]] = {}
        for event in requests:
            if event.entity not in ("", "-"):
                self._own.setdefault((event.endpoint, event.entity), []).append(event)

    def resend(self, refused: Received, from_t: float, until_t: float) -> Received | None:
        """The first send of the same request, for the same intent, in that time."""
        own = self._own.get((refused.endpoint, refused.entity), [])
        return _first(own, [sent_t(event) for event in own], from_t, until_t)

    def any(self, endpoint: str, status: int, from_t: float, until_t: float) -> Received | None:
        """The first send to whatever is bound by a refusal of ``endpoint`` in that time."""
        alone = status == 503
        bound = self._bound.get((endpoint, alone))
        if bound is None:
            wide = [] if alone else [bucket for bucket in self._buckets if bucket.weight_of(endpoint)]
            names = {event.endpoint for event in self._requests}
            also = {name for name in names if wide and all(bucket.weight_of(name) for bucket in wide)} | {endpoint}
            events = [event for event in self._requests if event.endpoint in also]
            bound = self._bound[endpoint, alone] = ([sent_t(event) for event in events], events)
        return _first(bound[1], bound[0], from_t, until_t)


def _first(events: Sequence[Received], times: Sequence[float], from_t: float, until_t: float) -> Received | None:
    index = bisect_left(times, from_t)
    return events[index] if index < len(times) and times[index] < until_t else None
