"""What must not be sent again is not, whatever else is retried."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from faultline.history import History
from faultline.history.event import Answered, Received
from faultline.oracles.base import EPSILON_S, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import Hearing, sent_t
from faultline.oracles.sends import Call, answers, calls, own_requests, placing_endpoints, repeats

DEFINITE: Final = frozenset({400, 402, 403, 405, 409, 410, 413, 415, 422})
"""Answers that a second try cannot change. 401 is for the token oracle, 404 may be a read that is behind."""

UNREAD: Final = frozenset({401, 418, 429})
"""Answers of a venue that did not look at the request: sending it again is safe."""


@dataclass(frozen=True)
class RetryPolicy:
    """Three rules about sending the same request for the same intent again.

    Not after a definite refusal that the client has heard (400, 402, 403, 405, 409, 410, 413, 415, 422; any process
    may forget what it could not store, so a restarted one is not charged). Not an order whose cancel the caller was
    told is done. And where the venue does not recognise a repeated key for good, not an order whose earlier request
    may have been carried out, unless the client has asked for something in between: a blind resend.
    """

    name: ClassVar[str] = "retry_policy"
    checks: ClassVar[tuple[str, ...]] = ("C26",)

    def judge(self, history: History) -> Verdict:
        """Fails on a resend that was not allowed; unknown when nothing was refused, cancelled or sent again."""
        found = calls(history)
        placing = placing_endpoints(history)
        refused = _Refused(history)
        findings: list[Finding] = []
        judged = 0
        for call, attempts in found.items():
            if call.endpoint.startswith("GET "):
                continue
            judged += len(attempts) - 1 + sum(refused.definitely(attempt) for attempt in attempts)
            findings += _after_refusal(call, attempts, refused)
            if call.endpoint in placing and history.contract.idempotency in ("none", "unique_while_pending"):
                findings += refused.blind(call, attempts)
        cancelled, count = _cancelled(history, found, placing)
        return verdict(
            self.name,
            judged + count,
            findings + cancelled,
            summary=f"{plural(judged, 'refusal')} and resends, {plural(count, 'cancelled order')}",
            nothing="nothing was refused for good, cancelled or sent again",
        )


class _Refused:
    """What the client had heard of its requests."""

    def __init__(self, history: History) -> None:
        self._hearing = Hearing(history)
        self._answers = answers(history)
        asked = [request for request in own_requests(history) if self._informs(request)]
        self._asked = [sent_t(request) for request in asked]

    def _informs(self, request: Received) -> bool:
        """Whether the answer to this told the client something about its orders."""
        answer = self._answers.get(request.request)
        return request.endpoint.startswith("GET ") and answer is not None and answer.status < 500

    def definitely(self, request: Received) -> bool:
        """Whether the venue refused it for good."""
        answer = self._answers.get(request.request)
        return answer is not None and answer.status in DEFINITE

    def heard(self, request: Received) -> tuple[float, Answered] | None:
        """When the client must have had the answer, and what it was."""
        answer = self._answers.get(request.request)
        return None if answer is None else (self._hearing.heard_t(answer), answer)

    def blind(self, call: Call, attempts: list[Received]) -> Iterator[Finding]:
        """Resends of an order that may exist already, with no question asked since."""
        for before, again in repeats(attempts):
            heard = self.heard(before)
            if heard is not None and (heard[1].status in UNREAD or heard[1].status in DEFINITE):
                continue
            if heard is not None and heard[1].status == 503 and heard[1].retry_after_s is not None:
                continue
            since = bisect_right(self._asked, sent_t(before))
            if since < len(self._asked) and self._asked[since] <= sent_t(again):
                continue
            what = (
                f"{call} was sent again at {seconds(sent_t(again))} (request {again.request}) although request "
                f"{before.request} may have been carried out, and nothing was asked in between"
            )
            yield Finding(what, sent_t(again), call.entity)


def _after_refusal(call: Call, attempts: list[Received], refused: _Refused) -> Iterator[Finding]:
    for before, again in repeats(attempts):
        heard = refused.heard(before)
        if heard is None or not refused.definitely(before) or sent_t(again) < heard[0] - EPSILON_S:
            continue
        what = (
            f"{call} was refused for good ({heard[1].status}, request {before.request}) and sent again at "
            f"{seconds(sent_t(again))} (request {again.request})"
        )
        yield Finding(what, sent_t(again), call.entity)


def _cancelled(
    history: History, found: dict[Call, list[Received]], placing: frozenset[str]
) -> tuple[list[Finding], int]:
    """Orders that were sent although the caller had been told that they are cancelled, and how many were cancelled."""
    ledger = history.ledger
    done: dict[str, float] = {}
    for cancel in ledger.intents.values():
        answer = ledger.oks.get(cancel.id)
        if cancel.op == "cancel" and answer is not None:
            done[cancel.of] = min(answer.t, done.get(cancel.of, answer.t))
    findings = []
    for call, attempts in found.items():
        late = [request for request in attempts if sent_t(request) > done.get(call.entity, float("inf")) + EPSILON_S]
        if late and call.endpoint in placing:
            what = (
                f"{call} was sent at {seconds(sent_t(late[0]))} (request {late[0].request}), after its cancel was "
                f"answered ok at {seconds(done[call.entity])}"
            )
            findings.append(Finding(what, sent_t(late[0]), call.entity))
    return findings, len(done)
