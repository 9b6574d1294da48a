"""A token is renewed by one request at a time, and only when it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.history.event import Boot, Received, TokenEnded, TokenIssued
from faultline.oracles.base import EPSILON_S, NEVER_T, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import Hearing, sent_t
from faultline.oracles.sends import answers, repeats
from faultline.units import Seconds


@dataclass(frozen=True)
class SingleFlightRefresh:
    """No renewal is sent while another of the same process is under way, and none within ``patience_s`` after one that
    succeeded, unless the new token was ended or had little more than that to live.

    A request is taken to be under way until it was answered, but no longer than ``patience_s``: after that the client
    may have given it up, and to try again is right. What a process left behind when it died is not the next one's.
    Renewals are the requests to endpoints that issued tokens.
    """

    name: ClassVar[str] = "single_flight_refresh"
    checks: ClassVar[tuple[str, ...]] = ("C19",)

    patience_s: Seconds = 1.0

    def judge(self, history: History) -> Verdict:
        """Fails on a renewal that overlaps or that nobody needed; unknown when no token was issued."""
        renewals = _renewals(history)
        boots = [boot.t for boot in history.of(Boot)]
        findings = []
        lives = _Lives(history)
        for before, again in repeats(renewals):
            restarted = any(sent_t(before) < boot <= sent_t(again) for boot in boots)
            why = "" if restarted else self._why(before, again, lives)
            if why:
                what = f"{again.endpoint} (request {again.request}) was sent at {seconds(sent_t(again))}, {why}"
                findings.append(Finding(what, sent_t(again)))
        return verdict(
            self.name,
            len(renewals),
            findings,
            summary=f"{plural(len(renewals), 'renewal')}, one at a time",
            nothing="no token was issued",
        )

    def _why(self, before: Received, again: Received, lives: _Lives) -> str:
        ended_t = min(lives.answered_t(before), sent_t(before) + self.patience_s)
        if sent_t(again) < ended_t - EPSILON_S:
            return f"while request {before.request}, sent at {seconds(sent_t(before))}, was under way"
        issued = lives.issued_by(before)
        if issued is None or sent_t(again) > issued.t + self.patience_s:
            return ""
        good_until_t = min(issued.until_t - 2 * self.patience_s, lives.ended_t(issued.token))
        heard = lives.heard_t(before) < sent_t(again)
        if heard and sent_t(again) < good_until_t:
            return f"right after request {before.request} had brought {issued.token}, which was good"
        return ""


class _Lives:
    """What became of renewals and of the tokens that they brought."""

    def __init__(self, history: History) -> None:
        self._hearing = Hearing(history)
        self._answers = answers(history)
        self._ended = {event.token: event.t for event in reversed(history.of(TokenEnded))}
        self._issued = dict(_issues(history))

    def answered_t(self, renewal: Received) -> float:
        answer = self._answers.get(renewal.request)
        return NEVER_T if answer is None else answer.t

    def heard_t(self, renewal: Received) -> float:
        answer = self._answers.get(renewal.request)
        if answer is None or answer.fate not in ("sent", "replaced"):
            return NEVER_T
        return min(self._hearing.heard_t(answer), answer.t)

    def issued_by(self, renewal: Received) -> TokenIssued | None:
        return self._issued.get(renewal.request)

    def ended_t(self, token: str) -> float:
        return self._ended.get(token, NEVER_T)


def _issues(history: History) -> Iterator[tuple[int, TokenIssued]]:
    """Each token with the number of the request that it answers: the one that arrived last before it was issued."""
    last = 0
    for event in history:
        if isinstance(event, Received):
            last = event.request
        elif isinstance(event, TokenIssued) and last:
            yield last, event


def _renewals(history: History) -> list[Received]:
    issuing = {number for number, _ in _issues(history)}
    endpoints = {event.endpoint for event in history.of(Received) if event.request in issuing}
    found = [event for event in history.of(Received) if event.endpoint in endpoints and not event.injected]
    return sorted(found, key=sent_t)
