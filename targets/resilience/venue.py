"""The seam between the order side and a venue: a few calls, the values they exchange, and what may go wrong.

An adapter (one file in ``targets/resilience/venues/``) speaks one venue's REST dialect and nothing else:

* **One call is one request on the wire.** No retry, no throttle, no breaker: whoever calls knows what a second try
  may cost, and the error handler around the call does the rest.
* **The token is asked for last**, right before sending, because every wait before it may outlive it. A token that the
  venue refuses is reported to the token manager, and the call raises ``APIError(401)``, which had no effect.
* **``unless`` is asked at the moment of sending**, with no await between it and the request: an order that was
  cancelled while its placement waited for a token is not sent.
* **Ids are unique for the account.** Where the venue counts orders or fills per contract, or asks for the contract
  beside the id, the adapter writes the two as one (``BTCUSDT:1001``).
* **Answers are read strictly.** What is not as documented is an :class:`UnreadableError`, whose effect is unknown:
  an answer about another order than the one asked about counts as unreadable too.
* **Every failure is an** :class:`~targets.resilience.errors.APIError` **that says what it may have done.** ``effect``
  is ``none`` when no connection came about (``status_code`` None) and for every refusal; a request without an answer,
  a 5xx and an unreadable answer are ``unknown``. A venue that reports a definite refusal with HTTP 200, or an unknown
  execution with a 4xx, is translated: ``effect`` given explicitly. Of what had no effect, 401, 418, 429 and 5xx are
  worth another try, and so is what got no connection; every other status is a definite no.

The values are decimal and frozen. Statuses have one vocabulary for all venues; adapters translate into it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal, Protocol

from targets.resilience.errors import APIError, NotSentError

Idempotency = Literal["unique_ever", "unique_while_pending", "first_result", "none"]
ZERO: Final = Decimal(0)


class OrderStatus(StrEnum):
    """How far an order is. ``PENDING`` and ``UNKNOWN`` are the client's own: the venue may or may not have it."""

    PENDING = "pending"
    UNKNOWN = "unknown"
    OPEN = "new"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Nothing more happens to an order with this status."""
        return self in ENDED


ENDED: Final = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED})


class OrderSide(StrEnum):
    """Which way."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """When it executes."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


@dataclass(frozen=True, slots=True)
class Placement:
    """An order as it is asked for. ``client_key`` is the idempotency key, the same for every try."""

    client_key: str
    account_id: str
    contract_id: str
    side: OrderSide
    type: OrderType
    size: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the venue tells it.

    ``client_key`` is empty where the venue does not show it, or has none because the order is somebody else's.
    ``filled`` is cumulative; ``size`` is zero where the venue does not say. ``confirmed`` is False for an answer
    that only acknowledges the order: then its other fields are what was asked for, not what the venue holds.
    """

    id: str
    status: OrderStatus
    client_key: str = ""
    contract_id: str = ""
    side: OrderSide = OrderSide.BUY
    size: Decimal = ZERO
    filled: Decimal = ZERO
    price: Decimal | None = None
    confirmed: bool = True

    @property
    def ended(self) -> bool:
        """Nothing more can happen to it."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. ``sequence`` is None where the venue numbers nothing.

    ``id`` is unique for the account: where a venue counts per contract, the adapter puts the contract in front.
    ``client_key`` is empty where fills do not carry it: then ``order_id`` tells whose it is. ``voided`` takes an
    earlier fill of the same ``id`` back (a trade bust).
    """

    id: str
    order_id: str
    contract_id: str
    side: OrderSide
    size: Decimal
    price: Decimal
    client_key: str = ""
    sequence: int | None = None
    voided: bool = False

    @property
    def signed(self) -> Decimal:
        """What it adds to the position."""
        return self.size if self.side == OrderSide.BUY else -self.size


@dataclass(frozen=True, slots=True)
class FillPage:
    """Some fills in order, where to go on (``cursor``, opaque), and whether there may be more after them."""

    fills: tuple[Fill, ...]
    cursor: str
    more: bool


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of a contract: positive is long."""

    contract_id: str
    size: Decimal
    average_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """The account as the venue tells it."""

    id: str
    balance: Decimal
    can_trade: bool = True


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What a venue promises, as far as the order side depends on it. Times are bounds, in seconds.

    ``late_s``: how long after it was given up a request may still arrive and take effect. ``query_lag_s``: how far
    queries may trail what the venue has done. ``idempotency`` is the scope in which it refuses (or answers again) a
    repeated key; the settlement needs none of it to be correct, and says in its log when a venue surprises it.
    ``fills_numbered``: fills carry a gapless ``sequence``, so that a hole in them shows. ``key_length``: how many
    characters a key may have, at most 32.
    """

    idempotency: Idempotency = "none"
    late_s: float = 16.0
    query_lag_s: float = 4.0
    fills_numbered: bool = False
    key_length: int = 32

    @property
    def unanswered_s(self) -> float:
        """How long an empty query proves nothing after a request that got no answer."""
        return self.late_s + self.query_lag_s


class DuplicateKeyError(APIError):
    """The key is taken, so an order with it exists. Nothing was carried out by *this* request."""


class UnknownOrderError(APIError):
    """The venue knows no such order, as yet."""


class OrderEndedError(APIError):
    """The order is there and can no longer be changed: something else ended it."""


class WithdrawnError(NotSentError):
    """Not sent, because at the moment of sending nobody wanted it any more."""


class UnreadableError(APIError):
    """An answer that is not what the venue documents. Whether it was carried out, it does not say."""

    def __init__(self, message: str, status_code: int | None = None) -> None:
        super().__init__(message, status_code, effect="unknown")


class Venue(Protocol):
    """One venue, seen from the order side."""

    @property
    def rules(self) -> VenueRules:
        """What it promises."""
        ...

    async def place(self, placement: Placement, *, unless: Callable[[], bool]) -> Order:
        """Place an order. Raises DuplicateKeyError, WithdrawnError."""
        ...

    async def find(self, client_key: str, contract_id: str) -> Order | None:
        """The order of ``contract_id`` with this key; None when the venue knows of none *as yet*.

        A venue that reuses keys gives the latest. One that cannot be asked by key looks through its recent orders.
        """
        ...

    async def order(self, order_id: str) -> Order:
        """One order by the venue's id. Raises UnknownOrderError."""
        ...

    async def open_orders(self) -> tuple[Order, ...]:
        """All orders that the venue holds open, whoever placed them."""
        ...

    async def cancel(self, order_id: str) -> Order:
        """Cancel an order; the order as it stands then. Raises UnknownOrderError, OrderEndedError."""
        ...

    async def replace(self, order_id: str, *, size: Decimal, price: Decimal | None) -> Order:
        """Give an order a new total size and price; the order as it stands then. Raises like ``cancel``."""
        ...

    async def fills(self, since: str) -> FillPage:
        """The fills after cursor ``since``, oldest first; the empty cursor is the beginning.

        A cursor that cannot be exact (a time) is moved back far enough that nothing is left out; fills told twice do
        no harm.
        """
        ...

    async def positions(self) -> tuple[Position, ...]:
        """What the account holds."""
        ...

    async def account(self) -> Account:
        """The account itself."""
        ...
