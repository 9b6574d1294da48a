"""The client's belief is the truth once the dust has settled, and was never ahead of it before.

Being behind is legal for a while: messages travel. Being ahead never is, because the ledger is written when
something happens, whichever way the news then takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from faultline.history import History, Ledger
from faultline.history.contract import TERMINAL_STATES
from faultline.history.event import Belief, Boot, Effect, OrderBelief
from faultline.history.ledger import amount
from faultline.oracles.agreement import NOT_LIVE, disagreement, shown_belief
from faultline.oracles.base import (
    Finding,
    Verdict,
    described,
    ending_doubt,
    last_fault_t,
    plural,
    seconds,
    unattributed_doubt,
    verdict,
)
from faultline.units import Seconds, show_seconds


@dataclass(frozen=True)
class Reconciled:
    """The final belief equals the truth for every intent (state and filled) and every position; and at no time did
    the client believe more filled than was, or an order ended that was not.

    With ``within_s``, everything that happened up to the last fault must be known ``within_s`` after it, and
    everything later ``within_s`` after it happened. An intent that never became an order may be held as anything
    but live; one that did may not be left unknown.
    """

    name: ClassVar[str] = "reconciled"
    checks: ClassVar[tuple[str, ...]] = ("C11", "C12", "C13")

    within_s: Seconds | None = None

    def judge(self, history: History) -> Verdict:
        """Fails on a belief that is wrong at the end, ahead of the truth, or late; unknown without a final belief."""
        ledger = history.ledger
        doubt = unattributed_doubt(history, "order", "fill", "cancel", "replace", "expire")
        findings: list[Finding] = []
        if ledger.tells_orders and not doubt:
            findings += _ahead(history)
            if self.within_s is not None:
                findings += _late(history, self.within_s)
        judged = 0
        if ledger.final is not None:
            wanted = [intent for intent in ledger.intents.values() if intent.op == "place"]
            judged = len(wanted)
            if ledger.tells_orders and not doubt:
                findings += _wrong_orders(ledger, [intent.id for intent in wanted], ledger.final.t)
            findings += _wrong_positions(ledger, ledger.final.t)
        return verdict(
            self.name,
            judged,
            findings,
            unknown=ending_doubt(history) or doubt,
            summary=f"{plural(judged, 'intent')} believed as they are",
            nothing="nothing was asked of the client",
        )


def _wrong_orders(ledger: Ledger, intents: Sequence[str], t: float) -> list[Finding]:
    findings: list[Finding] = []
    for intent in intents:
        why = disagreement(ledger.view_of(intent), ledger.orders_of(intent))
        if why:
            findings.append(Finding(f"{described(ledger, intent)}: at the end {why}", t, intent))
    return findings


def _wrong_positions(ledger: Ledger, t: float) -> list[Finding]:
    if not ledger.tells_positions:
        return []
    truth, believed = ledger.true_positions(), ledger.positions
    zero = Decimal(0)
    return [
        Finding(
            f"at the end the client believes a position of {believed.get(symbol, zero)} {symbol}, "
            f"but it is {truth.get(symbol, zero)}",
            t,
        )
        for symbol in sorted(truth.keys() | believed.keys())
        if truth.get(symbol, zero) != believed.get(symbol, zero)
    ]


@dataclass(slots=True)
class _Truth:
    """Where one intent stands at some time: what its orders filled, which of them are live, how each ended."""

    filled: Decimal = Decimal(0)
    live: int = 0
    ended: frozenset[str] = frozenset()


class _Unfolding:
    """The truth per intent, as it was at each time asked for. Times must not go back."""

    def __init__(self, history: History) -> None:
        self._ledger = history.ledger
        self._effects = history.of(Effect)
        self._next = 0
        self._at: dict[str, _Truth] = {}

    def until(self, t: float) -> dict[str, _Truth]:
        effects = self._effects
        while self._next < len(effects) and effects[self._next].t <= t:
            self._fold(effects[self._next])
            self._next += 1
        return self._at

    def _fold(self, effect: Effect) -> None:
        record = self._ledger.orders.get(effect.order)
        if record is None or record.intent is None or effect.what == "reject":
            return
        intent = self._ledger.root(record.intent)
        truth = self._at.get(intent)
        if truth is None:
            truth = self._at[intent] = _Truth()
        if effect.what == "order":
            truth.live += 1
        elif effect.what == "fill":
            truth.filled += amount(effect.quantity)
        if effect.after in TERMINAL_STATES:
            truth.live -= 1
            truth.ended |= {effect.after}


_NOTHING = _Truth()


def _ahead(history: History) -> list[Finding]:
    unfolding = _Unfolding(history)
    findings: list[Finding] = []
    reported: set[str] = set()
    for belief in history.of(Belief):
        if not belief.orders:
            continue
        truths = unfolding.until(belief.t)
        for view in belief.orders:
            why = _ahead_of(view, truths.get(view.intent, _NOTHING))
            if why and view.intent not in reported:
                reported.add(view.intent)
                what = f"at {seconds(belief.t)} the client believed {described(history.ledger, view.intent)} {why}"
                findings.append(Finding(what, belief.t, view.intent))
    return findings


def _ahead_of(view: OrderBelief, truth: _Truth) -> str:
    if view.filled != "0" and amount(view.filled) > truth.filled:
        return f"filled {view.filled}, when {truth.filled} had been"
    if view.state == "filled" and "filled" not in truth.ended:
        return "filled, when it was not"
    # Whoever lets an order go without saying how it ended claims nothing about its end.
    if view.state in NOT_LIVE and view.state != "absent" and truth.live > 0:
        return f"{view.state}, when its order was live"
    return ""


class _Views:
    """What the client's living process believed at each time asked for. Times must not go back."""

    def __init__(self, history: History) -> None:
        self._beliefs, self._boots = history.of(Belief), history.of(Boot)
        self._next = self._booted = self._incarnation = 0
        self._views: dict[str, OrderBelief] = {}

    def until(self, t: float) -> dict[str, OrderBelief]:
        beliefs, boots = self._beliefs, self._boots
        while self._next < len(beliefs) and beliefs[self._next].t <= t:
            belief = beliefs[self._next]
            self._next += 1
            self._belongs_to(belief.incarnation)
            for view in belief.orders:
                self._views[view.intent] = view
        while self._booted < len(boots) and boots[self._booted].t <= t:
            self._booted += 1
        if self._booted:
            self._belongs_to(max(self._incarnation, boots[self._booted - 1].incarnation))
        return self._views

    def _belongs_to(self, incarnation: int) -> None:
        if incarnation != self._incarnation:
            self._incarnation, self._views = incarnation, {}


