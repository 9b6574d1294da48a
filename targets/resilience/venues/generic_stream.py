"""What the generic venue's stream tells of orders and fills (docs/generic-venue.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from targets.resilience.channel_model import Heartbeat, News
from targets.resilience.order_channels import fill_delta, order_delta
from targets.resilience.venues.generic import read_fill, read_order
from targets.resilience.wire import read_list, read_object, read_sequence

TOPICS: Final = ("orders", "fills")


class GenericReading:
    """Numbered messages by topic, snapshots of the open orders, and heartbeats that tell the last numbers."""

    events: tuple[str, ...] = ("orders", "fills", "snapshot", "heartbeat")

    def orders(self, event: str, *arguments: object) -> Iterable[News]:
        """News of orders."""
        message = read_object(arguments[0], "a message")
        if event == "orders":
            return (order_delta(read_order(message.get("data")), read_sequence(message.get("sequence"))),)
        if event == "snapshot":
            return map(order_delta, read_list(message, "orders", read_order))
        return _heartbeat(message, "orders") if event == "heartbeat" else ()

    def fills(self, event: str, *arguments: object) -> Iterable[News]:
        """News of fills."""
        message = read_object(arguments[0], "a message")
        if event == "fills":
            return (fill_delta(read_fill(message.get("data")), read_sequence(message.get("sequence"))),)
        return _heartbeat(message, "fills") if event == "heartbeat" else ()


def _heartbeat(message: Mapping[str, Any], topic: str) -> Iterable[News]:
    last = message.get("last_sequence")
    number = read_sequence(last.get(topic)) if isinstance(last, dict) else None
    return () if number is None else (Heartbeat(number),)
