"""The parent of a client process: a small program of its own, so that nothing is left running whatever dies.

::

    python -I -S supervisor.py CONTROL STATUS HANDED program arguments...

``CONTROL`` is the reading end of a pipe that only the runner holds open: when it closes, by intent or because the
runner was killed, every process here is killed. On ``STATUS`` it writes ``started PID`` or ``failed ERRNO``, when the
client has ended ``ended exit N`` or ``ended signal N``, and ``left NAME`` for each process that the client left
behind; it closes when all of them are gone. ``HANDED`` lists the descriptors that are the client's alone.

The client is the leader of its own session and group. What leaves that group is still found: this process adopts
orphans (a subreaper, on Linux). When this process is killed itself, the kernel kills the client with it. It imports
little, because it starts with every client.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

GRACE_S: Final = 0.2
"""How long after the client's end what it had started may take to end as well."""
KILLING_MAX_S: Final = 3.0


def _prctl(option: int, value: int) -> None:
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(option, value, 0, 0, 0)


def _become(program: list[str], status: int, supervisor: int) -> None:
    """In the child: be the client. Does not return."""
    number = 1
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)  # it died before the line above
        # Python ignores some signals, the runner's workers others, and what is ignored stays so in the next program.
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGXFSZ", "SIGCHLD"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        os.write(status, f"started {os.getpid()}\n".encode())
        os.execv(program[0], program)
    except OSError as error:
        number = error.errno or number
    os.write(status, f"failed {number}\n".encode())
    os._exit(127)


def _descendants() -> list[int]:
    """Every process below this one, by ``/proc``; zombies do not count."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state not in (b"Z", b"X"):
                parents.setdefault(int(parent), []).append(int(name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _name(process: int) -> str:
    try:
        with open(f"/proc/{process}/comm", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"


def _reap(client: int) -> int | None:
    """The wait status of the client, if it has ended. Adopted orphans are reaped on the way."""
    status = None
    while True:
        try:
            process, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if process == 0:
            return status
        if process == client:
            status = ended


def _until(gone_by_s: float, client: int) -> list[int]:
    """What is still there at ``gone_by_s``; returns at once when nothing is."""
    while True:
        _reap(client)
        left = _descendants()
        if not left or time.monotonic() >= gone_by_s:
            return left
        time.sleep(0.01)


def _kill_all(client: int, group_is_known: bool) -> None:
    """Kill everything below this process. The number of a group may belong to others once its leader was reaped."""
    limit_s = time.monotonic() + KILLING_MAX_S
    if group_is_known:
        _kill(os.killpg, client)
    while (left := _until(time.monotonic(), client)) and time.monotonic() < limit_s:
        for process in left:
            _kill(os.kill, process)
        time.sleep(0.002)


def _kill(kill: Callable[[int, int], None], process: int) -> None:
    try:
        kill(process, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _watch(client: int, control: int, wake: int) -> int | None:
    """Wait for the client's end, or for the runner's: None."""
    while True:
        ready, _, _ = select.select([control, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
        if (status := _reap(client)) is not None:
            return status
        if control in ready and not os.read(control, 4096):
            return None


def main(control: int, status: int, handed: list[int], program: list[str]) -> None:
    """Start the client and see to its end."""
    for number in (control, status):
        os.set_inheritable(number, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken)
    supervisor = os.getpid()
    client = os.fork()
    if client == 0:
        _become(program, status, supervisor)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    for number in handed:
        os.close(number)
    ended = _watch(client, control, wake)
    if ended is not None:
        code = os.waitstatus_to_exitcode(ended)
        os.write(status, f"ended {'signal' if code < 0 else 'exit'} {abs(code)}\n".encode())
        if code >= 0:
            for process in _until(time.monotonic() + GRACE_S, client):
                os.write(status, f"left {_name(process)}\n".encode())
    _kill_all(client, ended is None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [int(number) for number in sys.argv[3].split(",") if number], sys.argv[4:])
