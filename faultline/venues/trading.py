"""What trading venues have in common below their endpoints: placing, cancelling, replacing, filling and reading.

A profile reads its own requests and words its own answers. This stands between it and the engine: it asks the injector
at the venue's own decisions (accept, match, read), ties orders to intents, and has each line of the ledger written
before anybody hears of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

from faultline.faults.actions import Reject, Stale
from faultline.faults.injector import Injector
from faultline.faults.points import Plane
from faultline.history import History
from faultline.history.attribution import Attribution, Identity
from faultline.history.contract import IdempotencyScope
from faultline.venues.base import Context, Response
from faultline.venues.broker import STEP, Broker, Order, Placement, Refused, Side
from faultline.venues.matching import Matching
from faultline.venues.record import Publish, Record
from faultline.venues.settings import TradingSettings

DECISIONS: Final = ("accept", "match", "read")
"""The venue plane's points of every trading venue."""


class Trading:
    """Orders of one account. ``scope`` says what a repeated client order id gets.

    ``publish(entry, entity)`` hears of each line of the ledger once it is written; ``entity`` is the intent that made
    the order, or ``-``. ``new_id`` makes order and fill ids (kinds ``order`` and ``fill``); None takes the context's.
    ``step`` is the smallest part of an order that is filled by itself (1: whole contracts).
    """

    def __init__(
        self,
        settings: TradingSettings,
        scope: IdempotencyScope,
        context: Context,
        history: History,
        attribution: Attribution,
        injector: Injector,
        *,
        publish: Publish,
        new_id: Callable[[str], str] | None = None,
        step: Decimal = STEP,
    ) -> None:
        self._settings = settings
        self._context = context
        self._attribution = attribution
        self._injector = injector
        self._new_id = new_id or context.new_id
        self._record = Record(history, attribution, injector, publish)
        self.broker = Broker(scope, Decimal(str(settings.fee)), self._record.enter)
        self._matching = Matching(settings, context, self.broker, injector, self._new_id, step)
        self._nth_order: defaultdict[str, int] = defaultdict(int)
        self._nth_read: defaultdict[str, int] = defaultdict(int)

    @property
    def effects(self) -> int:
        """How many changes there were; refusals are none."""
        return self._record.effects

    @property
    def idle(self) -> bool:
        """Nothing is left to happen by itself."""
        return self._matching.pending == 0

    @contextmanager
    def caused_by(self, request: int) -> Iterator[None]:
        """What changes in here is the doing of the request with this number."""
        self._record.cause = request
        try:
            yield
        finally:
            self._record.cause = 0

    def place(self, placement: Placement, identity: Identity, refusal: str | None = None) -> Order:
        """Accept an order, or refuse it: then it is ``rejected``, with its ``reason``.

        ``refusal`` is a reason of the venue's own (no funds); a fault may give another. Raises Refused
        (``duplicate_client_order_id``) for a repeated key; :meth:`Broker.repeated` has the order that it belongs to.
        """
        if self.broker.repeated(placement.client_order_id) is not None:
            raise Refused("duplicate_client_order_id", f"client_order_id {placement.client_order_id} is in use")
        intent, _ = self._attribution.intent_of(identity)
        entity = intent or "-"
        self._nth_order[entity] += 1
        nth = self._nth_order[entity]
        reason = self._struck(entity, nth) or refusal
        now, order_id = self._context.now_s(), self._new_id("order")
        if reason is not None:
            self._record.expect_refusal(order_id, identity)
            return self.broker.reject(now, order_id, placement, reason)
        self._record.expect_order(order_id, identity)
        order = self.broker.place(now, order_id, placement)
        self._matching.accepted(order, entity, nth)
        return self.broker.order(order_id) or order

    def elsewhere(self, symbol: str, side: Side, quantity: Decimal) -> None:
        """Somebody else trades on the account: a market order that is no request of the client's."""
        self.place(Placement(symbol, side, "market", quantity), Identity(op="elsewhere"))

    def _struck(self, entity: str, nth: int) -> str | None:
        reason = None
        for receipt, action in self._injector.ask(Plane.VENUE, "accept", entity, nth, "decide"):
            # What is struck is the acceptance, and a refused order has none.
            self._injector.resolve(receipt, "not_applied")
            if isinstance(action, Reject) and reason is None:
                reason = action.reason
        return reason

    def cancel(self, order_id: str) -> Order:
        """Cancel an order, at once or after ``cancel_delay``. Raises Refused."""
        return self._matching.cancel(order_id)

    def replace(self, order_id: str, quantity: Decimal, price: Decimal) -> Order:
        """New size and price for an open limit order. Raises Refused."""
        return self.broker.replace(self._context.now_s(), order_id, quantity, price)

    def read(self, identity: Identity, look: Callable[[float | None], Response]) -> Response:
        """Answer a query as the ledger stands, or stood. ``look`` gets the time it is asked about; None is now."""
        entity = self._attribution.intent_of(identity)[0] or "-"
        self._nth_read[entity] += 1
        lag_s = self._settings.read_lag_s
        now = self._context.now_s()
        response = look(now - lag_s if lag_s else None)
        for receipt, action in self._injector.ask(Plane.VENUE, "read", entity, self._nth_read[entity], "decide"):
            fresh = response
            if isinstance(action, Stale) and action.lag_s > lag_s:
                lag_s = action.lag_s
                response = look(now - lag_s)
            # A stale read that says what a fresh one would say has struck nothing.
            self._injector.resolve(receipt, "applied" if response.body != fresh.body else "not_applied")
        return response
