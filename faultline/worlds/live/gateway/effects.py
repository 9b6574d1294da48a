"""The ledger of an upstream that is not ours: what took effect there, read from what it was asked and answered.

A rule says which requests are effects and where their key and their id are. An answer with a success and an id that
is new is one effect, also when a fault keeps the client from seeing it; an id that was there before is the upstream's
own answer to a repeated key. An effect that was asked for and never answered may have happened: it is written as one
that belongs to nobody, so that duplicates and losses are unknown instead of guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from faultline.history import Aliases, History
from faultline.history.attribution import Attribution, Identity
from faultline.history.event import Effect, Intent
from faultline.venues.base import Request, Response
from faultline.worlds.effect_rule import EffectRule

_ENDPOINTS_MAX: Final = 4096
_decode = msgspec.json.Decoder().decode


def found(place: str, headers: Mapping[str, str], body: object) -> str:
    """What stands at a place such as ``header Location`` or ``json order.id``; empty where nothing does."""
    kind, _, where = place.partition(" ")
    where = where.strip()
    if kind == "header":
        return headers.get(where.lower(), "")
    for part in where.split(".") if where else ():
        if isinstance(body, dict):
            body = body.get(part)
        elif isinstance(body, list) and part.isdigit() and int(part) < len(body):
            body = body[int(part)]
        else:
            return ""
    return str(body) if isinstance(body, str | int | float) and not isinstance(body, bool) and where else ""


def _parsed(body: bytes) -> Any:
    try:
        return _decode(body) if body else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _amount(text: str) -> str:
    try:
        return text if Decimal(text).is_finite() else "0"
    except InvalidOperation:
        return "0"


class EffectLedger:
    """Writes effects by ``rules``. ``by_key`` says whether a new key is an intent of its own, as it is for a client
    that keeps its key over retries while nobody else says what is wanted."""

    def __init__(
        self,
        rules: Sequence[EffectRule],
        history: History,
        attribution: Attribution,
        aliases: Aliases,
        now_s: Callable[[], float],
        by_key: Callable[[], bool] = lambda: True,
    ) -> None:
        self._rules = tuple(rules)
        self._history = history
        self._attribution = attribution
        self._aliases = aliases
        self._now_s = now_s
        self._by_key = by_key
        self._known: set[str] = set()
        self._announced: set[str] = set()
        self._lines = 0
        self._rule_of: dict[str, EffectRule | None] = {}

    def rule(self, endpoint: str) -> EffectRule | None:
        """The first rule that is about this endpoint."""
        if endpoint not in self._rule_of:
            if len(self._rule_of) >= _ENDPOINTS_MAX:
                self._rule_of.clear()
            self._rule_of[endpoint] = next((rule for rule in self._rules if fnmatchcase(endpoint, rule.on)), None)
        return self._rule_of[endpoint]

    def identity(self, rule: EffectRule, request: Request) -> Identity:
        """What a request shows of itself. A key that nobody announced becomes an intent, where keys do that."""
        body = _parsed(request.body) if rule.reads_body else None
        fields = tuple((name, value) for name, place in rule.marks if (value := found(place, request.headers, body)))
        key = self._aliases.scrub(found(rule.key, request.headers, body)) if rule.key else ""
        identity = Identity(key=key, fields=fields, op="place")
        if key and self._by_key() and key not in self._announced and self._attribution.intent_of(identity)[0] is None:
            self._announced.add(key)
            intent = Intent(self._now_s(), key, "place")
            self._attribution.announce(intent)
            self._history.append(intent)
        return identity

    def answered(self, rule: EffectRule, identity: Identity, request: Request, response: Response) -> bool:
        """Note what an answer means. Returns whether it is a success."""
        if not rule.succeeded(response.status):
            if 400 <= response.status < 500:
                self._write("reject", "", identity, request, "rejected")
            elif response.status >= 500:
                self.unanswered(identity, request)
            return False
        if rule.id.startswith("json"):
            id = self._aliases.scrub(found(rule.id, {}, _parsed(response.body)))
        else:
            id = self._aliases.scrub(found(rule.id, {name.lower(): value for name, value in response.headers}, None))
        if id and id in self._known:
            return True
        self._known.add(id)
        self._write("order", id, identity, request, "new")
        return True

    def unanswered(self, identity: Identity, request: Request) -> None:
        """The upstream was asked and gave no answer: what it did is not known."""
        self._write("order", "", Identity(), request, "new")

    def _write(self, what: Any, id: str, identity: Identity, request: Request, after: str) -> None:
        self._lines += 1
        if what == "order" and id:
            intent, how = self._attribution.tie_order(id, identity)
        else:
            # An answer without an id: nobody can say whether it is a new one.
            intent, how = self._attribution.intent_of(identity) if what == "reject" else (None, "")
        fields = dict(identity.fields)
        self._history.append(
            Effect(
                t=self._now_s(),
                sequence=self._lines,
                what=what,
                order=id,
                intent=intent,
                tied_by=how,
                before="",
                after=after,
                key=identity.key,
                symbol=fields.get("symbol", ""),
                side=fields.get("side", ""),
                quantity=_amount(fields.get("quantity", "0")),
                price=fields.get("price", ""),
                request=request.number,
            )
        )
