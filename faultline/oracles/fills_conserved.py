"""Quantities add up, on both sides: decimals, never floats."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from faultline.history import History, Ledger
from faultline.history.event import Effect
from faultline.history.ledger import amount
from faultline.oracles.base import (
    Finding,
    Verdict,
    described,
    ending_doubt,
    plural,
    speaks,
    unattributed_doubt,
    verdict,
)


@dataclass(frozen=True)
class FillsConserved:
    """At the venue, the fills of an order add up to its cumulative quantity, which never exceeds its size, and a
    filled order is filled whole. At the client, what it believes filled is the sum of the fills it applied, each
    counted once, and its positions are their signed sum.

    Each finding says whose arithmetic is wrong. The client's side is judged on its final belief, where there is one
    to be had.
    """

    name: ClassVar[str] = "fills_conserved"
    checks: ClassVar[tuple[str, ...]] = ("C8",)

    def judge(self, history: History) -> Verdict:
        """Fails on quantities that do not add up; unknown when nothing was filled."""
        ledger = history.ledger
        findings = _at_venue(history)
        judged = len(ledger.fills)
        doubt = ""
        if ledger.final is not None and ledger.tells_fills:
            doubt = unattributed_doubt(history, "order", "fill")
            findings += _at_client(ledger, attributed=not doubt)
            judged += len(ledger.applied)
        return verdict(
            self.name,
            judged,
            findings,
            unknown=doubt or (ending_doubt(history) if judged and speaks(history) else ""),
            summary=f"{plural(len(ledger.fills), 'fill')} of {plural(len(ledger.orders), 'order')} add up",
            nothing="nothing was filled",
        )


def _at_venue(history: History) -> list[Finding]:
    findings: list[Finding] = []
    sums: dict[str, Decimal] = {}
    sizes: dict[str, Decimal] = {}
    seen: set[str] = set()
    for effect in history.of(Effect):
        what = effect.what
        if what == "order":
            sizes[effect.order] = amount(effect.quantity)
            sums[effect.order] = Decimal(0)
        elif what == "replace":
            sizes[effect.order] = amount(effect.quantity) or sizes.get(effect.order, Decimal(0))
        elif what == "fill":
            wrong = _wrong_fill(effect, sums, sizes, seen)
            if wrong:
                intent = effect.intent or ""
                findings.append(Finding(f"the venue's ledger does not add up: {wrong}", effect.t, intent))
    return findings


def _wrong_fill(effect: Effect, sums: dict[str, Decimal], sizes: dict[str, Decimal], seen: set[str]) -> str:
    order = effect.order
    if order not in sizes:
        return f"fill {effect.fill} is of order {order}, which was never accepted"
    if effect.fill in seen:
        return f"fill {effect.fill} of order {order} is there twice"
    seen.add(effect.fill)
    quantity, total = amount(effect.quantity), amount(effect.filled)
    filled = sums[order] = sums[order] + quantity
    if quantity <= 0:
        return f"fill {effect.fill} of order {order} has quantity {quantity}"
    if filled != total:
        # Go on from the venue's own figure: one wrong fill is one finding, not one per later fill.
        sums[order] = total
        return f"the fills of order {order} come to {filled} with {effect.fill}, but it counts {total} filled"
    if total > sizes[order]:
        return f"order {order} of {sizes[order]} has {total} filled with {effect.fill}"
    if effect.after == "filled" and total < sizes[order]:
        return f"order {order} counts as filled at {total} of {sizes[order]}"
    return ""


def _at_client(ledger: Ledger, *, attributed: bool) -> list[Finding]:
    assert ledger.final is not None
    t = ledger.final.t
    filled: dict[str, Decimal] = {}
    positions: dict[str, Decimal] = {}
    for fill in ledger.applied:
        effect = ledger.fills.get(fill)
        if effect is None:
            continue
        quantity = amount(effect.quantity)
        record = ledger.orders.get(effect.order)
        intent = (record.intent if record is not None else effect.intent) or ""
        root = ledger.root(intent)
        filled[root] = filled.get(root, Decimal(0)) + quantity
        before = positions.get(effect.symbol, Decimal(0))
        positions[effect.symbol] = before + quantity if effect.side == "buy" else before - quantity
    findings: list[Finding] = []
    if attributed and ledger.tells_orders:
        for intent in ledger.held:
            view = ledger.view_of(intent)
            if view is None or (wanted := ledger.intents.get(intent)) is None or wanted.op != "place":
                continue
            believed, added = amount(view.filled), filled.get(intent, Decimal(0))
            if believed != added:
                whose = f"{believed} filled of {described(ledger, intent)}"
                what = f"the client believes {whose}, but the fills it applied come to {added}"
                findings.append(Finding(what, t, intent))
    if ledger.tells_positions:
        for symbol in sorted(positions.keys() | ledger.positions.keys()):
            believed, added = ledger.positions.get(symbol, Decimal(0)), positions.get(symbol, Decimal(0))
            if believed != added:
                what = (
                    f"the client believes a position of {believed} {symbol}, but the fills it applied come to {added}"
                )
                findings.append(Finding(what, t))
    return findings
