"""Gate's stream: one path, signed subscriptions for what is private, two kinds of book.

``spot.order_book_update`` numbers its changes (``U`` to ``u``) and begins nowhere: the base comes from a query.
``spot.obu`` begins with the whole book and may send it whole again at any time.
"""

from __future__ import annotations

from typing import Final

import msgspec

from faultline.venues import signing
from faultline.venues.base import Connection, Context
from faultline.venues.broker import Entry
from faultline.venues.profiles.channels import Channels
from faultline.venues.profiles.gate.wire import Teller
from faultline.venues.profiles.market import Book, Instrument, Market, Update
from faultline.venues.profiles.spot import KEY, SECRET
from faultline.venues.wire import Json, encode

PATH: Final = "/ws/v4/"
WINDOW_S: Final = 60.0
PRIVATE: Final = ("spot.orders", "spot.usertrades")
DEPTHS: Final = (50, 400)
EVERYTHING: Final = "!all"
_EVENTS: Final = {"order": "put", "fill": "update", "replace": "update"}


class Proof(msgspec.Struct, frozen=True):
    """Who subscribes."""

    method: str = ""
    KEY: str = ""
    SIGN: str = ""


class Command(msgspec.Struct, frozen=True):
    """A message from a client."""

    channel: str = ""
    event: str = ""
    time: int = 0
    id: int | str | None = None
    payload: tuple[str, ...] = ()
    auth: Proof = Proof()


_read = msgspec.json.Decoder(Command).decode


