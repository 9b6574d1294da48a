"""Nothing is sent under a token that the client could know to be dead."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.history.event import Answered, Connected, Received, TokenEnded, TokenIssued
from faultline.oracles.base import EPSILON_S, NEVER_T, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import TRAVEL_MAX_S, Hearing
from faultline.units import Seconds


@dataclass(frozen=True, slots=True)
class _Use:
    """A token on its way: with a request, or with the opening of a stream."""

    token: str
    t: float
    what: str
    request: Received | None


@dataclass(frozen=True)
class TokenValidAtSend:
    """Every request and every opened stream carries a token that was valid when it was *sent*.

    Arriving late with a token that expired on the way is no fault. A token that the venue ended before its time is
    the client's fault only once a 401 for it was heard: at once for a resend of the same request, for others
    ``grace_s`` later, because a refresh takes its time. A request that the venue accepted all the same needed no
    token. Where nobody knows when something was sent, one second under way is granted.
    """

    name: ClassVar[str] = "token_valid_at_send"
    checks: ClassVar[tuple[str, ...]] = ("C18",)

    grace_s: Seconds = 1.0

    def judge(self, history: History) -> Verdict:
        """Fails on a dead token sent; unknown when no token was issued or none was used."""
        lives = _Lives(history)
        suspects, judged = _suspects(history, lives)
        findings: list[Finding] = []
        if suspects:
            told = _Told(history, self.grace_s)
            intents = history.ledger.intents
            for use in suspects:
                why = _why_dead(use, lives.until[use.token], told)
                if why:
                    intent = use.request.entity if use.request is not None and use.request.entity in intents else ""
                    what = f"{use.what} was sent at {seconds(use.t)} with {use.token}, {why}"
                    findings.append(Finding(what, use.t, intent))
        return verdict(
            self.name,
            judged,
            findings,
            summary=f"{plural(judged, 'use')} of {plural(len(lives.until), 'token')}",
            nothing="no token was issued, or none was used",
        )


class _Lives:
    """Until when each token was to be valid, and when it ended before that."""

    def __init__(self, history: History) -> None:
        self.until = {event.token: event.until_t for event in history.of(TokenIssued)}
        self.ended = {event.token: event.t for event in reversed(history.of(TokenEnded))}

    def over(self, token: str, t: float) -> bool:
        """Whether a token that was issued was over at ``t``."""
        return t > self.until[token] + EPSILON_S or t > self.ended.get(token, NEVER_T)


def _suspects(history: History, lives: _Lives) -> tuple[list[_Use], int]:
    """The uses of tokens that were over, and how many uses there were at all."""
    suspects: list[_Use] = []
    count = 0
    until = lives.until
    for event in history.of(Received):
        if event.token in until and not event.injected:
            count += 1
            t = event.t - TRAVEL_MAX_S if event.sent_t is None else event.sent_t
            if lives.over(event.token, t):
                suspects.append(_Use(event.token, t, f"{event.endpoint} (request {event.request})", event))
    opened: set[tuple[str, int]] = set()
    for stream in history.of(Connected):
        # A subscription on an open connection proves nothing anew: the token was checked when it was opened.
        if (stream.stream, stream.connection) in opened:
            continue
        opened.add((stream.stream, stream.connection))
        if stream.token in until:
            count += 1
            t = stream.t - TRAVEL_MAX_S
            if lives.over(stream.token, t):
                what = f"the opening of stream {stream.stream} (connection {stream.connection})"
                suspects.append(_Use(stream.token, t, what, None))
    return suspects, count


def _why_dead(use: _Use, until_t: float, told: _Told) -> str:
    if use.request is not None and told.accepted(use.request):
        return ""
    if use.t > until_t + EPSILON_S:
        return f"which had expired at {seconds(until_t)}"
    refused_t = told.refused_t(use)
    return "" if refused_t is None else f"which the venue had refused with a 401 at {seconds(refused_t)}"


class _Told:
    """What the client had been told about its tokens, and which requests were accepted whatever they carried."""

    def __init__(self, history: History, grace_s: float) -> None:
        self._grace_s = grace_s
        self._hearing = hearing = Hearing(history)
        self._accepted: set[int] = set()
        ended = {event.token for event in history.of(TokenEnded)}
        refusals: dict[str | tuple[str, str, str], list[tuple[float, float]]] = {}
        for answer in history.of(Answered):
            request = hearing.requests.get(answer.request)
            if request is None:
                continue
            if 200 <= answer.status < 400 and answer.fate != "replaced":
                self._accepted.add(answer.request)
            if answer.status == 401 and request.token in ended:
                heard = (hearing.heard_t(answer), answer.t)
                refusals.setdefault(request.token, []).append(heard)
                if request.entity not in ("", "-"):
                    refusals.setdefault((request.token, request.endpoint, request.entity), []).append(heard)
        self._refusals = {key: sorted(heard) for key, heard in refusals.items()}

    def accepted(self, request: Received) -> bool:
        """Whether the venue did what was asked, so that the token did not matter."""
        return request.request in self._accepted

    def refused_t(self, use: _Use) -> float | None:
        """When the venue refused the token, if the client had heard so when it used it again."""
        own = None
        if use.request is not None:
            own = self._last((use.token, use.request.endpoint, use.request.entity), use.t)
        return own if own is not None else self._last(use.token, use.t - self._grace_s, use.t)

    def _last(self, key: str | tuple[str, str, str], heard_by_t: float, t: float | None = None) -> float | None:
        heard = self._refusals.get(key, [])
        index = bisect_right(heard, (heard_by_t, NEVER_T))
        if not index:
            return None
        refused_t = heard[index - 1][1]
        alive = self._hearing.known_until_t(refused_t) > (heard_by_t if t is None else t)
        return refused_t if alive else None
