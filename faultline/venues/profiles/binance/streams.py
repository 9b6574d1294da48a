"""Binance's streams: market data at ``/ws`` and ``/stream``, the account at the WebSocket API.

There is no sequence and no replay on the account's stream: what was missed is only in queries. A connection lives 24
hours and is pinged each 20 seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

import msgspec

from faultline.venues import signing
from faultline.venues.base import Connection, Context
from faultline.venues.broker import Entry
from faultline.venues.profiles.account import Account
from faultline.venues.profiles.binance.params import Problem
from faultline.venues.profiles.binance.wire import Teller, balances_json, eight
from faultline.venues.profiles.channels import POLICY_VIOLATION, Channels
from faultline.venues.profiles.journal import Journal
from faultline.venues.profiles.market import Book, Instrument, Market, Update
from faultline.venues.profiles.spot import KEY, SECRET
from faultline.venues.wire import Json, encode

WS_API: Final = "/ws-api/v3"
PING_S: Final = 20.0
PONG_WITHIN_S: Final = 60.0
MESSAGES_PER_S_MAX: Final = 5
"""Messages from the client to a market data connection."""
STREAMS_MAX: Final = 1024
ACCOUNT: Final = "account"
"""The channel of executions and balances."""
_EXECUTIONS: Final = {
    "order": "NEW",
    "fill": "TRADE",
    "cancel": "CANCELED",
    "expire": "EXPIRED",
    "replace": "REPLACED",
    "reject": "REJECTED",
}
_TIMES: Final = ("depth", "depth@100ms", "depth@1000ms")


class Command(msgspec.Struct, frozen=True):
    """A message to a market data connection."""

    method: str = ""
    params: tuple[str, ...] = ()
    id: int | str | None = None


class Call(msgspec.Struct, frozen=True):
    """A message to the WebSocket API. Parameter values may be numbers."""

    id: int | str | None = None
    method: str = ""
    params: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)


_read_command = msgspec.json.Decoder(Command).decode
_read_call = msgspec.json.Decoder(Call).decode


class Streams:
    """What is said on Binance's connections. ``check_time`` raises Problem; ``error`` words one."""

    def __init__(
        self, context: Context, channels: Channels, market: Market, journal: Journal, account: Account, teller: Teller
    ) -> None:
        self._context = context
        self._channels = channels
        self._market = market
        self._journal = journal
        self._account = account
        self._teller = teller
        self._arrivals: dict[Connection, deque[float]] = {}
        self._subscriptions = 0
        self._executions = 0

    def opened(self, connection: Connection) -> bool:
        """Begin. Returns whether there is such a path."""
        path = connection.request.path
        place, _, rest = path.removeprefix("/").partition("/")
        if path != WS_API and place not in ("ws", "stream"):
            return False
        self._channels.ping_frames(connection, PING_S, PONG_WITHIN_S)
        named = rest if place == "ws" else connection.request.query.get("streams", "")
        if path != WS_API:
            self._arrivals[connection] = deque(maxlen=MESSAGES_PER_S_MAX)
            # A name that is no stream is taken and stays silent: clients open /ws/0 or /stream/0 and subscribe there.
            self._add(connection, [name for name in named.split("/") if self._symbol_of(name)])
        return True

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self._arrivals.pop(connection, None)

    # Market data

    def _symbol_of(self, stream: str) -> str:
        symbol, _, kind = stream.partition("@")
        return symbol.upper() if kind in _TIMES and symbol.upper() in self._market.books else ""

    def _add(self, connection: Connection, streams: list[str]) -> None:
        for stream in streams:
            self._channels.add(connection, stream)
            self._market.watch(self._symbol_of(stream))

    def command(self, connection: Connection, text: str) -> tuple[str, ...]:
        """Obey a command on a market data connection. Returns the streams newly subscribed."""
        arrivals = self._arrivals[connection]
        now = self._context.now_s()
        if len(arrivals) == MESSAGES_PER_S_MAX and now - arrivals[0] < 1:
            connection.close(POLICY_VIOLATION, "Too many requests")
            return ()
        arrivals.append(now)
        try:
            command = _read_command(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            self._say(connection, {"error": {"code": 3, "msg": "Invalid JSON"}})
            return ()
        reply: dict[str, object] = {"result": None, "id": command.id}
        unknown = [stream for stream in command.params if not self._symbol_of(stream)]
        added: tuple[str, ...] = ()
        if command.method == "LIST_SUBSCRIPTIONS":
            reply["result"] = self._channels.of(connection)
        elif command.method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            reply = {"error": {"code": 2, "msg": f"Invalid request: unknown method {command.method}"}, "id": command.id}
        elif unknown or len(self._channels.of(connection)) + len(command.params) > STREAMS_MAX:
            reply = {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": command.id}
        elif command.method == "SUBSCRIBE":
            self._add(connection, list(command.params))
            added = command.params
        else:
            for stream in command.params:
                self._channels.remove(connection, stream)
        self._say(connection, reply)
        return added

    def watched(self, symbol: str) -> bool:
        """Whether anybody is subscribed to a book."""
        return any(self._channels.holders(f"{symbol.lower()}@{kind}") for kind in _TIMES)

    def moved(self, instrument: Instrument, book: Book, update: Update) -> None:
        """Push an update of a book: ``U`` and ``u`` number its changes, and follow on the last one's."""
        event: Json = {
            "e": "depthUpdate",
            "E": self._now_ms(),
            "s": instrument.symbol,
            "U": update.first,
            "u": update.last,
            "b": update.bids,
            "a": update.asks,
        }
        entity = self._channels.kth("depthUpdate", "-")
        for kind in _TIMES:
            stream = f"{instrument.symbol.lower()}@{kind}"
            for connection, _ in self._channels.holders(stream):
                body = encode({"stream": stream, "data": event} if _wraps(connection) else event).decode()
                self._channels.push(connection, "depthUpdate", body, entity, sequence=update.last)

    # The account

    def call(self, connection: Connection, call: Call, problem: tuple[int, int, str] | None) -> bool:
        """Answer a call to the WebSocket API; ``problem`` is what is wrong with its signature. Returns whether it
        subscribed to the account."""
        holders = dict(self._channels.holders(ACCOUNT))
        result: Json | None = None
        subscribed = False
        if call.method == "ping":
            result = {}
        elif call.method == "time":
            result = {"serverTime": self._now_ms()}
        elif call.method == "userDataStream.unsubscribe":
            problem = None if self._channels.remove(connection, ACCOUNT) else (400, -2036, "User stream not active.")
            result = {}
        elif call.method != "userDataStream.subscribe.signature":
            problem = (400, -1020, f"{call.method} is not supported.")
        elif problem is None and connection in holders:
            problem = (400, -2035, "User stream already active on this connection.")
        elif problem is None:
            result = {"subscriptionId": self._subscriptions}
            self._channels.add(connection, ACCOUNT, str(self._subscriptions))
            self._subscriptions += 1
            subscribed = True
        if problem is not None:
            status, code, message = problem
            self._say(connection, {"id": call.id, "status": status, "error": {"code": code, "msg": message}})
        else:
            self._say(connection, {"id": call.id, "status": 200, "result": result})
        return subscribed

    def entered(self, entry: Entry, entity: str) -> None:
        """Push a line of the ledger: the execution, then the balances that it changed."""
        if entry.what == "reject":
            # It never came to the engine.
            return
        self._executions += 1
        subject = entry.fill.fill_id if entry.fill is not None else entry.order.order_id
        self._push("executionReport", self._execution(entry), entity, subject)
        balances = [
            {"a": row["asset"], "f": row["free"], "l": row["locked"]}
            for row in balances_json(self._account.balances())
            if row["asset"] in self._assets(entry.order.symbol)
        ]
        position = {"e": "outboundAccountPosition", "E": self._now_ms(), "u": self._journal.ms(entry.t), "B": balances}
        self._push("outboundAccountPosition", position, entity, entry.order.order_id)

    def _assets(self, symbol: str) -> tuple[str, str]:
        instrument = self._market.instruments[symbol]
        return instrument.base, instrument.quote

    def _push(self, topic: str, event: Json, entity: str, subject: str) -> None:
        kth = self._channels.kth(topic, entity)
        for connection, subscription in self._channels.holders(ACCOUNT):
            body = encode({"subscriptionId": int(subscription), "event": event}).decode()
            self._channels.push(connection, topic, body, kth, subject=subject)

    def _execution(self, entry: Entry) -> Json:
        order, fill, teller = entry.order, entry.fill, self._teller
        times = self._journal.times(order.order_id)
        canceled = entry.what == "cancel"
        key = order.client_order_id or ""
        value = self._journal.executed(order.order_id).value
        return {
            "e": "executionReport",
            "E": self._now_ms(),
            "s": order.symbol,
            # Of a cancel, "c" is the cancel's own id and "C" the order's.
            "c": f"cancel{self._executions}" if canceled else key,
            "S": order.side.upper(),
            "o": teller.type(order),
            "f": teller.time_in_force(order),
            "q": eight(order.quantity),
            "p": eight(order.price),
            "P": eight(None),
            "F": eight(None),
            "g": -1,
            "C": key if canceled else "",
            "x": _EXECUTIONS[entry.what],
            "X": teller.status(order),
            "r": "NONE",
            "i": teller.id(order.order_id),
            "l": eight(fill.quantity if fill is not None else None),
            "z": eight(order.filled),
            "L": eight(fill.price if fill is not None else None),
            "n": eight(fill.fee) if fill is not None else "0",
            "N": self._market.instruments[order.symbol].quote if fill is not None else None,
            "T": times.updated_ms,
            "t": teller.id(fill.fill_id) if fill is not None else -1,
            "I": self._executions,
            "w": order.open and order.type == "limit",
            "m": fill is not None and order.type == "limit",
            "M": False,
            "O": times.created_ms,
            "Z": eight(value),
            "Y": eight(fill.quantity * fill.price if fill is not None else None),
            "Q": eight(None),
            "W": times.created_ms,
            "V": "NONE",
        }

    # Both

    def shutdown(self, connection: Connection) -> None:
        """Say that the venue will close this connection soon."""
        event = {"e": "serverShutdown", "E": self._now_ms()}
        if connection.request.path == WS_API:
            self._say(connection, {"event": event})
        else:
            self._say(connection, {"stream": "!serverShutdown", "data": event} if _wraps(connection) else event)

    def _now_ms(self) -> int:
        return round(self._context.wall_s() * 1000)

    def _say(self, connection: Connection, body: Json) -> None:
        self._channels.control(connection, encode(body).decode())


def _wraps(connection: Connection) -> bool:
    """Whether messages there tell the stream that they belong to."""
    return connection.request.path.startswith("/stream")


def read_call(text: str) -> Call | None:
    """A call to the WebSocket API; None when it cannot be read."""
    try:
        return _read_call(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def check_signature(params: Mapping[str, str]) -> None:
    """Who signed a call. Raises Problem."""
    if not signing.same(params.get("apiKey", ""), KEY):
        raise Problem("bad_key")
    if not signing.same(params.get("signature", ""), signing.sorted_signature(SECRET, dict(params))):
        raise Problem("signature")
