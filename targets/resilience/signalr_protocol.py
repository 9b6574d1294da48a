"""The SignalR JSON hub protocol, without any input or output of its own.

Every message is a JSON object that ends with the record separator (0x1E). One WebSocket frame may hold several
messages, or a part of one: frames are chunks of a text, nothing more. The first message of each side is the
handshake, and the server's answer to it may share a frame with the first real messages.

The reader is strict. What the protocol does not know is :class:`ProtocolError`: a stream that is read wrongly is worse
than one that is down, because a lost connection is repaired and a misread one is believed. Numbers with a fraction
become Decimal, since prices and quantities must not pass through a float.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from targets.resilience.errors import ResilienceError

RECORD_SEPARATOR: Final = "\x1e"
HANDSHAKE: Final = '{"protocol":"json","version":1}' + RECORD_SEPARATOR
RECORD_CHARS_MAX: Final = 4 * 1024 * 1024
"""No message of a hub is that long. Without a bound, a server that sends no separator fills the memory."""


class ProtocolError(ResilienceError):
    """The peer said something that its protocol does not allow."""


class _Message(msgspec.Struct, frozen=True, rename="camel", tag_field="type", omit_defaults=True):
    """What all messages share: ``type`` in the JSON decides which one it is."""


class Invocation(_Message, frozen=True, tag=1):
    """Call ``target`` on the other side. Without an id, no reply is allowed."""

    target: str
    arguments: tuple[object, ...]
    invocation_id: str | None = None
    stream_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.target or self.invocation_id == "":
            raise ValueError("an invocation needs a target, and an id that is not empty")


class StreamItem(_Message, frozen=True, tag=2):
    """One item of a streaming invocation."""

    invocation_id: str
    item: object


class Completion(_Message, frozen=True, tag=3):
    """The end of an invocation: a result, an error, or neither where the method returns nothing."""

    invocation_id: str
    result: object | UnsetType = UNSET
    error: str | None = None

    def __post_init__(self) -> None:
        if self.error is not None and self.result is not UNSET:
            raise ValueError("a completion has a result or an error, never both")


class StreamInvocation(_Message, frozen=True, tag=4):
    """Call ``target``, which answers with a stream of items."""

    invocation_id: str
    target: str
    arguments: tuple[object, ...]
    stream_ids: tuple[str, ...] = ()


class CancelInvocation(_Message, frozen=True, tag=5):
    """No more items are wanted."""

    invocation_id: str


class Ping(_Message, frozen=True, tag=6):
    """Still here. No reply is owed."""


class Close(_Message, frozen=True, tag=7):
    """The sender ends the connection. ``allow_reconnect``: whether the client may come back by itself."""

    error: str | None = None
    allow_reconnect: bool = False


HubMessage = Invocation | StreamItem | Completion | StreamInvocation | CancelInvocation | Ping | Close


class _HandshakeAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    error: str | None = None


_messages: Final[msgspec.json.Decoder[HubMessage]] = msgspec.json.Decoder(HubMessage, float_hook=Decimal)
_answers: Final = msgspec.json.Decoder(_HandshakeAnswer)


def encode(message: HubMessage) -> str:
    """``message`` as it goes over the wire, separator included."""
    return msgspec.json.encode(message).decode() + RECORD_SEPARATOR


class HubReader:
    """Makes messages of the text of one connection, however it is cut into frames."""

    def __init__(self) -> None:
        self._rest = ""
        self.shaken = False
        """Whether the server has accepted the handshake."""

    def feed(self, frame: str | bytes) -> list[HubMessage]:
        """The messages that ``frame`` completes. Raises ProtocolError; nothing may be fed after that."""
        if isinstance(frame, bytes):
            raise ProtocolError("a binary frame on a connection that speaks JSON")
        *records, self._rest = (self._rest + frame).split(RECORD_SEPARATOR)
        if len(self._rest) > RECORD_CHARS_MAX:
            raise ProtocolError(f"a message of more than {RECORD_CHARS_MAX} characters")
        if records and not self.shaken:
            self._shake(records.pop(0))
        return [_message(record) for record in records]

    def _shake(self, record: str) -> None:
        try:
            answer = _answers.decode(record)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ProtocolError(f"not an answer to a handshake: {error}") from error
        if answer.error is not None:
            raise ProtocolError(f"the server declined the handshake: {answer.error[:200]}")
        self.shaken = True


def _message(record: str) -> HubMessage:
    try:
        return _messages.decode(record)
    except (msgspec.DecodeError, UnicodeError) as error:
        # The record itself is not quoted: it may be long, and may hold what does not belong in a log.
        raise ProtocolError(f"not a hub message: {error}") from error
