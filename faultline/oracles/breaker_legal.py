"""A circuit breaker does what the field's three states say: closed, open, half-open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Final, NamedTuple

from faultline.history import History
from faultline.history.event import Answered, Received
from faultline.oracles.base import EPSILON_S, NEVER_T, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import Hearing, sent_t
from faultline.oracles.sends import answers, own_requests
from faultline.units import Seconds, show_seconds

FAILURES: Final = frozenset({500, 502, 503, 504})


class _Heard(NamedTuple):
    """An outcome that the client certainly knew at ``t``, and may have known at ``since_t``: when it was answered."""

    t: float
    since_t: float
    request: Received
    failed: bool


@dataclass(frozen=True)
class BreakerLegal:
    """After ``failures`` failures in a row nothing is sent for ``open_s``; then at most ``probes`` requests are under
    way until one of them succeeds. A probe that fails opens it again. Requests to ``exempt`` endpoints do not count.

    Judged by what the client certainly heard: failures are answers 500, 502, 503 and 504 that it must have had, while
    any success that the venue sent, heard or not, begins the count anew. So nobody is charged for a breaker that had
    reason to be closed; one that counts answers such as 400 or 422 shows by refusing to work, which is for the oracles
    of loss. What was sent within ``grace_s`` of the last failure may have been past the breaker.
    """

    name: ClassVar[str] = "breaker_legal"
    checks: ClassVar[tuple[str, ...]] = ("C22",)

    failures: int = 5
    open_s: Seconds = 60.0
    probes: int = 3
    grace_s: Seconds = 0.25
    exempt: tuple[str, ...] = ()

    def judge(self, history: History) -> Verdict:
        """Fails on a send while open and on one probe too many; unknown when the breaker never had to open."""
        judge = _Automaton(self, history)
        judge.run()
        return verdict(
            self.name,
            judge.opened,
            judge.findings,
            summary=f"opened {plural(judge.opened, 'time')}, and kept its peace",
            nothing=f"there never were {plural(self.failures, 'failure')} in a row that the client must have heard of",
        )


class _Automaton:
    """Walks through sends and heard outcomes in order of time. One process restarted begins with a closed breaker."""

    def __init__(self, rules: BreakerLegal, history: History) -> None:
        self._rules = rules
        self._hearing = Hearing(history)
        self._answers = answers(history)
        requests = [event for event in own_requests(history) if not self._is_exempt(event)]
        self._sends = [(sent_t(event), event) for event in requests]
        self._outcomes = sorted(self._heard(requests), key=lambda outcome: outcome.t)
        self._in_a_row = 0
        self._open_until = 0.0
        self._quiet_from = NEVER_T
        self._probes: list[Received] = []
        self._half_open = False
        self.opened = 0
        self.findings: list[Finding] = []

    def _is_exempt(self, event: Received) -> bool:
        return any(fnmatchcase(event.endpoint, pattern) for pattern in self._rules.exempt)

    def _heard(self, requests: list[Received]) -> Iterator[_Heard]:
        for request in requests:
            answer = self._answers.get(request.request)
            if answer is None:
                continue
            failed = answer.status in FAILURES
            t = self._hearing.heard_t(answer) if failed else answer.t
            if t < NEVER_T:
                yield _Heard(t, answer.t, request, failed)

    def run(self) -> None:
        """Both in one pass. Of two at the same time the outcome comes first."""
        outcomes = iter(self._outcomes)
        following = next(outcomes, None)
        for t, request in self._sends:
            while following is not None and following.t <= t:
                self._outcome(following)
                following = next(outcomes, None)
            self._send(t, request)
        while following is not None:
            self._outcome(following)
            following = next(outcomes, None)

    def _outcome(self, outcome: _Heard) -> None:
        if not outcome.failed:
            self._in_a_row, self._quiet_from, self._half_open = 0, NEVER_T, False
            self._probes.clear()
            return
        self._in_a_row += 1
        probing = self._half_open and outcome.request in self._probes
        if probing or (self._in_a_row == self._rules.failures and not self._half_open):
            self._open(outcome)

    def _open(self, outcome: _Heard) -> None:
        self.opened += 1
        # Whoever heard it at once may be half-open again while nobody could yet be sure that it had heard.
        self._quiet_from = outcome.t + self._rules.grace_s
        self._open_until = outcome.since_t + self._rules.open_s
        self._half_open = False
        self._probes.clear()

    def _send(self, t: float, request: Received) -> None:
        if self._quiet_from == NEVER_T:
            return
        known_until_t = self._hearing.known_until_t(self._open_until - self._rules.open_s)
        if t >= known_until_t:
            self._in_a_row, self._quiet_from, self._half_open = 0, NEVER_T, False
            return
        if t < self._open_until - EPSILON_S:
            if t > self._quiet_from:
                self._report(t, request, f"while the breaker was open until {seconds(self._open_until)}")
            return
        self._half_open = True
        self._probes.append(request)
        under_way = [probe for probe in self._probes if self._under_way(probe, t)]
        if len(under_way) > self._rules.probes:
            self._report(t, request, f"as probe {len(under_way)} under way; {self._rules.probes} are allowed")

    def _under_way(self, probe: Received, t: float) -> bool:
        answer: Answered | None = self._answers.get(probe.request)
        return sent_t(probe) <= t and (answer is None or answer.t > t)

    def _report(self, t: float, request: Received, why: str) -> None:
        after = f"after {plural(self._rules.failures, 'failure')} in a row or a failed probe"
        what = f"{request.endpoint} (request {request.request}) was sent at {seconds(t)} {why}, {after}"
        self.findings.append(Finding(f"{what} (it opens for {show_seconds(self._rules.open_s)})", t))
