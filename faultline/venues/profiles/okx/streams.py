"""OKX's streams: public books, private orders after a login, text pings, and a limit of silence.

The orders channel pushes nothing on subscribing and carries no sequence: what was missed is only in queries. Books
begin with a snapshot, and each update names the one before it (``prevSeqId``).
"""

from __future__ import annotations

from typing import Final

import msgspec

from faultline.venues import signing
from faultline.venues.base import Connection, Context
from faultline.venues.broker import Entry
from faultline.venues.profiles.channels import Channels
from faultline.venues.profiles.market import Book, Instrument, Market, Update
from faultline.venues.profiles.okx.settings import PASSPHRASE
from faultline.venues.profiles.okx.wire import Teller, book_json
from faultline.venues.profiles.spot import KEY, SECRET
from faultline.venues.wire import Json, encode

PATHS: Final = {"/ws/v5/public": "public", "/ws/v5/private": "private", "/ws/v5/business": "business"}
IDLE_S: Final = 30.0
NO_DATA: Final = (4004, "No data received in 30s.")
LOGIN_WINDOW_S: Final = 30.0
COMMANDS_PER_HOUR_MAX: Final = 480
"""Subscriptions, their ends and logins on one connection."""
BOOK_LEVELS: Final = 400


class Arg(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is subscribed, or who logs in."""

    channel: str = ""
    instType: str = ""  # noqa: N815 -- the venue's names
    instId: str = ""  # noqa: N815
    apiKey: str = ""  # noqa: N815
    passphrase: str = ""
    timestamp: str = ""
    sign: str = ""

    def about(self, symbol: str) -> bool:
        """Whether messages about this instrument are asked for."""
        return self.instId in ("", symbol)


class Command(msgspec.Struct, frozen=True):
    """A message from a client."""

    op: str = ""
    args: tuple[Arg, ...] = ()
    id: str = ""


_read = msgspec.json.Decoder(Command).decode


class Streams:
    """What is said on OKX's connections."""

    def __init__(self, context: Context, channels: Channels, market: Market, teller: Teller) -> None:
        self._context = context
        self._channels = channels
        self._market = market
        self._teller = teller
        self._logged_in: set[Connection] = set()
        self._commands: dict[Connection, list[float]] = {}

    def opened(self, connection: Connection) -> bool:
        """Begin. Returns whether there is such a path."""
        if connection.request.path not in PATHS:
            return False
        self._commands[connection] = []
        self._channels.close_when_idle(connection, IDLE_S, *NO_DATA)
        return True

    def closed(self, connection: Connection) -> None:
        """It is gone, and its login with it."""
        self._logged_in.discard(connection)
        self._commands.pop(connection, None)

    def command(self, connection: Connection, text: str) -> list[str]:
        """Obey a command. Returns the channels newly subscribed."""
        if text == "ping":
            self._channels.control(connection, "pong")
            return []
        try:
            command = _read(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            command = Command()
        if command.op not in ("login", "subscribe", "unsubscribe") or not command.args:
            self._error(connection, "60012", "Illegal request: that is no operation")
            return []
        now = self._context.now_s()
        recent = self._commands[connection] = [t for t in self._commands[connection] if t > now - 3600]
        if len(recent) >= COMMANDS_PER_HOUR_MAX:
            self._error(connection, "60014", "Requests too frequent")
            return []
        recent.append(now)
        if command.op == "login":
            self._login(connection, command.args[0])
            return []
        return [arg.channel for arg in command.args if self._subscribe(connection, command.op, arg)]

    def _login(self, connection: Connection, arg: Arg) -> None:
        right = signing.base64_hmac(SECRET, signing.okx_payload(arg.timestamp, "GET", "/users/self/verify", ""))
        try:
            age_s = self._context.wall_s() - float(arg.timestamp)
        except ValueError:
            self._error(connection, "60004", "Invalid timestamp")
            return
        if not signing.same(arg.apiKey, KEY):
            self._error(connection, "60005", "Invalid apiKey")
        elif not abs(age_s) <= LOGIN_WINDOW_S:
            self._error(connection, "60006", "Timestamp request expired")
        elif not signing.same(arg.passphrase, PASSPHRASE):
            self._error(connection, "60024", "Wrong passphrase")
        elif not signing.same(arg.sign, right):
            self._error(connection, "60007", "Invalid sign")
        elif PATHS[connection.request.path] == "public":
            self._error(connection, "60009", "Login failed")
        else:
            self._logged_in.add(connection)
            self._say(connection, {"event": "login", "code": "0", "msg": "", "connId": self._id(connection)})

    def _subscribe(self, connection: Connection, op: str, arg: Arg) -> bool:
        private = arg.channel == "orders"
        here = PATHS[connection.request.path]
        known = (private and here == "private" and arg.instType in ("SPOT", "ANY") and self._knows(arg)) or (
            arg.channel == "books" and here == "public" and bool(arg.instId) and self._knows(arg)
        )
        if not known:
            self._error(connection, "60018", f"Wrong URL or channel:{arg.channel},instId:{arg.instId} doesn't exist.")
            return False
        if private and connection not in self._logged_in:
            self._error(connection, "60011", "Please log in")
            return False
        channel = f"{arg.channel}:{arg.instId}"
        if op == "unsubscribe":
            self._channels.remove(connection, channel)
        else:
            self._channels.add(connection, channel, encode(arg).decode())
        self._say(connection, {"event": op, "arg": arg, "connId": self._id(connection)})
        if op == "subscribe" and not private:
            self._snapshot(connection, arg)
        return op == "subscribe"

    def _knows(self, arg: Arg) -> bool:
        return not arg.instId or arg.instId in self._market.books

    # Books

    def _snapshot(self, connection: Connection, arg: Arg) -> None:
        book = self._market.books[arg.instId]
        data = book_json(book.levels(BOOK_LEVELS), self._now_ms(), prevSeqId=-1, seqId=book.last)
        body = encode({"arg": arg, "action": "snapshot", "data": [data]}).decode()
        self._channels.push(connection, "books", body, self._channels.kth("books", "-"), sequence=book.last)
        self._market.watch(arg.instId)

    def watched(self, symbol: str) -> bool:
        """Whether anybody is subscribed to a book."""
        return bool(self._channels.holders(f"books:{symbol}"))

    def moved(self, instrument: Instrument, book: Book, update: Update) -> None:
        """Push an update of a book."""
        levels = (update.bids, update.asks)
        data = book_json(levels, self._now_ms(), prevSeqId=update.first - 1, seqId=update.last)
        entity = self._channels.kth("books", "-")
        for connection, arg in self._channels.holders(f"books:{instrument.symbol}"):
            body = encode({"arg": msgspec.Raw(arg.encode()), "action": "update", "data": [data]}).decode()
            self._channels.push(connection, "books", body, entity, sequence=update.last)

    # Orders

    def entered(self, entry: Entry, entity: str) -> None:
        """Push a line of the ledger. Refused orders are in the answer to their request only."""
        if entry.what == "reject":
            return
        order, fill = entry.order, entry.fill
        if entry.what == "cancel" and order.open:
            # A cancel that is on its way shows nowhere.
            return
        data = self._teller.told(order, fill)
        kth = self._channels.kth("orders", entity)
        subject = fill.fill_id if fill is not None else order.order_id
        for channel in ("orders:", f"orders:{order.symbol}"):
            for connection, arg in self._channels.holders(channel):
                body = encode({"arg": msgspec.Raw(arg.encode()), "data": [data]}).decode()
                self._channels.push(connection, "orders", body, kth, subject=subject)

    # All

    def notice(self, connection: Connection) -> None:
        """Say that this connection will be closed soon."""
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        body = {"event": "notice", "code": "64008", "msg": text, "connId": self._id(connection)}
        self._say(connection, body)

    @staticmethod
    def _id(connection: Connection) -> str:
        return f"{connection.ordinal:08x}"

    def _now_ms(self) -> int:
        return round(self._context.wall_s() * 1000)

    def _error(self, connection: Connection, code: str, message: str) -> None:
        self._say(connection, {"event": "error", "code": code, "msg": message, "connId": self._id(connection)})

    def _say(self, connection: Connection, body: Json) -> None:
        self._channels.control(connection, encode(body).decode())
