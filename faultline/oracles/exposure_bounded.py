"""What a client could come to own never exceeds what it may: the true worst case, as the venue's ledger has it.

The worst case counts every open order as filled. A client knows less than the ledger: it must count an order whose
outcome it does not know as live, or the next one takes it over the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import ClassVar

from faultline.history import History, Ledger
from faultline.history.contract import TERMINAL_STATES
from faultline.history.event import Effect, Intent
from faultline.history.ledger import amount
from faultline.oracles.base import Finding, Verdict, described, flattens, plural, seconds, unattributed_doubt, verdict
from faultline.oracles.hearing import sent_t
from faultline.oracles.sends import own_requests, placing_endpoints

_ZERO = Decimal(0)


@dataclass(frozen=True)
class ExposureBounded:
    """At every acceptance and change of an order, what is filled and open for its intent comes to no more than was
    asked until then; and with ``limit``, the position together with all that is open on one side stays within it,
    long and short. After a ``kill`` was answered ``ok`` no order that opens is sent, and no fill of a ``flatten``
    makes the position larger.

    What the caller asked is the limit that every client has, whether it counts exposure or not: an order placed twice,
    or a replacement sent before the order that it replaces is known to be gone, exceeds it. Only effects of requests
    are judged, not what the venue does alone; of an order that belongs to nobody, only ``limit`` can be told. An order
    that makes the position smaller opens nothing. A client is bound by a kill from its answer, and so is the process
    that starts after it. Where one request became several orders, the finding says that the venue made them.
    """

    name: ClassVar[str] = "exposure_bounded"
    checks: ClassVar[tuple[str, ...]] = ("C31",)

    limit: Decimal | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise ValueError("limit is below zero; it is the largest position, of either side")

    def judge(self, history: History) -> Verdict:
        """Fails on exposure beyond a bound; unknown without an order, or while an order belongs to nobody."""
        books = _Books(history.ledger)
        findings: dict[str, Finding] = {}
        judged = 0
        events = (event for event in history if isinstance(event, Intent | Effect))
        for _, together in groupby(events, _at_once):
            done: list[tuple[Effect, Decimal, Decimal]] = []
            for event in together:
                if isinstance(event, Intent):
                    books.ask(event)
                else:
                    before = books.position(event.symbol)
                    books.take(event)
                    done.append((event, before, books.position(event.symbol)))
            for effect, before, after in done:
                judged += effect.what in ("order", "replace")
                for about, why in self._wrong(books, effect, before, after):
                    if about not in findings:
                        what = f"at {seconds(effect.t)} {why}{_made_by(history, effect)}"
                        findings[about] = Finding(what, effect.t, books.intent_of(effect))
        found = [*findings.values(), *_opened_after_kill(history)]
        return verdict(
            self.name,
            judged,
            sorted(found, key=lambda finding: finding.t),
            unknown=unattributed_doubt(history, "order"),
            summary=f"{plural(judged, 'order or change', 'orders and changes')} within bounds",
            nothing="no order was accepted",
        )

    def _wrong(self, books: _Books, effect: Effect, before: Decimal, after: Decimal) -> Iterator[tuple[str, str]]:
        """What is beyond a bound, and how. The position was ``before`` and ``after`` the effect."""
        intent = books.intent_of(effect)
        wanted = books.ledger.intents.get(intent)
        closes = flattens(books.ledger, intent)
        if effect.what == "fill" and wanted is not None and closes and abs(after) > abs(before):
            yield (
                intent,
                f"fill {effect.fill} of a {wanted.op} took the position from {before} to {after} {effect.symbol}",
            )
        if effect.what not in ("order", "replace") or not effect.request:
            return
        total, asked = books.worst.get(intent, _ZERO), books.asked.get(intent, _ZERO)
        if wanted is not None and not closes and total > asked:
            yield (
                intent,
                f"{total} are or could be filled of {described(books.ledger, intent)}, by order {effect.order}",
            )
        held = books.position(effect.symbol)
        worst = (held if effect.side == "buy" else -held) + books.open.get((effect.symbol, effect.side), _ZERO)
        if self.limit is not None and worst > self.limit:
            side = "long" if effect.side == "buy" else "short"
            yield (
                f"{side} {effect.symbol}",
                f"order {effect.order} made a position of {worst} {effect.symbol} {side} possible, beyond {self.limit}",
            )


def _at_once(event: Intent | Effect) -> tuple[float, int]:
    """What one request did is judged when it is all done: a new order may be booked before the old one is gone."""
    return (event.t, event.request) if isinstance(event, Effect) else (event.t, -1)


@dataclass(slots=True)
class _Books:
    """What is filled, open and asked for, event by event: ``asked`` and ``worst`` (filled and open) by intent,
    ``positions`` by symbol, ``open`` by symbol and side."""

    ledger: Ledger
    asked: dict[str, Decimal] = field(default_factory=dict)
    worst: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Decimal] = field(default_factory=dict)
    open: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    _orders: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    _sizes: dict[str, Decimal] = field(default_factory=dict)

    def intent_of(self, effect: Effect) -> str:
        """The intent that is responsible in the end, or the empty string."""
        record = self.ledger.orders.get(effect.order)
        intent = record.intent if record is not None else effect.intent
        return self.ledger.root(intent) if intent else ""

    def position(self, symbol: str) -> Decimal:
        return self.positions.get(symbol, _ZERO)

    def ask(self, intent: Intent) -> None:
        if intent.op in ("place", "replace"):
            root = self.ledger.root(intent.id)
            self.asked[root] = max(self.asked.get(root, _ZERO), amount(intent.quantity))

    def take(self, effect: Effect) -> None:
        if effect.what == "reject":
            return
        if effect.what == "fill":
            self.positions[effect.symbol] = self.position(effect.symbol) + _signed(effect.side, effect.quantity)
        elif effect.what in ("order", "replace"):
            self._sizes[effect.order] = amount(effect.quantity) or self._sizes.get(effect.order, _ZERO)
        filled, left = amount(effect.filled), _ZERO
        if effect.after not in TERMINAL_STATES:
            left = max(_ZERO, self._sizes.get(effect.order, _ZERO) - filled)
        was_filled, was_left = self._orders.get(effect.order, (_ZERO, _ZERO))
        self._orders[effect.order] = filled, left
        where, intent = (effect.symbol, effect.side), self.intent_of(effect)
        self.open[where] = self.open.get(where, _ZERO) + left - was_left
        self.worst[intent] = self.worst.get(intent, _ZERO) + filled + left - was_filled - was_left


def _made_by(history: History, effect: Effect) -> str:
    """That it was the venue's doing, where one request became several orders."""
    orders = history.ledger.orders.values()
    twins = [order.order for order in orders if order.request == effect.request and order.order != effect.order]
    if not effect.request or not twins:
        return ""
    return f"; the venue made {twins[0]} of the same request ({effect.request})"


