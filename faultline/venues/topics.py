"""The generic venue's stream: who subscribed to what, numbered messages, heartbeats.

Subscriptions belong to a connection: one that did not subscribe gets nothing, and a reconnect is not a resubscribe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from faultline.venues.base import Connection, Context, Message
from faultline.venues.settings import GenericSettings
from faultline.venues.wire import Json, Unreadable, encode, read_command

TOPICS: Final = ("fills", "orders")


class Topics:
    """Subscriptions and messages. ``snapshot`` gives the open orders; ``on_subscribed`` hears of new topics."""

    def __init__(
        self,
        settings: GenericSettings,
        context: Context,
        *,
        snapshot: Callable[[], Sequence[Json]],
        on_subscribed: Callable[[Connection, tuple[str, ...]], None],
    ) -> None:
        self._settings = settings
        self._context = context
        self._snapshot = snapshot
        self._on_subscribed = on_subscribed
        self._subscribed: dict[Connection, set[str]] = {}
        self._beating: set[Connection] = set()
        self._sequence = dict.fromkeys(TOPICS, 0)
        self._effects: dict[tuple[str, str], int] = {}

    def connected(self, connection: Connection) -> None:
        """A connection that may subscribe."""
        self._subscribed[connection] = set()

    def disconnected(self, connection: Connection) -> None:
        """Its subscriptions are gone with it."""
        self._subscribed.pop(connection, None)
        self._beating.discard(connection)

    def publish(self, topic: str, entity: str, subject: str, data: Json) -> None:
        """Tell every subscriber. ``entity`` is the intent, whose kth message on this topic this is."""
        sequence = self._sequence[topic] = self._sequence[topic] + 1
        kth = self._effects[topic, entity] = self._effects.get((topic, entity), 0) + 1
        numbered = self._settings.sequences
        body = {"topic": topic, "sequence": sequence, "data": data} if numbered else {"topic": topic, "data": data}
        message = Message(
            topic=topic,
            body=encode(body).decode(),
            sequence=sequence if numbered else 0,
            entity=f"{entity}/{kth}",
            subject=subject,
        )
        for connection, topics in self._subscribed.items():
            if topic in topics:
                connection.push(message)

    def received(self, connection: Connection, text: str) -> None:
        """Obey a command. Whatever cannot be read is answered with an error message."""
        if connection not in self._subscribed:
            return
        try:
            command = read_command(text)
        except Unreadable:
            self._control(connection, "error", {"message": 'expected {"op": ..., "topics": [...]}'})
            return
        unknown = [topic for topic in command.topics if topic not in TOPICS]
        if unknown or command.op not in ("subscribe", "unsubscribe", "ping"):
            known = "ops are subscribe, unsubscribe, ping; topics are " + ", ".join(TOPICS)
            self._control(connection, "error", {"message": known})
        elif command.op == "ping":
            self._control(connection, "pong", {})
        elif command.op == "unsubscribe":
            self._subscribed[connection].difference_update(command.topics)
            self._control(connection, "unsubscribed", {"topics": command.topics})
        else:
            self._subscribe(connection, command.topics)

    def _subscribe(self, connection: Connection, topics: tuple[str, ...]) -> None:
        self._subscribed[connection].update(topics)
        self._on_subscribed(connection, topics)
        self._control(connection, "subscribed", {"topics": topics, **self._numbers()})
        if self._settings.snapshot_on_subscribe:
            self._control(connection, "snapshot", {"orders": self._snapshot(), **self._numbers()})
        if connection not in self._beating:
            self._beating.add(connection)
            self._beat_later(connection)

    def _numbers(self) -> Json:
        return {"last_sequence": self._sequence} if self._settings.sequences else {}

    def _control(self, connection: Connection, topic: str, more: Json) -> None:
        connection.push(Message(topic=topic, body=encode({"topic": topic, **more}).decode(), control=True))

    def _beat_later(self, connection: Connection) -> None:
        def beat() -> None:
            if connection in self._beating:
                self._control(connection, "heartbeat", {**self._numbers(), "time": self._context.wall_s()})
                self._beat_later(connection)

        self._context.call_later(self._settings.heartbeat_s, beat)
