"""What counts as an effect at an upstream that is not ours: which requests, and where their key and their id are.

Scenarios and command lines write it; the gateway's ledger goes by it. It is apart from the gateway, so that reading a
scenario imports no HTTP server.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class EffectRule:
    """Requests that are effects: ``on`` as in faults (``POST /orders``).

    ``id`` says where the answer names what was made, ``key`` where the request has its idempotency key: ``header
    NAME`` or ``json a.b.0`` (a path in the body; a number picks an item of a list). ``statuses`` are the answers
    that mean done (any 2xx when empty). ``price``, ``quantity``, ``symbol`` and ``side`` are places in the request
    that tell one intent from another. Raises ValueError for a place that is neither.
    """

    on: str
    id: str = "json id"
    key: str = ""
    statuses: tuple[int, ...] = ()
    price: str = ""
    quantity: str = ""
    symbol: str = ""
    side: str = ""

    def __post_init__(self) -> None:
        if not self.on.strip():
            raise ValueError("on is empty; write it like POST /orders")
        if not self.id:
            raise ValueError("id is empty; say where the answer has it, like json id or header Location")
        for name in ("id", "key", "price", "quantity", "symbol", "side"):
            place = getattr(self, name)
            kind, _, where = place.partition(" ")
            if place and (kind not in ("header", "json") or not where.strip()):
                raise ValueError(f"{name} is {place!r}; write header NAME or json path.to.it")

    @cached_property
    def marks(self) -> tuple[tuple[str, str], ...]:
        """What of a request tells one intent from another, and where it stands."""
        names = ("price", "quantity", "symbol", "side")
        return tuple((name, place) for name in names if (place := getattr(self, name)))

    @cached_property
    def reads_body(self) -> bool:
        """Whether anything that it looks for stands in the body of a request."""
        return any(place.startswith("json") for place in (self.key, *(place for _, place in self.marks)))

    def succeeded(self, status: int) -> bool:
        """Whether an answer with this status means that it was done."""
        return status in self.statuses if self.statuses else 200 <= status < 300
