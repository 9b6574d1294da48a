"""The message plane's executor for streams: the one place where a fault touches a message on its way to a client.

A connection's messages come here one at a time and in order, so a delayed one holds up those behind it. One that was
held back for others to overtake is out of that order: it follows when enough have passed, or after a few seconds when
none comes, or is lost with its connection. Heartbeats and snapshots are no points; answers to a client's calls are
points of their own, where the venue's protocol has such.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from faultline.errors import HarnessError
from faultline.faults.actions import Action, Cut, Delay, Drop, Duplicate, Goodbye, Hold, How, Replace
from faultline.faults.injector import Injector, Strike
from faultline.faults.points import Plane
from faultline.history import History
from faultline.history.event import Connected, Delivered, Disconnected
from faultline.venues.base import Message

HELD_MAX_S: Final = 5.0
"""A message held back for others to overtake goes out after this long when no other comes."""

FOR_EVER_S: Final = 1e9
"""What waits for this long waits for the teardown, which cancels it."""

Send = Callable[[str], Awaitable[None]]
CutStream = Callable[[How, int], None]
Say = Callable[[str], None]
Upon = Mapping[type[Action], Callable[[Action], object]]
Fate = Literal["sent", "dropped", "delayed", "duplicated", "lost"]


class _Outgoing(msgspec.Struct, frozen=True):
    """A message on its way to one connection; ``nth`` counts its deliveries."""

    stream: str
    connection: int
    message: Message
    nth: int
    send: Send


@dataclass(slots=True)
class _Held:
    """A message that waits until ``passes`` later ones have gone."""

    outgoing: _Outgoing
    passes: int
    timer: asyncio.TimerHandle | None = None


class MessageInterceptor:
    """Carries out actions on the messages of streams, and writes what was sent and what became of it.

    ``upon`` carries out actions that concern no message (a crash, expired tokens). ``in_flight`` counts messages that
    are held back.
    """

    def __init__(self, injector: Injector, history: History, *, now_s: Callable[[], float], upon: Upon) -> None:
        self._injector = injector
        self._history = history
        self._now_s = now_s
        self._upon = upon
        self._nth: dict[tuple[str, str], int] = {}
        self._streams: dict[int, tuple[str, CutStream]] = {}
        self._say: dict[int, Say] = {}
        self._held: dict[int, list[_Held]] = {}
        self._following: set[asyncio.Task[None]] = set()
        self.in_flight = 0

    # Connections

    def opened(self, stream: str, connection: int, cut: CutStream, token: str = "", *, say: Say | None = None) -> None:
        """A stream connection was opened; ``cut`` ends it, ``say`` sends a fault's last words on it."""
        self._streams[connection] = (stream, cut)
        if say is not None:
            self._say[connection] = say
        self._history.append(Connected(t=self._now_s(), connection=connection, stream=stream, token=token))
        self._injector.mark(f"stream {stream}")

    def closed(self, stream: str, connection: int, code: int) -> None:
        """A stream connection is gone. What was held back for it is lost."""
        if self._streams.pop(connection, None) is None:
            return
        self._say.pop(connection, None)
        waiting = self._held.pop(connection, [])
        while waiting:
            held = waiting.pop(0)
            self._let_go(held)
            self._delivered(held.outgoing, "lost")
        self._history.append(Disconnected(t=self._now_s(), connection=connection, stream=stream, code=code))

    def cut_streams(self, on: str, cut: Cut, connection: int | None = None) -> int:
        """End the open stream connections that ``on`` names. Returns how many there were."""
        ended = 0
        for ordinal, (stream, end) in list(self._streams.items()):
            if fnmatchcase(f"stream {stream}", on) and connection in (None, ordinal):
                self._take_leave(ordinal, cut)
                end(cut.how, cut.code)
                ended += 1
        return ended

    def _take_leave(self, connection: int, cut: Cut) -> None:
        if isinstance(cut, Goodbye) and connection in self._say:
            self._say[connection](cut.text)

    # Messages

    async def message(self, stream: str, connection: int, message: Message, send: Send, cut: CutStream) -> None:
        """Send ``message`` on ``connection``, with whatever faults strike it. Called one at a time per connection."""
        if message.control:
            if not message.answers or not self._answer_is_lost(stream, connection, message):
                await send(message.body)
            return
        endpoint, entity = f"stream {stream}", f"{message.entity}/{message.topic}"
        nth = self._nth[endpoint, entity] = self._nth.get((endpoint, entity), 0) + 1
        strikes = self._injector.ask(
            Plane.MESSAGE,
            endpoint,
            entity,
            nth,
            "out",
            topic=message.topic,
            connection=connection,
            size_bytes=len(message.body),
        )
        outgoing = _Outgoing(stream, connection, message, nth, send)
        if strikes:
            await self._struck(outgoing, strikes, cut)
        else:
            await self._send(outgoing)

    def _answer_is_lost(self, stream: str, connection: int, message: Message) -> bool:
        endpoint, entity = f"stream {stream}", f"-/{message.answers}"
        nth = self._nth[endpoint, entity] = self._nth.get((endpoint, entity), 0) + 1
        strikes = self._injector.ask(
            Plane.MESSAGE,
            endpoint,
            entity,
            nth,
            "ack",
            topic=message.answers,
            connection=connection,
            size_bytes=len(message.body),
        )
        for receipt, _ in strikes:
            # The call was carried out; what is lost is the word of it.
            self._injector.resolve(receipt, "applied")
        return any(isinstance(action, Drop) for _, action in strikes)

    async def _struck(self, outgoing: _Outgoing, strikes: tuple[Strike, ...], cut: CutStream) -> None:
        copies: list[Duplicate] = []
        for receipt, action in strikes:
            match action:
                case Drop():
                    self._injector.resolve(receipt, "not_applied")
                    self._delivered(outgoing, "dropped")
                    return
                case Cut():
                    self._injector.resolve(receipt, "not_applied")
                    self._delivered(outgoing, "lost")
                    self._take_leave(outgoing.connection, action)
                    cut(action.how, action.code)
                    return
                case Hold(overtaken_by=passes) if passes:
                    self._injector.resolve(receipt, "applied")
                    self._hold_back(outgoing, passes)
                    return
                case Duplicate():
                    copies.append(action)
                case Replace(payload=payload):
                    body = payload.decode("utf-8", "replace")
                    outgoing = replace(outgoing, message=replace(outgoing.message, body=body))
                case _:
                    await self._wait_or_act(action)
            self._injector.resolve(receipt, "applied" if self._is_open(outgoing) else "not_applied")
        await self._send(outgoing, copies)

    async def _send(self, outgoing: _Outgoing, copies: list[Duplicate] | None = None) -> None:
        if not self._is_open(outgoing):
            # It was delayed, and its connection did not wait for it.
            self._delivered(outgoing, "lost")
            return
        self._delivered(outgoing, "sent")
        await outgoing.send(outgoing.message.body)
        for duplicate in copies or ():
            for _ in range(duplicate.copies):
                if duplicate.gap_s:
                    await asyncio.sleep(duplicate.gap_s)
                if self._is_open(outgoing):
                    self._delivered(outgoing, "duplicated")
                    await outgoing.send(outgoing.message.body)
        await self._passed(outgoing.connection)

    def _is_open(self, outgoing: _Outgoing) -> bool:
        return outgoing.connection in self._streams

    # Messages that others overtake

    def _hold_back(self, outgoing: _Outgoing, passes: int) -> None:
        held = _Held(outgoing, passes)
        held.timer = asyncio.get_running_loop().call_later(HELD_MAX_S, self._follow_alone, held)
        self._held.setdefault(outgoing.connection, []).append(held)
        self.in_flight += 1

    def _let_go(self, held: _Held) -> None:
        self.in_flight -= 1
        if held.timer is not None:
            held.timer.cancel()

    def _follow_alone(self, held: _Held) -> None:
        self._held[held.outgoing.connection].remove(held)
        task = asyncio.ensure_future(self._follow(held))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _passed(self, connection: int) -> None:
        """A message has gone out: those held back for it to overtake follow when they have waited enough."""
        waiting = self._held.get(connection)
        if not waiting:
            return
        for held in waiting:
            held.passes -= 1
        while due := next((held for held in waiting if held.passes <= 0), None):
            waiting.remove(due)
            await self._follow(due)

    async def _follow(self, held: _Held) -> None:
        self._let_go(held)
        self._delivered(held.outgoing, "delayed" if self._is_open(held.outgoing) else "lost")
        await held.outgoing.send(held.outgoing.message.body)

    # For every action

    async def _wait_or_act(self, action: Action) -> None:
        match action:
            case Delay(delay_s=delay_s):
                await asyncio.sleep(delay_s)
            case Hold(until_s=until_s):
                await asyncio.sleep(max(0.0, until_s - self._now_s()) if until_s is not None else FOR_EVER_S)
            case _ if type(action) in self._upon:
                self._upon[type(action)](action)
            case _:
                raise HarnessError(
                    f"a fault of the message plane asks for {action!r}, which nobody can do to a request or a message "
                    "here; the actions of each plane are listed in docs/architecture.md"
                )

    def _delivered(self, outgoing: _Outgoing, fate: Fate) -> None:
        message = outgoing.message
        self._history.append(
            Delivered(
                t=self._now_s(),
                connection=outgoing.connection,
                stream=outgoing.stream,
                topic=message.topic,
                sequence=message.sequence,
                entity=message.entity,
                nth=outgoing.nth,
                subject=message.subject,
                fate=fate,
            )
        )
