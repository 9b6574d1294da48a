"""How long callers wait for their answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Final

from faultline.history import History
from faultline.oracles.base import EPSILON_S, Finding, Verdict, described, plural, verdict
from faultline.units import seconds, show_seconds

_BOUND: Final = re.compile(r"\s*(<=?)\s*(\S.*)")


@dataclass(frozen=True, slots=True)
class _Bound:
    """An upper bound of a figure. ``text`` is what the scenario wrote."""

    text: str
    limit_s: float
    inclusive: bool

    @classmethod
    def read(cls, text: str) -> _Bound:
        found = _BOUND.fullmatch(text)
        if found is None:
            raise ValueError(f'{text!r} is not a bound; write it like "< 30s" or "<= 500ms"')
        return cls(text.strip(), seconds(found[2].strip()), found[1] == "<=")

    def holds(self, value_s: float) -> bool:
        return value_s <= self.limit_s + EPSILON_S if self.inclusive else value_s < self.limit_s - EPSILON_S


@dataclass(frozen=True)
class Latency:
    """The time from an intent to its first answer, as percentiles over a run: ``latency: {p99: "< 30s"}``.

    ``p50``, ``p99`` and ``max`` are upper bounds such as ``"< 30s"`` or ``"<= 500ms"``; without a bound it only
    reports. An intent without an answer counts as long as it had waited when the run ended. Percentiles are of the
    nearest rank: p99 of fewer than 100 intents is the longest. Raises ValueError for a bound that cannot be read.
    """

    name: ClassVar[str] = "latency"
    checks: ClassVar[tuple[str, ...]] = ("C28",)

    p50: str = ""
    p99: str = ""
    max: str = ""

    def __post_init__(self) -> None:
        for text in (self.p50, self.p99, self.max):
            if text:
                _Bound.read(text)

    def judge(self, history: History) -> Verdict:
        """Fails on a figure over its bound; ``why`` holds the figures either way."""
        ledger, end_t = history.ledger, history.end_t
        waits: list[tuple[float, str]] = []
        open_count = 0
        for intent in ledger.intents.values():
            answer = ledger.answers_first.get(intent.id)
            open_count += answer is None
            waits.append(((end_t if answer is None else answer.t) - intent.t, intent.id))
        if not waits:
            return verdict(self.name, 0, (), nothing="nothing was asked of the client")
        waits.sort()
        figures = {"p50": _rank(waits, 0.50), "p99": _rank(waits, 0.99), "max": waits[-1]}
        shown = ", ".join(f"{name} {show_seconds(round(wait_s, 6))}" for name, (wait_s, _) in figures.items())
        waiting = f", {open_count} of them still waiting" if open_count else ""
        summary = f"{shown} over {plural(len(waits), 'intent')}{waiting}"
        findings: list[Finding] = []
        for name, (wait_s, intent_id) in figures.items():
            text = getattr(self, name)
            if text and not _Bound.read(text).holds(wait_s):
                what = (
                    f"{name} of the time to an answer is {show_seconds(round(wait_s, 6))}, not {text} "
                    f"({described(ledger, intent_id)}; {summary})"
                )
                findings.append(Finding(what, ledger.intents[intent_id].t + wait_s, intent_id))
        return verdict(self.name, len(waits), findings, summary=summary)


def _rank(waits: list[tuple[float, str]], share: float) -> tuple[float, str]:
    return waits[max(0, ceil(share * len(waits)) - 1)]
