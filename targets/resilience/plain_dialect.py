"""Ordinary JSON streams for the connection manager: one JSON text per frame, subscriptions by topic.

Venues differ in four small things: how a subscription is written, how its acknowledgement is recognised, what is
data, and what keeps the connection alive. A :class:`PlainDialect` is a table of those. Each venue here is one such
table; another venue is another table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from targets.resilience.signalr_protocol import ProtocolError
from targets.resilience.stream_dialect import Answer, Conversation, Event, Goodbye, Heard, Question, Ready, with_query

_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
_encoder: Final = msgspec.json.Encoder(order="sorted")
Message = Mapping[str, Any]
Asking = Callable[[int, str, tuple[object, ...]], Question]
Reading = Callable[[Message], Iterable[Heard]]


def write(data: object) -> str:
    """``data`` as JSON, keys sorted: equal data is equal text."""
    return _encoder.encode(data).decode()


@dataclass(frozen=True, slots=True)
class PlainDialect:
    """A JSON stream. ``subscription`` writes number, topic and arguments; ``reading`` says what a message means.

    ``hello`` makes the first frames of each connection, such as a signed login; with ``handshakes``, ``reading`` has
    to give Ready when the server accepted it. ``noise`` are frames that are not JSON, such as a bare ``pong``.
    ``token_parameter`` is the query parameter that carries the token; empty: the token stays out of the address.
    """

    subscription: Asking
    reading: Reading
    hello: Callable[[], tuple[str, ...]] = tuple
    token_parameter: str = ""
    noise: frozenset[str] = frozenset()
    handshakes: bool = False
    negotiates: bool = False
    server_beats: bool = False
    beat: str | None = None
    probe: str | None = None

    def address(self, url: str, token: str) -> str:
        """Where to connect."""
        return with_query(url, self.token_parameter, token) if self.token_parameter else url

    def converse(self) -> Conversation:
        """The conversation of a new connection."""
        return _PlainConversation(self)


class _PlainConversation:
    def __init__(self, dialect: PlainDialect) -> None:
        self._dialect = dialect
        self._numbers = itertools.count(1)

    def hello(self) -> tuple[str, ...]:
        return self._dialect.hello()

    def subscribe(self, method: str, arguments: tuple[object, ...]) -> Question:
        return self._dialect.subscription(next(self._numbers), method, arguments)

    def invoke(self, method: str, arguments: tuple[object, ...]) -> Question:
        return self.subscribe(method, arguments)

    def receive(self, frame: str | bytes) -> Iterable[Heard]:
        if frame in self._dialect.noise:
            return ()
        try:
            message = _decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ProtocolError("a stream message is not JSON") from error
        if not isinstance(message, dict):
            raise ProtocolError(f"expected an object for a stream message, got {type(message).__name__}")
        return self._dialect.reading(message)


# The generic venue


def generic_venue() -> PlainDialect:
    """Topics ``orders`` and ``fills``, also both at once; events are these, ``snapshot`` and ``heartbeat``."""
    return PlainDialect(
        subscription=lambda number, topic, more: Question(topic, write({"op": "subscribe", "topics": [topic, *more]})),
        reading=_generic,
        token_parameter="token",
        probe='{"op":"ping"}',
    )


def _generic(message: Message) -> Iterable[Heard]:
    topic = message.get("topic")
    if topic == "error" or not isinstance(topic, str):
        raise ProtocolError(f"not a stream message: {str(message.get('message', 'it has no topic'))[:100]}")
    if topic == "pong":
        return ()
    if topic == "subscribed":
        # It also tells the last numbers, as a heartbeat does.
        return *(Answer(str(each)) for each in message.get("topics") or ()), Event("heartbeat", (message,))
    return (Event(topic, (message,)),)


# Binance market streams


def binance() -> PlainDialect:
    """Topics such as ``btcusdt@depth``. Events are named after the stream, or the event type on a raw stream."""
    return PlainDialect(subscription=_binance_question, reading=_binance)


def _binance_question(number: int, topic: str, arguments: tuple[object, ...]) -> Question:
    return Question(str(number), write({"method": "SUBSCRIBE", "params": [topic], "id": number}))


def _binance(message: Message) -> Iterable[Heard]:
    if "id" in message:
        error = message.get("error")
        return (Answer(str(message["id"]), message.get("result"), "" if error is None else write(error)),)
    data = message.get("data", message)
    kind = data.get("e") if isinstance(data, dict) else None
    if kind == "serverShutdown":
        return (Goodbye("the server is about to shut down"),)
    name = message.get("stream", kind)
    if not isinstance(name, str):
        raise ProtocolError("a stream message has neither a stream nor an event type")
    return (Event(name, (data,)),)


# OKX


def okx(login: Callable[[], str] | None = None) -> PlainDialect:
    """Channels with one object of arguments, such as ``("books", {"instId": "BTC-USDT"})``. Events: the channel.

    ``login`` makes the signed login message of a private stream; it is called for each connection, since the
    signature holds a time. The server drops what says nothing for 30 s: ``ping_interval`` must be below that.
    """
    return PlainDialect(
        subscription=_okx_question,
        reading=_okx,
        hello=tuple if login is None else lambda: (login(),),
        handshakes=login is not None,
        noise=frozenset({"pong"}),
        probe="ping",
    )


def _okx_question(number: int, topic: str, arguments: tuple[object, ...]) -> Question:
    argument: dict[str, object] = {"channel": topic}
    for more in arguments:
        if not isinstance(more, Mapping):
            raise TypeError(f"the arguments of {topic} are objects, such as {{'instId': 'BTC-USDT'}}")
        argument.update(more)
    return Question(write(argument), write({"op": "subscribe", "args": [argument]}))


def _okx(message: Message) -> Iterable[Heard]:
    event, argument = message.get("event"), message.get("arg")
    if event == "login":
        return (Ready(),)
    if event == "subscribe":
        return (Answer(write(argument)),)
    if event == "notice":
        return (Goodbye(f"notice {message.get('code')}"),)
    if event is not None:
        if event == "error":
            raise ProtocolError(f"error {message.get('code')}: {str(message.get('msg'))[:100]}")
        return ()
    if not isinstance(argument, dict) or not isinstance(argument.get("channel"), str):
        raise ProtocolError("a stream message names no channel")
    return (Event(argument["channel"], (message,)),)
