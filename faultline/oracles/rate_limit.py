"""The client keeps within the venue's rate limits, and waits when it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from faultline.history import History, RateBucket
from faultline.history.event import Answered, Received
from faultline.oracles.base import EPSILON_S, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import sent_t
from faultline.oracles.retry_after import asked_to_wait, impatient
from faultline.oracles.sends import own_requests
from faultline.units import Seconds, show_seconds


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
        requests = own_requests(history)
        findings: list[Finding] = []
        judged = 0
        let_through = frozenset(answer.request for answer in history.of(Answered) if answer.status < 400)
        for bucket in buckets:
            sends = _sends(bucket, requests)
            judged += len(sends)
            findings += [_over(bucket, burst, let_through) for burst in bursts(bucket, sends)]
        refusals = asked_to_wait(history)
        judged += len(refusals)
        findings += impatient(history, requests, refusals, self.grace_s)
        return verdict(
            self.name,
            judged,
            findings,
            summary=f"{plural(len(requests), 'request')} within {plural(len(buckets), 'limit')}, "
            f"{plural(len(refusals), 'request')} to wait",
            nothing="the contract has no rate limit that applies, and no answer asked to wait",
        )


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


def _over(bucket: RateBucket, burst: Burst, let_through: frozenset[int]) -> Finding:
    window = "any" if bucket.kind == "sliding" else "each"
    what = (
        f"limit {bucket.name!r} allows {bucket.limit} in {window} {show_seconds(bucket.window_s)}, but from "
        f"{seconds(burst.first.t)} to {seconds(burst.last.t)} the client sent up to {burst.units}: "
        f"{plural(burst.over, 'request')} too many, the last being request {burst.last.request}"
    )
    if burst.last.request in let_through:
        what += "; the venue let it through"
    return Finding(what, burst.last.t)