def _late(history: History, within_s: float) -> list[Finding]:
    """Effects that the client did not know when it should have. One pass, because deadlines never go back."""
    ledger, beliefs = history.ledger, history.of(Belief)
    quiet_t = last_fault_t(history)
    end_t = beliefs[-1].t if beliefs else 0.0
    known, unfolding = _Views(history), _Unfolding(history)
    findings: dict[str, Finding] = {}
    for effect in history.of(Effect):
        deadline_t = max(effect.t, quiet_t) + within_s
        if deadline_t > end_t:
            break  # the final belief answers for the rest
        record = ledger.orders.get(effect.order)
        if effect.what == "reject" or record is None or record.intent is None:
            continue
        intent = ledger.root(record.intent)
        view = known.until(deadline_t).get(intent)
        if view is not None and view.state == "absent" and record.ended_t is not None and record.ended_t <= deadline_t:
            continue  # it ended, and the client let it go
        if _behind(view, unfolding.until(effect.t).get(intent, _NOTHING)) and intent not in findings:
            since = f"the last fault at {seconds(quiet_t)}" if effect.t < quiet_t else "it happened"
            event = f"{effect.what} of order {effect.order} for {described(ledger, intent)} at {seconds(effect.t)}"
            late = f"{show_seconds(within_s)} after {since}: it believed {shown_belief(view)}"
            findings[intent] = Finding(f"{event} was not known to the client {late}", deadline_t, intent)
    return list(findings.values())


def _behind(view: OrderBelief | None, truth: _Truth) -> bool:
    if view is None or view.state == "absent":
        return True
    if amount(view.filled) < truth.filled:
        return True
    if truth.live > 0:
        return view.state in ("unknown", "pending")
    return bool(truth.ended) and view.state not in truth.ended
