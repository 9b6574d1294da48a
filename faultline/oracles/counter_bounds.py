"""What a client counts lies between what must be and what can be, whoever the effects belong to.

The bounds need no effect to be tied to an intent: they hold where every other oracle of beliefs has to say unknown,
with a client that mints a new key for every attempt at a venue that marks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

from faultline.history import History
from faultline.history.event import Belief, Effect, Intent
from faultline.history.ledger import amount
from faultline.oracles.agreement import true_filled
from faultline.oracles.base import Finding, Verdict, described, plural, seconds, verdict

_ZERO = Decimal(0)


@dataclass(frozen=True)
class CounterBounds:
    """At no time does a client believe a position that no part of the fills made so far could add up to, nor an
    intent filled below zero or above what was asked of it.

    A position may miss any fills, because messages travel and overtake each other, so it lies between all that was
    sold and all that was bought until then; outside of that something was counted twice or made up. An intent that
    the venue really filled further (it became two orders) may be believed so. Positions are taken to begin at zero.
    """

    name: ClassVar[str] = "counter_bounds"
    checks: ClassVar[tuple[str, ...]] = ("C9",)

    def judge(self, history: History) -> Verdict:
        """Fails on the first count of a symbol or an intent out of bounds; unknown when nothing was counted."""
        bounds = _Bounds(history)
        findings: list[Finding] = []
        reported: set[str] = set()
        judged = 0
        for belief in history.of(Belief):
            judged += len(belief.orders) + len(belief.positions)
            bounds.until(belief.t)
            for subject, intent, why in (*bounds.positions(belief), *bounds.orders(belief)):
                if subject not in reported:
                    reported.add(subject)
                    findings.append(Finding(f"at {seconds(belief.t)} the client believed {why}", belief.t, intent))
        return verdict(
            self.name,
            judged,
            findings,
            summary=f"{plural(judged, 'count')} within bounds",
            nothing="the client never told a position or an order",
        )


_Wrong = tuple[str, str, str]
"""What is out of bounds (reported once each), the intent concerned, and how."""


@dataclass(slots=True)
class _Flow:
    bought: Decimal = _ZERO
    sold: Decimal = _ZERO


@dataclass(slots=True)
class _Bounds:
    """What had been filled by each side, and asked of each intent, at the time asked for. Times must not go back."""

    history: History
    _flows: dict[str, _Flow] = field(default_factory=dict)
    _asked: dict[str, Decimal] = field(default_factory=dict)
    _effects: int = 0
    _intents: int = 0

    def until(self, t: float) -> None:
        fills: Sequence[Effect] = self.history.of(Effect)
        while self._effects < len(fills) and fills[self._effects].t <= t:
            fill = fills[self._effects]
            self._effects += 1
            if fill.what == "fill":
                flow = self._flows.setdefault(fill.symbol, _Flow())
                if fill.side == "buy":
                    flow.bought += amount(fill.quantity)
                else:
                    flow.sold += amount(fill.quantity)
        intents: Sequence[Intent] = self.history.of(Intent)
        while self._intents < len(intents) and intents[self._intents].t <= t:
            intent = intents[self._intents]
            self._intents += 1
            if intent.op in ("place", "replace"):
                root = self.history.ledger.root(intent.id)
                self._asked[root] = max(self._asked.get(root, _ZERO), amount(intent.quantity))

    def positions(self, belief: Belief) -> list[_Wrong]:
        found: list[_Wrong] = []
        for symbol, told in belief.positions:
            flow = self._flows.get(symbol, _Flow())
            if not -flow.sold <= amount(told) <= flow.bought:
                why = f"a position of {told} {symbol}, when only {flow.bought} had been bought and {flow.sold} sold"
                found.append((f"position {symbol}", "", why))
        return found

    def orders(self, belief: Belief) -> list[_Wrong]:
        ledger = self.history.ledger
        found: list[_Wrong] = []
        for view in belief.orders:
            asked = self._asked.get(view.intent)
            filled = amount(view.filled)
            if (
                asked is None
                or _ZERO <= filled <= asked
                or _ZERO <= filled <= true_filled(ledger.orders_of(view.intent))
            ):
                continue
            why = f"{view.filled} filled of {described(ledger, view.intent)}, of which {asked} was the most ever asked"
            found.append((view.intent, view.intent, why))
        return found
