"""Code that reaches for the real world is stopped at the line where it does, and told what to do instead."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from faultline.errors import HarnessError, SimEscape
from tests.worlds.sim.kit import VENUE, new_simulation

BLOCKING: dict[str, tuple[Callable[[], object], str, str]] = {
    "urllib": (lambda: urllib.request.urlopen(f"http://{VENUE}/"), "name look-up", "asyncio client"),
    "socket.create_connection": (lambda: socket.create_connection(("127.0.0.1", 9)), "name look-up", "asyncio client"),
    "socket.connect": (lambda: socket.socket().connect(("127.0.0.1", 9)), "127.0.0.1", "live world"),
    "gethostbyname": (lambda: socket.gethostbyname(VENUE), "name look-up", "loop.getaddrinfo"),
    "a datagram": (
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        "datagram",
        "live world",
    ),
    "subprocess.run": (lambda: subprocess.run(["true"], check=True), "subprocess", "outside of the simulation"),
    "os.system": (lambda: os.system("true"), "shell command", "outside of the simulation"),
    "os.fork": (os.fork, "fork", "outside of the simulation"),
    "a thread": (lambda: threading.Thread(target=print, name="worker").start(), "for print", "asyncio.to_thread"),
    "a thread pool": (lambda: ThreadPoolExecutor(1).submit(print), "a thread", "asyncio.to_thread"),
}

LOOP: dict[str, tuple[Callable[[asyncio.AbstractEventLoop], object], str]] = {
    "add_reader": (lambda loop: loop.add_reader(0, print), "file descriptor"),
    "add_writer": (lambda loop: loop.add_writer(0, print), "file descriptor"),
    "udp": (lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol), "UDP"),
    "unix socket": (lambda loop: loop.create_unix_connection(asyncio.Protocol, "/tmp/x"), "Unix socket"),
    "unix server": (lambda loop: loop.create_unix_server(asyncio.Protocol, "/tmp/x"), "Unix socket"),
    "subprocess": (lambda loop: asyncio.create_subprocess_exec("true"), "subprocess"),
    "shell": (lambda loop: asyncio.create_subprocess_shell("true"), "shell"),
    "pipe": (lambda loop: loop.connect_read_pipe(asyncio.Protocol, sys.stdin), "pipe"),
    "write pipe": (lambda loop: loop.connect_write_pipe(asyncio.BaseProtocol, sys.stdout), "pipe"),
    "sock_recv": (lambda loop: loop.sock_recv(socket.socket(), 1), "raw socket"),
    "sock_recv_into": (lambda loop: loop.sock_recv_into(socket.socket(), bytearray(1)), "raw socket"),
    "sock_sendall": (lambda loop: loop.sock_sendall(socket.socket(), b"x"), "raw socket"),
    "sock_accept": (lambda loop: loop.sock_accept(socket.socket()), "raw socket"),
    "an unknown socket": (lambda loop: loop.create_connection(asyncio.Protocol, sock=socket.socket()), "sock="),
}


@pytest.mark.parametrize("name", BLOCKING)
def test_blocking_code_is_stopped_with_the_line_and_a_way_out(name: str) -> None:
    act, what, instead = BLOCKING[name]

    async def main() -> None:
        act()

    simulation = new_simulation()
    with pytest.raises(SimEscape, match=what) as caught:
        simulation.run(main)
    assert instead in str(caught.value)
    assert f"{__file__}:" in str(caught.value)
    assert simulation.escapes == [caught.value]


@pytest.mark.parametrize("name", LOOP)
def test_what_a_real_loop_does_with_the_system_is_an_escape(name: str) -> None:
    act, what = LOOP[name]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        result = act(loop)
        if asyncio.iscoroutine(result):
            await result

    simulation = new_simulation()
    with pytest.raises(SimEscape, match=what):
        simulation.run(main)
    assert len(simulation.escapes) == 1


def test_raw_operations_on_a_simulated_socket_are_an_escape() -> None:
    async def main() -> None:
        async with await asyncio.start_server(lambda r, w: w.close(), VENUE, 7000):
            _, writer = await asyncio.open_connection(VENUE, 7000)
            writer.get_extra_info("socket").send(b"x")

    with pytest.raises(SimEscape, match=r"socket\.send\(\)"):
        new_simulation().run(main)


def test_an_escape_that_the_client_swallows_is_still_known() -> None:
    async def main() -> str:
        try:
            urllib.request.urlopen(f"http://{VENUE}/")  # noqa: ASYNC210
        except Exception:
            return "swallowed"
        return "not stopped"

    simulation = new_simulation()
    assert simulation.run(main) == "swallowed"
    assert len(simulation.escapes) == 1


def test_a_call_from_another_thread_is_an_escape_there() -> None:
    caught: list[BaseException] = []
    go = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def call() -> None:
            go.wait()
            try:
                loop.call_soon_threadsafe(print)
            except SimEscape as escape:
                caught.append(escape)

        thread = started(call)
        go.set()
        while thread.is_alive():  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    def started(call: Callable[[], None]) -> threading.Thread:
        holder.append(call)
        begin.set()
        return helper

    holder: list[Callable[[], None]] = []
    begin = threading.Event()
    helper = threading.Thread(target=lambda: (begin.wait(), holder[0]()))  # threads must be started outside
    helper.start()
    new_simulation().run(main)
    helper.join()
    assert "another thread" in str(caught[0])


def test_outside_of_a_run_all_of_it_works() -> None:
    async def main() -> None:
        pass

    new_simulation().run(main)
    subprocess.run(["true"], check=True)
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def test_signal_handlers_are_accepted_and_never_called() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(15, print)
        assert loop.remove_signal_handler(15) is False

    new_simulation().run(main)


def test_simulations_are_used_once_and_never_nested() -> None:
    async def nested() -> None:
        new_simulation().run(quiet)

    async def quiet() -> None:
        pass

    with pytest.raises(HarnessError, match="cannot be nested"):
        new_simulation().run(nested)
    simulation = new_simulation()
    simulation.run(quiet)
    with pytest.raises(HarnessError, match="used once"):
        simulation.run(quiet)


def test_an_escape_is_told_in_the_same_words_each_time() -> None:
    """The default name of a thread counts those of the whole process; a run that names it would not repeat."""
    told = []
    for _ in range(2):
        simulation = new_simulation()

        async def main() -> None:
            with suppress(SimEscape):
                threading.Thread(target=print).start()

        simulation.run(main)
        told.append(str(simulation.escapes[0]))
    assert told[0] == told[1]