class Streams:
    """What is said on Gate's connections. Channels are kept as ``channel:pair``."""

    def __init__(
        self, context: Context, channels: Channels, market: Market, teller: Teller, *, full_every: int
    ) -> None:
        self._context = context
        self._channels = channels
        self._market = market
        self._teller = teller
        self._full_every = full_every
        self._updates = 0

    def command(self, connection: Connection, text: str) -> str:
        """Obey a command. Returns the channel newly subscribed, or the empty string."""
        try:
            command = _read(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self._say(connection, "", "", {"error": {"code": 1, "message": "Invalid request body format"}})
            return ""
        if command.channel == "spot.ping":
            self._say(connection, "spot.pong", "", {"result": None})
            return ""
        problem = self._problem(command)
        own: dict[str, object] = {"id": command.id, "conn_id": f"{connection.ordinal:016x}"}
        if problem is not None:
            code, message = problem
            self._say(connection, command.channel, command.event, {**own, "error": {"code": code, "message": message}})
            return ""
        names = self._names(command)
        for name in names:
            if command.event == "subscribe":
                self._channels.add(connection, name)
            else:
                self._channels.remove(connection, name)
        done = {**own, "payload": command.payload, "result": {"status": "success"}}
        self._say(connection, command.channel, command.event, done)
        if command.event != "subscribe":
            return ""
        self._begin(connection, command)
        return command.channel

    def _names(self, command: Command) -> list[str]:
        if command.channel in PRIVATE:
            return [f"{command.channel}:{pair}" for pair in command.payload]
        return [f"{command.channel}:{command.payload[0]}"]

    def _problem(self, command: Command) -> tuple[int, str] | None:
        if command.event not in ("subscribe", "unsubscribe"):
            return 2, f"unknown event {command.event}"
        pairs: list[str] = []
        if command.channel in PRIVATE:
            pairs = [pair for pair in command.payload if pair != EVERYTHING]
        elif command.channel == "spot.order_book_update":
            pairs = list(command.payload[:1])
        elif command.channel == "spot.obu" and len(command.payload) == 1:
            head, _, depth = command.payload[0].rpartition(".")
            if depth not in map(str, DEPTHS):
                return 2, f"unknown depth {depth}"
            pairs = [head.removeprefix("ob.")]
        else:
            return 2, f"unknown channel {command.channel}"
        if not command.payload or any(pair not in self._market.books for pair in pairs):
            return 2, f"unknown currency pair {', '.join(pairs)}"
        return self._unproven(command) if command.channel in PRIVATE else None

    def _unproven(self, command: Command) -> tuple[int, str] | None:
        payload = signing.gate_channel_payload(command.channel, command.event, str(command.time))
        right = signing.hex_hmac(SECRET, payload, "sha512")
        if not signing.same(command.auth.KEY, KEY) or not signing.same(command.auth.SIGN, right):
            return 4, "authentication fail"
        late = abs(self._context.wall_s() - command.time) > WINDOW_S
        return (4, "authentication fail: request expired") if late else None

    # Books

    def _begin(self, connection: Connection, command: Command) -> None:
        if command.channel == "spot.obu":
            pair = command.payload[0].split(".")[1]
            book = self._market.books[pair]
            entity = self._channels.kth("spot.obu", "-")
            self._push_obu(connection, command.payload[0], book, None, entity)
            self._market.watch(pair)
        elif command.channel == "spot.order_book_update":
            self._market.watch(command.payload[0])

    def watched(self, symbol: str) -> bool:
        """Whether anybody is subscribed to a book."""
        names = [f"spot.order_book_update:{symbol}", *(f"spot.obu:ob.{symbol}.{depth}" for depth in DEPTHS)]
        return any(self._channels.holders(name) for name in names)

    def moved(self, instrument: Instrument, book: Book, update: Update) -> None:
        """Push an update of a book, in both kinds."""
        self._updates += 1
        entity = self._channels.kth("spot.order_book_update", "-")
        for connection, _ in self._channels.holders(f"spot.order_book_update:{instrument.symbol}"):
            result: Json = {
                "t": self._now_ms(),
                "e": "depthUpdate",
                "E": self._now_ms() // 1000,
                "s": instrument.symbol,
                "U": update.first,
                "u": update.last,
                "b": update.bids,
                "a": update.asks,
            }
            body = self._body("spot.order_book_update", "update", {"result": result})
            self._channels.push(connection, "spot.order_book_update", body, entity, sequence=update.last)
        entity = self._channels.kth("spot.obu", "-")
        change = None if self._updates % self._full_every == 0 else update
        for depth in DEPTHS:
            name = f"ob.{instrument.symbol}.{depth}"
            for connection, _ in self._channels.holders(f"spot.obu:{name}"):
                self._push_obu(connection, name, book, change, entity)

    def _push_obu(self, connection: Connection, name: str, book: Book, update: Update | None, entity: str) -> None:
        result: dict[str, object] = {"t": self._now_ms(), "s": name, "u": book.last}
        if update is None:
            bids, asks = book.levels(int(name.rpartition(".")[2]))
            result |= {"full": True, "b": bids, "a": asks}
        else:
            result |= {"U": update.first, "b": update.bids, "a": update.asks}
        body = self._body("spot.obu", "update", {"result": result})
        self._channels.push(connection, "spot.obu", body, entity, sequence=book.last)

    # The account

    def entered(self, entry: Entry, entity: str) -> None:
        """Push a line of the ledger: the order, and the fill by itself."""
        if entry.what == "reject":
            return
        order, fill = entry.order, entry.fill
        if fill is not None:
            trade = self._teller.trade(fill, order)
            self._push("spot.usertrades", order.symbol, {**trade, "user_id": 1}, entity, fill.fill_id)
        event = _EVENTS.get(entry.what, "update") if order.open else "finish"
        told = {**self._teller.order(order), "user": 1, "event": event}
        self._push("spot.orders", order.symbol, told, entity, order.order_id)

    def _push(self, channel: str, symbol: str, result: Json, entity: str, subject: str) -> None:
        kth = self._channels.kth(channel, entity)
        body = self._body(channel, "update", {"result": [result]})
        holders = self._channels.holders(f"{channel}:{EVERYTHING}") + self._channels.holders(f"{channel}:{symbol}")
        for connection in dict.fromkeys(connection for connection, _ in holders):
            self._channels.push(connection, channel, body, kth, subject=subject)

    # All

    def _now_ms(self) -> int:
        return round(self._context.wall_s() * 1000)

    def _body(self, channel: str, event: str, more: Json) -> str:
        now_ms = self._now_ms()
        body = {"time": now_ms // 1000, "time_ms": now_ms, "channel": channel, "event": event, **more}
        return encode(body).decode()

    def _say(self, connection: Connection, channel: str, event: str, more: Json) -> None:
        self._channels.control(connection, self._body(channel, event, more))
