"""What a venue promises and what the client declared: the first event of every history.

Oracles read the rules from here and know no venue by name. (It lives below the oracles in the import order, which
is why it is not in ``venues/``.)
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, Literal

import msgspec

IdempotencyScope = Literal["none", "unique_while_pending", "unique_forever", "first_result"]
"""What a venue does with a client order id that it has seen before: nothing; rejects it while the first order is
open (Binance, OKX); rejects it for ever (ProjectX); answers with the first result (Stripe and its kind)."""

OPEN_STATES: Final = frozenset({"new", "partially_filled", "pending_cancel"})
TERMINAL_STATES: Final = frozenset({"filled", "canceled", "rejected", "expired"})

ORDER_AUTOMATON: Final[tuple[tuple[str, str], ...]] = (
    ("", "new"),
    ("", "rejected"),
    ("new", "partially_filled"),
    ("new", "filled"),
    ("new", "pending_cancel"),
    ("new", "canceled"),
    ("new", "expired"),
    ("partially_filled", "partially_filled"),
    ("partially_filled", "filled"),
    ("partially_filled", "pending_cancel"),
    ("partially_filled", "canceled"),
    ("partially_filled", "expired"),
    ("pending_cancel", "canceled"),
    ("pending_cancel", "partially_filled"),
    ("pending_cancel", "filled"),
)
"""Legal steps of an order, ``""`` being "does not exist yet". A cancel may lose the race against a fill."""


class RateBucket(msgspec.Struct, frozen=True):
    """At most ``limit`` units of weight per ``window_s``, counted over the endpoints that ``weights`` names.

    ``kind`` is ``sliding`` (any window of that length) or ``fixed`` (windows that start at multiples of it).
    An endpoint pattern is written as in a scenario: ``POST /orders``, ``* /orders*``.
    """

    name: str
    limit: int
    window_s: float
    weights: tuple[tuple[str, int], ...]
    kind: Literal["sliding", "fixed"] = "sliding"

    def weight_of(self, endpoint: str) -> int:
        """What one request to ``endpoint`` costs: the weight of the first pattern that matches, else nothing."""
        return next((weight for pattern, weight in self.weights if fnmatchcase(endpoint, pattern)), 0)


class ClientPolicy(msgspec.Struct, frozen=True):
    """What the client declared about itself. Oracles hold it to this and to nothing else.

    ``key_survives`` says that one intent keeps one idempotency key over retries and restarts.
    ``watermark`` names the field that is unique per intent (``price``), by which effects are attributed when keys
    do not survive.
    """

    key_survives: bool = True
    watermark: str = "price"


class Contract(msgspec.Struct, frozen=True):
    """The rules of one run.

    ``settle_s``: the longest time between an accepted request and its last effect. ``read_lag_s``: how far reads
    may trail the ledger. ``sequenced``: stream messages of one topic carry contiguous numbers.
    ``token_ttl_s``: life of an access token; None when the venue needs none.
    """

    venue: str
    idempotency: IdempotencyScope = "unique_while_pending"
    automaton: tuple[tuple[str, str], ...] = ORDER_AUTOMATON
    buckets: tuple[RateBucket, ...] = ()
    sequenced: bool = True
    snapshot_on_subscribe: bool = False
    read_lag_s: float = 0.0
    settle_s: float = 5.0
    token_ttl_s: float | None = None
    policy: ClientPolicy = ClientPolicy()
