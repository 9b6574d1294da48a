"""A shop that charges cards with stripe's package, and tries again when the payment did not go through."""

import asyncio
from typing import Any

import stripe

TRIES_MAX = 4


async def charge(api: Any, order_id: str, cents: int) -> Any:
    """Charge the card for an order."""
    for _ in range(TRIES_MAX):
        try:
            return await api.charges.create_async(
                params={"amount": cents, "currency": "usd", "source": "tok_visa", "metadata": {"order": order_id}}
            )
        except stripe.APIConnectionError:
            await asyncio.sleep(1)
    raise RuntimeError(f"order {order_id}: no answer after {TRIES_MAX} tries")


async def charge_once(api: Any, order_id: str, cents: int) -> Any:
    """The same with one change: all tries for an order carry one key."""
    for _ in range(TRIES_MAX):
        try:
            return await api.charges.create_async(
                params={"amount": cents, "currency": "usd", "source": "tok_visa", "metadata": {"order": order_id}},
                options={"idempotency_key": f"charge-{order_id}"},
            )
        except stripe.APIConnectionError:
            await asyncio.sleep(1)
    raise RuntimeError(f"order {order_id}: no answer after {TRIES_MAX} tries")