# Kill


def _opened_after_kill(history: History) -> list[Finding]:
    ledger = history.ledger
    kills = [answer.t for answer in ledger.oks.values() if _op(ledger, answer.intent) == "kill"]
    if not kills:
        return []
    kill_t, places = min(kills), placing_endpoints(history)
    findings: list[Finding] = []
    for request in own_requests(history):
        t = sent_t(request)
        if t <= kill_t or request.endpoint not in places or _op(ledger, request.entity) != "place":
            continue
        intent = ledger.intents[request.entity]
        held = _held(ledger, intent.symbol, t)
        if abs(held + _signed(intent.side, intent.quantity)) > abs(held):
            sent = f"was sent at {seconds(t)} (request {request.request})"
            what = f"{described(ledger, intent.id)} {sent}, after a kill was answered ok at {seconds(kill_t)}"
            findings.append(Finding(what, t, intent.id))
    return findings


def _op(ledger: Ledger, intent: str) -> str:
    wanted = ledger.intents.get(intent)
    return "" if wanted is None else wanted.op


def _held(ledger: Ledger, symbol: str, t: float) -> Decimal:
    """The position in what the caller calls ``symbol``; a venue may have another name for it."""
    held = _ZERO
    for fill in ledger.fills.values():
        record = ledger.orders.get(fill.order)
        wanted = ledger.intents.get(ledger.root(record.intent)) if record is not None and record.intent else None
        name = fill.symbol if wanted is None or not wanted.symbol else wanted.symbol
        if fill.t <= t and name == symbol:
            held += _signed(fill.side, fill.quantity)
    return held


def _signed(side: str, quantity: str) -> Decimal:
    return amount(quantity) if side == "buy" else -amount(quantity)
