"""A client that is a process: started, stopped, continued, killed, and seen to its end.

Between the runner and the client stands a small supervisor (see ``supervisor.py``), so that nothing is left running
even when the runner is killed. What must not wait is done from here, by the client's process group: a signal sent by
this process has arrived when the call returns, so a client that is killed before an answer is sent never reads it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context as VariableContext
from contextvars import ContextVar
from typing import Final

from faultline.errors import ProcessEnded
from faultline.worlds.command import PREFIX, Command
from faultline.worlds.live import supervisor
from faultline.worlds.live.channels import Ears, wire
from faultline.worlds.live.pipes import Lines, Reader, Tail

LOST_S: Final = 1.0
"""How long a client that cannot be spoken to any more may take to end, before it is ended."""

END_MAX_S: Final = 5.0
"""How long the supervisor may take to end everything; then it is killed, and the kernel kills the client."""


class Process:
    """One client process. ``ears`` hears what it says; ``over`` is called once when it and all it started are gone,
    or cannot be spoken to, with the reason.

    ``left`` are the names of processes that it left behind when it ended by itself.
    """

    def __init__(self, command: Command, ears: Ears, over: Callable[[ProcessEnded], None]) -> None:
        self._command = command
        self._ears = ears
        self._over = over
        self._wire = wire(command.channel)
        self._tail = Tail()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._control = -1
        self._readers: list[Reader] = []
        self._pid = 0
        self._ended = ""
        self._paused_until_s = 0.0
        self._lost = ""
        self._leaving = False
        self.left: list[str] = []
        self.gone = asyncio.get_running_loop().create_future()
        self.clean = False

    async def start(self, env: Mapping[str, str]) -> None:
        """Start it. ``env`` is added to the command's own environment."""
        await self._wire.prepare()
        if self.gone.done():
            return  # killed before it began
        self._spawn({**self._command.environment(), **self._wire.env, **env})
        self._wire.open(self)

    def _spawn(self, env: Mapping[str, str]) -> None:
        """Start the supervisor, which starts the client. Raises ProcessEnded when the system refuses."""
        wire = self._wire
        control, self._control = os.pipe()
        status_read, status = os.pipe()
        said_read, said = os.pipe()
        handed = ",".join(str(number) for number in wire.handed)
        program = [sys.executable, "-I", "-S", supervisor.__file__, str(control), str(status), handed]
        try:
            self._supervisor = subprocess.Popen(
                [*program, *self._command.command],
                stdin=subprocess.DEVNULL if wire.stdin is None else wire.stdin,
                stdout=said if wire.stdout is None else wire.stdout,
                stderr=said,
                cwd=self._command.folder or None,
                env=env,
                pass_fds=(control, status, *wire.handed),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            os.close(status_read)
            os.close(said_read)
            raise ProcessEnded(f"{self._command.command[0]} cannot be started: {error}") from error
        finally:
            for number in (control, status, said):
                os.close(number)
        lines = Lines(self._status, lambda: None)
        self._readers = [
            Reader(said_read, self._tail.feed, lambda: None),
            Reader(status_read, lines.feed, self._all_gone),
        ]

    # What the supervisor tells

    def _status(self, line: bytes) -> None:
        what, _, rest = line.decode(errors="replace").partition(" ")
        if what == "started":
            self._pid = int(rest)
        elif what == "failed":
            self._ended = f"{self._command.command[0]} cannot be executed: {os.strerror(int(rest))}"
        elif what == "ended" and not self._ended:
            self._pid = 0
            kind, _, number = rest.partition(" ")
            self.clean = rest == "exit 0"
            self._ended = f"its process ended with {_named(kind, int(number))}"
        elif what == "left":
            self.left.append(rest)

    def _all_gone(self) -> None:
        self._wire.drain()
        for reader in self._readers:
            reader.drain()
        self._finish()

    def _finish(self) -> None:
        """It is gone: release everything, and tell."""
        if self.gone.done():
            return
        if not self._ended:
            self._signal(signal.SIGKILL)  # its supervisor was killed itself
        self._pid = 0
        self.gone.set_result(None)
        why = self.why()
        self._release()
        self._over(ProcessEnded(why))

    def why(self) -> str:
        """Why it ended, as far as one knows, with its last words."""
        return f"{self._lost or self._ended or 'its supervisor ended'}{self._tail.shown()}"

    def last_words(self) -> str:
        """What it wrote to stderr last."""
        return self._tail.shown()

    def _release(self) -> None:
        self._let_go()
        for reader in self._readers:
            reader.close()
        self._wire.close()
        if self._supervisor is not None:
            try:
                self._supervisor.wait(1.0)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()

    # What it says (it stands between the channel and the ears, because it knows when the process is gone)

    def line(self, line: bytes) -> str:
        """Pass it on."""
        return self._ears.line(line)

    def wrong(self, why: str) -> None:
        """Pass it on."""
        self._ears.wrong(why)

    def lost(self, why: str) -> None:
        """It may be about to end, which says more; if it does not, it is killed."""

        def still_there() -> None:
            if not self.gone.done() and not self._ended and not self._leaving:
                self._lost = f"{why} although its process goes on"
                self.kill()

        asyncio.get_running_loop().call_later(LOST_S, still_there)

    # What is done to it

    def ask(self, line: bytes) -> None:
        """Send a question."""
        if not self.gone.done():
            self._wire.ask(line)

    def ask_no_more(self) -> None:
        """Nothing more will be asked: it may end now, in its own time."""
        self._leaving = True
        self._wire.end()

    def pause(self, lasts_s: float) -> bool:
        """Stop it and continue it ``lasts_s`` later. False when there is no process."""
        if not self._signal(signal.SIGSTOP):
            return False
        loop = asyncio.get_running_loop()
        until_s = self._paused_until_s = max(self._paused_until_s, loop.time() + lasts_s)
        loop.call_at(until_s, self._go_on)
        return True

    def _go_on(self) -> None:
        if asyncio.get_running_loop().time() >= self._paused_until_s:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> bool:
        if not self._pid:
            return False
        try:
            os.killpg(self._pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def kill(self) -> None:
        """Kill it and all that it started. When this returns it executes nothing any more."""
        self._signal(signal.SIGKILL)
        self._let_go()
        if self._supervisor is None:
            self._finish()

    def _let_go(self) -> None:
        """The supervisor ends everything when this pipe closes."""
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    async def closed(self) -> None:
        """Until nothing is left of it, for :data:`END_MAX_S` at most."""
        await asyncio.wait({self.gone}, timeout=END_MAX_S)
        self._finish()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wire.closed(), END_MAX_S)


def _named(kind: str, number: int) -> str:
    if kind == "exit":
        return f"exit status {number}"
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


class Processes:
    """The client processes of one run, by incarnation. ``seed`` is told to them.

    They are started one after the other, on the same store: the next waits until nothing of the last is left.
    """

    def __init__(self, seed: int, outside: VariableContext) -> None:
        self._seed = seed
        self._outside = outside
        self._by_incarnation: dict[int, Process] = {}

    async def start(
        self,
        incarnation: int,
        command: Command,
        env: Mapping[str, str],
        ears: Ears,
        over: Callable[[ProcessEnded], None],
    ) -> Process:
        """Start the next one. What belongs to the harness runs outside of the client's own context."""
        earlier = list(self._by_incarnation.values())
        process = self._by_incarnation[incarnation] = Process(command, ears, over)
        own = {f"{PREFIX}SEED": str(self._seed), f"{PREFIX}INCARNATION": str(incarnation)}

        async def work() -> None:
            for each in earlier:
                await each.closed()
            await process.start({**env, **own})

        await asyncio.get_running_loop().create_task(work(), context=self._outside.copy())
        return process

    def kill(self, incarnation: int) -> bool:
        """Kill that one. False when there is none: then the client is a class."""
        process = self._by_incarnation.get(incarnation)
        if process is not None:
            process.kill()
        return process is not None

    def has(self, incarnation: int) -> bool:
        """Whether that incarnation is a process of its own."""
        return incarnation in self._by_incarnation

    def left(self, incarnation: int) -> list[str]:
        """What that one left behind when it ended, each in a line."""
        process = self._by_incarnation.get(incarnation)
        return [] if process is None else [f"process {name}" for name in process.left]

    async def close(self) -> None:
        """Kill all of them, and wait until nothing is left."""
        for process in self._by_incarnation.values():
            process.kill()
        for process in self._by_incarnation.values():
            await process.closed()


PROCESSES: Final[ContextVar[Processes]] = ContextVar("faultline_processes")
"""The processes of the run in which a client is made."""
