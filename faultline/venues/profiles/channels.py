"""Who listens to what on a venue's streams, how long a connection may live, and how it is kept alive.

Subscriptions belong to a connection: a new one has none. Venues differ in what they call a channel and in what they
write around a message; that is for the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from faultline.venues.base import Connection, Context, Message

POLICY_VIOLATION: Final = 1008


class Channels:
    """Connections, their channels, and the timers that end them.

    ``life_s`` after its handshake a connection is closed with ``life_code`` (None: it may live on). A subscription
    has a tag, which its messages may need (its id, the argument that it was made with).
    """

    def __init__(self, context: Context, *, life_s: float | None, life_code: int = 1000) -> None:
        self._context = context
        self._life_s = life_s
        self._life_code = life_code
        self._open: dict[Connection, dict[str, str]] = {}
        self._heard_s: dict[Connection, float] = {}
        self._effects: dict[tuple[str, str], int] = {}

    def opened(self, connection: Connection) -> None:
        """A connection that may subscribe."""
        self._open[connection] = {}
        self.touch(connection)
        if self._life_s is not None:
            self._later(self._life_s, connection, lambda: connection.close(self._life_code))

    def closed(self, connection: Connection) -> None:
        """Its subscriptions are gone with it."""
        self._open.pop(connection, None)
        self._heard_s.pop(connection, None)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._open

    def connections(self) -> list[Connection]:
        """All that are open."""
        return list(self._open)

    # Subscriptions

    def add(self, connection: Connection, channel: str, tag: str = "") -> None:
        """Subscribe."""
        self._open[connection][channel] = tag

    def remove(self, connection: Connection, channel: str) -> bool:
        """Unsubscribe. Returns whether it was subscribed."""
        return self._open[connection].pop(channel, None) is not None

    def of(self, connection: Connection) -> list[str]:
        """The channels of one connection."""
        return list(self._open.get(connection, ()))

    def holders(self, channel: str) -> list[tuple[Connection, str]]:
        """Who is subscribed to a channel, with the tag of each."""
        return [(connection, held[channel]) for connection, held in self._open.items() if channel in held]

    # Messages

    def control(self, connection: Connection, body: str) -> None:
        """Answer a command, or say something that is not data."""
        self.touch(connection)
        connection.push(Message(topic="control", body=body, control=True))

    def kth(self, topic: str, entity: str) -> str:
        """The identity of the next effect of ``entity`` on a topic: ``entity/1``, ``entity/2``."""
        count = self._effects[topic, entity] = self._effects.get((topic, entity), 0) + 1
        return f"{entity}/{count}"

    def push(
        self, connection: Connection, topic: str, body: str, entity: str, *, subject: str = "", sequence: int = 0
    ) -> None:
        """Send data. ``entity`` is what :meth:`kth` gave."""
        self.touch(connection)
        connection.push(Message(topic, body, sequence, entity, subject))

    # Keeping alive

    def touch(self, connection: Connection) -> None:
        """Something passed on this connection, either way."""
        self._heard_s[connection] = self._context.now_s()

    def close_when_idle(self, connection: Connection, idle_s: float, code: int, reason: str) -> None:
        """End it once nothing has passed for ``idle_s``."""

        def check() -> None:
            left_s = self._heard_s[connection] + idle_s - self._context.now_s()
            if left_s > 1e-9:
                self._later(left_s, connection, check)
            else:
                connection.close(code, reason)

        self._later(idle_s, connection, check)

    def ping_frames(self, connection: Connection, every_s: float, within_s: float) -> None:
        """Send a ping frame each ``every_s``; end the connection when one is not answered ``within_s``.

        Only a pong with the payload of a ping that is still waited for counts, so an unsolicited one does not help.
        """
        waiting: list[str] = []

        def hear() -> None:
            if connection.ponged in waiting:
                del waiting[: waiting.index(connection.ponged) + 1]

        def overdue(payload: str) -> None:
            hear()
            if payload in waiting:
                connection.close(POLICY_VIOLATION, "Pong timeout")

        def ping() -> None:
            hear()
            payload = str(round(self._context.wall_s() * 1000))
            waiting.append(payload)
            connection.ping(payload)
            self._later(within_s, connection, lambda: overdue(payload))
            self._later(every_s, connection, ping)

        self._later(every_s, connection, ping)

    def _later(self, delay_s: float, connection: Connection, act: Callable[[], None]) -> None:
        self._context.call_later(delay_s, lambda: act() if connection in self._open else None)
