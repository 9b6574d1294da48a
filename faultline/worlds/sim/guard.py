"""What keeps a simulation from touching the real world.

An audit hook sees blocking code before it acts: a real connect or look-up, a subprocess, a new thread. It raises
SimEscape at that very line, and notes it, because clients swallow exceptions. Audit hooks cannot be taken out again;
this one does nothing while no simulation runs. Imports may do what they like: libraries probe the machine then.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Final

from faultline.worlds.sim.active import running
from faultline.worlds.sim.frames import importing
from faultline.worlds.sim.patches import Patches

_BLOCKING_CLIENT: Final = "use an asyncio client (aiohttp, httpx.AsyncClient, websockets), or run it in the live world"
_NO_PROCESS: Final = "start it outside of the simulation, or run this part in the live world"
_NO_THREAD: Final = "use asyncio.to_thread() or loop.run_in_executor(), which are simulated"
_FORBIDDEN: Final = {
    "socket.connect": ("a real connection", _BLOCKING_CLIENT),
    "socket.sendto": ("a real datagram", _BLOCKING_CLIENT),
    "socket.getaddrinfo": ("a real name look-up", f"use loop.getaddrinfo(); {_BLOCKING_CLIENT}"),
    "socket.gethostbyname": ("a real name look-up", f"use loop.getaddrinfo(); {_BLOCKING_CLIENT}"),
    "socket.gethostbyaddr": ("a real name look-up", _BLOCKING_CLIENT),
    "subprocess.Popen": ("a subprocess", _NO_PROCESS),
    "os.system": ("a shell command", _NO_PROCESS),
    "os.exec": ("replacing this process", _NO_PROCESS),
    "os.fork": ("a fork", _NO_PROCESS),
    "os.forkpty": ("a fork", _NO_PROCESS),
    "os.posix_spawn": ("a subprocess", _NO_PROCESS),
    "os.spawn": ("a subprocess", _NO_PROCESS),
    "_thread.start_new_thread": ("a thread", _NO_THREAD),
    "_thread.start_joinable_thread": ("a thread", _NO_THREAD),
}


def _audit(event: str, args: tuple[Any, ...]) -> None:
    forbidden = _FORBIDDEN.get(event)
    if forbidden is None:
        return
    sim = running()
    if sim is None or importing():
        return
    what, instead = forbidden
    raise sim.escaped(f"{what} ({event}{_shown(event, args)})", instead)


def _shown(event: str, args: tuple[Any, ...]) -> str:
    if event == "socket.connect":
        return f" to {args[-1]!r}"
    if event.startswith("_thread"):
        owner = getattr(args[0], "__self__", None)
        return f" {_runs(owner) if isinstance(owner, threading.Thread) else args[0]!r}"
    return f" {args[0]!r}" if args else ""


def _runs(thread: threading.Thread) -> str:
    work = getattr(thread, "_target", None) or thread.run
    return f"for {getattr(work, '__qualname__', type(work).__name__)}"


class NoThreads:
    """``Thread.start`` for the time of a run. The audit event for new threads is younger than Python 3.11."""

    def __init__(self) -> None:
        self._real = threading.Thread.start
        real = self._real

        def start(thread: threading.Thread) -> None:
            sim = running()
            if sim is not None and not importing():
                what, instead = _FORBIDDEN["_thread.start_new_thread"]
                # Not by its default name: that counts the threads of the whole process, and a run is to repeat.
                raise sim.escaped(f"{what} ({_runs(thread)})", instead)
            real(thread)

        self._virtual = start

    def put_in_place(self) -> None:
        """Refuse threads."""
        threading.Thread.start = self._virtual  # type: ignore[method-assign,assignment]

    def take_out(self) -> None:
        """Allow them again."""
        threading.Thread.start = self._real  # type: ignore[method-assign]


def add_to(patches: Patches) -> None:
    """Declare the refusal of threads."""
    patches.add_other(NoThreads())


def watch() -> None:
    """Add the audit hook. Called once per process."""
    sys.addaudithook(_audit)
