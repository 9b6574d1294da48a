"""What a trading venue tells the history, and then whoever publishes, about each line of its ledger."""

from __future__ import annotations

from collections.abc import Callable

from faultline.faults.injector import Injector
from faultline.history import History
from faultline.history.attribution import Attribution, Identity
from faultline.history.event import Effect
from faultline.venues.broker import Entry, plain

Publish = Callable[[Entry, str], None]
"""Hears of a line of the ledger, and of the intent that made its order (``-``: none is known)."""


class Record:
    """Ties effects to intents and writes them down, before anybody hears of them.

    ``effects`` counts what took effect: every line but refusals. ``cause`` is the number of the request being
    handled, 0 for what the venue does by itself.
    """

    def __init__(self, history: History, attribution: Attribution, injector: Injector, publish: Publish) -> None:
        self._history = history
        self._attribution = attribution
        self._injector = injector
        self._publish = publish
        self._ties: dict[str, tuple[str | None, str]] = {}
        self._lines = 0
        self.effects = 0
        self.cause = 0

    def expect_order(self, order_id: str, identity: Identity) -> None:
        """An order with this id is about to be accepted: tie it, and with it all that becomes of it."""
        self._ties[order_id] = self._attribution.tie_order(order_id, identity)

    def expect_refusal(self, order_id: str, identity: Identity) -> None:
        """An order is about to be refused. Its id ties nothing: there is no order to act upon."""
        self._ties[order_id] = self._attribution.intent_of(identity)

    def enter(self, entry: Entry) -> None:
        """Write one line of the ledger, then have it published."""
        order, fill = entry.order, entry.fill
        self._lines += 1
        self.effects += entry.what != "reject"
        intent, how = self._tie(entry)
        price = fill.price if fill is not None else order.price
        self._history.append(
            Effect(
                t=entry.t,
                sequence=self._lines,
                what=entry.what,
                order=order.order_id,
                intent=intent,
                tied_by=how,
                before=entry.before,
                after=order.status,
                key=order.client_order_id or "",
                symbol=order.symbol,
                side=order.side,
                quantity=plain(fill.quantity if fill is not None else order.quantity),
                price="" if price is None else plain(price),
                filled=plain(order.filled),
                fill=fill.fill_id if fill is not None else "",
                fee=plain(fill.fee) if fill is not None else "0",
                request=self.cause,
            )
        )
        self._injector.mark(entry.what)
        # A message belongs to the intent that made the order, also when a cancel caused it.
        self._publish(entry, self._ties[order.order_id][0] or "-")

    def _tie(self, entry: Entry) -> tuple[str | None, str]:
        order_id, what = entry.order.order_id, entry.what
        intent, how = self._ties[order_id]
        if what in ("cancel", "replace"):
            return self._attribution.intent_of(Identity(order=order_id, op=what))
        if what in ("fill", "expire") and intent is not None:
            return intent, "order"
        return intent, how
