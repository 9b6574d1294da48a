"""Tying what a venue did to what the client wanted.

Naive clients mint a new key per retry and know nothing of faultline, so an effect is tied to its intent by, in this
order: a key that *is* the intent's id, or begins with that of a kill or a flatten; a watermark, a field whose value
the workload made unique per intent; a key that was tied before. A fill is tied through its order. What cannot be tied
stays untied: guessing here would turn a lost order into a duplicate of its neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from faultline.history.contract import ClientPolicy
from faultline.history.event import Intent


class Identity(msgspec.Struct, frozen=True):
    """What a request or an order shows of itself: its idempotency key, the venue's order id, its visible fields,
    and what it asks for (``place``, ``cancel``, ``replace`` or ``""`` for a read)."""

    key: str = ""
    order: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    op: str = ""


def _canonical(value: str) -> str:
    # "100.50" and "100.5" are one price.
    try:
        return str(Decimal(value).normalize())
    except InvalidOperation:
        return value


class Attribution:
    """Knows the intents of a run as they are announced, and ties requests and effects to them."""

    def __init__(self, policy: ClientPolicy) -> None:
        # A market order has no price; its size, made unique by the workload, stands in.
        self._marking = (policy.watermark, "quantity")
        self._intents: dict[str, Intent] = {}
        self._by_watermark: dict[tuple[str, str], str] = {}
        self._by_key: dict[str, str] = {}
        self._by_order: dict[str, str] = {}
        self._acting_on: dict[tuple[str, str], str] = {}
        self._closing: list[str] = []

    def announce(self, intent: Intent) -> None:
        """The client is about to be asked for ``intent``. Must come before anything it sends."""
        self._intents[intent.id] = intent
        if intent.op in ("kill", "flatten"):
            self._closing.append(intent.id)
        elif intent.of:
            self._acting_on[intent.op, intent.of] = intent.id
        elif mark := self._mark({name: str(getattr(intent, name, "")) for name in self._marking}):
            self._by_watermark[mark] = intent.id

    def intent_of(self, identity: Identity) -> tuple[str | None, str]:
        """The intent behind ``identity`` and what tied it (``key``, ``watermark``, ``order``), or (None, "")."""
        found, how = self._origin(identity)
        if found is not None and identity.op in ("cancel", "replace"):
            found = self._acting_on.get((identity.op, found), found)
        return found, how

    def _origin(self, identity: Identity) -> tuple[str | None, str]:
        if identity.key and identity.key in self._intents:
            return identity.key, "key"
        # Closing takes an order for each position, and more when one is declined; no two may share a key.
        closes = [intent for intent in self._closing if identity.key.startswith(intent)]
        if closes:
            return max(closes, key=len), "key"
        if identity.order in self._by_order:
            return self._by_order[identity.order], "order"
        mark = self._mark(dict(identity.fields)) if identity.op in ("place", "") else None
        marked = self._by_watermark.get(mark) if mark is not None else None
        if marked is not None:
            if identity.key:
                self._by_key[identity.key] = marked
            return marked, "watermark"
        known = self._by_key.get(identity.key)
        return (known, "key") if known is not None else (None, "")

    def _mark(self, fields: Mapping[str, str]) -> tuple[str, str] | None:
        for name in self._marking:
            if fields.get(name):
                return name, _canonical(fields[name])
        return None

    def tie_order(self, order: str, identity: Identity) -> tuple[str | None, str]:
        """Tie a newly accepted order, and with it every later effect on it."""
        found, how = self._origin(identity)
        if found is not None:
            self._by_order[order] = found
        return found, how

    def orders(self) -> Mapping[str, str]:
        """The intent of every order tied so far."""
        return self._by_order
