"""What is asked of the order manager, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from targets.resilience.errors import APIError
from targets.resilience.venue import Order, OrderSide, OrderStatus, OrderType, Placement


class OrderUncertainError(APIError):
    """Nobody knows yet what became of a request. It is held as unknown, and worked on until it is settled."""


@dataclass(frozen=True, slots=True)
class OrderManagerConfig:
    """Settings. Times are in milliseconds.

    ``verification_timeout`` is how long a caller waits for certainty about its request. ``idempotency_enabled``: a
    request id stands for one request, whoever asks again; without, every call is a request of its own.
    ``retry_unsent``: an order that certainly was not sent (breaker open, venue refuses) is tried again for as long as
    it is wanted; without, its caller gets the error and the order is forgotten.
    """

    verification_enabled: bool = True
    verification_timeout: int = 5000
    idempotency_enabled: bool = True
    retry_unsent: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.verification_timeout <= 3_600_000:
            raise ValueError("verification_timeout: must be more than 0 and at most 3600000 ms")


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What is wanted. ``id`` names the request; without one, each call is a new request.

    ``client_key`` is the key under which the venue gets to know it; without one it follows from the id.
    """

    account_id: int | str
    contract_id: str
    size: Decimal | int | str
    type: OrderType
    side: OrderSide = OrderSide.BUY
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    id: str = ""
    client_key: str = ""


@dataclass(frozen=True, slots=True)
class OrderResponse:
    """What became of a request, as far as it is certain.

    For an order: ``success`` means that the venue has it. For a cancel or a replacement: that it was done.
    ``verified`` is False for an order that was acknowledged and not found within ``verification_timeout``.
    """

    success: bool
    order_id: str = ""
    status: OrderStatus | None = None
    verified: bool = True
    error: str = ""


def as_order(answer: Order | OrderResponse, placement: Placement) -> Order:
    """The order in an answer to a placement. Raises APIError for an answer that says no."""
    if isinstance(answer, Order):
        return answer
    if not answer.success:
        raise APIError(answer.error or "the order was declined", 422)
    return Order(
        answer.order_id,
        answer.status or OrderStatus.OPEN,
        client_key=placement.client_key,
        contract_id=placement.contract_id,
        side=placement.side,
        size=placement.size,
        price=placement.limit_price,
        confirmed=answer.status is not None,
    )
