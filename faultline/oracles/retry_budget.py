"""Nothing is sent again and again: retries have a cap, for each call and for the client as a whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.history.event import Received
from faultline.oracles.base import EPSILON_S, Finding, Verdict, plural, seconds, verdict
from faultline.oracles.hearing import sent_t
from faultline.oracles.sends import Call, calls
from faultline.units import Seconds, show_seconds


@dataclass(frozen=True)
class RetryBudget:
    """No call is attempted more than ``attempts_max`` times within ``within_s`` (of the whole run without it), and with
    ``ratio_max`` no ``window_s`` seconds hold more retries than that share of the first attempts in them.

    A call is one endpoint for one intent by one process; copies that faultline made are nobody's. Ten retries are
    always within the ratio, as in the retry budgets of Finagle and gRPC: a share of very few calls would be none.
    """

    name: ClassVar[str] = "retry_budget"
    checks: ClassVar[tuple[str, ...]] = ("C23",)

    attempts_max: int = 5
    within_s: Seconds | None = None
    ratio_max: float | None = None
    window_s: Seconds = 10.0

    def judge(self, history: History) -> Verdict:
        """Fails on one attempt too many; unknown when nothing with an entity was sent."""
        found = calls(history)
        findings = [finding for call, attempts in found.items() for finding in self._over_cap(call, attempts)]
        if self.ratio_max is not None:
            findings += self._over_ratio(found.values(), self.ratio_max)
        most = max(map(len, found.values()), default=0)
        return verdict(
            self.name,
            len(found),
            findings,
            summary=f"{plural(len(found), 'call')}, none attempted more than {plural(most, 'time')}",
            nothing="no request showed what it was for",
        )

    def _over_cap(self, call: Call, attempts: list[Received]) -> list[Finding]:
        window: deque[float] = deque()
        for attempt in attempts:
            t = sent_t(attempt)
            window.append(t)
            while self.within_s is not None and t - window[0] > self.within_s - EPSILON_S:
                window.popleft()
            if len(window) > self.attempts_max:
                within = "" if self.within_s is None else f" within {show_seconds(self.within_s)}"
                what = (
                    f"{call} was sent {plural(len(window), 'time')}{within} by {seconds(t)} "
                    f"(request {attempt.request}); {self.attempts_max} are allowed"
                )
                return [Finding(what, t, call.entity)]
        return []

    def _over_ratio(self, found: Iterable[list[Received]], ratio_max: float) -> list[Finding]:
        sends = sorted((sent_t(event), number > 0) for attempts in found for number, event in enumerate(attempts))
        window: deque[tuple[float, bool]] = deque()
        retries = 0
        for t, is_retry in sends:
            window.append((t, is_retry))
            retries += is_retry
            while t - window[0][0] >= self.window_s - EPSILON_S:
                retries -= window.popleft()[1]
            firsts = len(window) - retries
            if retries > max(10.0, ratio_max * firsts):
                what = (
                    f"in the {show_seconds(self.window_s)} before {seconds(t)} the client sent {retries} retries "
                    f"beside {plural(firsts, 'first attempt')}; {ratio_max:.0%} are allowed"
                )
                return [Finding(what, t)]
        return []
