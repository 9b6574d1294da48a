"""Who is told to wait, waits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from faultline.history import History, RateBucket
from faultline.history.event import Answered, Received
from faultline.oracles.base import EPSILON_S, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import Hearing, sent_t
from faultline.oracles.sends import own_requests
from faultline.units import Seconds, show_seconds

REFUSALS: Final = frozenset({418, 429, 503})
"""Answers whose Retry-After binds the client."""


@dataclass(frozen=True)
class RetryAfterHonoured:
    """No send before the time that a 429, 418 or 503 asked to wait was over.

    It binds what certainly draws on the same limit: for 429 and 418 the endpoints that share every bucket of the
    refused one, for 503 (and without buckets) that endpoint alone. It binds from when the client must have heard it:
    at once for a resend of the same request, else ``grace_s`` later, because others may have been past the gate.
    """

    name: ClassVar[str] = "retry_after_honoured"
    checks: ClassVar[tuple[str, ...]] = ("C21",)

    grace_s: Seconds = 0.25

    def judge(self, history: History) -> Verdict:
        """Fails on an ignored wait; unknown when no answer asked for one."""
        refusals = asked_to_wait(history)
        return verdict(
            self.name,
            len(refusals),
            impatient(history, own_requests(history), refusals, self.grace_s),
            summary=f"{plural(len(refusals), 'request')} to wait, all heeded",
            nothing="no answer asked to wait",
        )


def asked_to_wait(history: History) -> list[Answered]:
    """The answers that asked for a wait which can be read."""
    return [
        event
        for event in history.of(Answered)
        if event.retry_after_s is not None and event.status in REFUSALS and event.retry_after_s > 0
    ]


def impatient(
    history: History, requests: Sequence[Received], refusals: Iterable[Answered], grace_s: float
) -> list[Finding]:
    """Each of ``requests``, in order of sending, that went out although the client had heard that it should wait."""
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
            refused.endpoint, refusal.status, heard_t + grace_s, until_t
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
