"""What a real loop does with the operating system, as errors that say what to do instead.

A simulation that silently touched the real world would be neither repeatable nor safe. Signal handlers are the one
exception: they are accepted and never called, because nobody sends a signal inside a simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from faultline.worlds.sim.simulation import Simulation

_USE_STREAMS = "use loop.create_connection(), asyncio.open_connection() or a library built on them"
_LIVE = "run this part in the live world, or replace it in the test"


class NoOperatingSystem:
    """Mixin: each method that would need a file descriptor, a signal or a process raises SimEscape."""

    simulation: Simulation

    def _escape(self, what: str, instead: str) -> NoReturn:
        raise self.simulation.escaped(what, instead)

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        """Raises SimEscape."""
        self._escape(
            f"loop.add_reader({fd!r}): a library polls a real file descriptor (c-ares, ZeroMQ, a database driver?)",
            _LIVE,
        )

    def remove_reader(self, fd: Any) -> bool:
        """False: none was ever added."""
        return False

    def add_writer(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        """Raises SimEscape."""
        self._escape(f"loop.add_writer({fd!r}): a library polls a real file descriptor", _LIVE)

    def remove_writer(self, fd: Any) -> bool:
        """False: none was ever added."""
        return False

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
        """Accepted, never called."""

    def remove_signal_handler(self, sig: int) -> bool:
        """False: nothing to remove."""
        return False

    async def sock_recv(self, sock: Any, nbytes: int) -> bytes:
        """Raises SimEscape."""
        self._escape("loop.sock_recv() on a raw socket", _USE_STREAMS)

    async def sock_recv_into(self, sock: Any, buf: Any) -> int:
        """Raises SimEscape."""
        self._escape("loop.sock_recv_into() on a raw socket", _USE_STREAMS)

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        """Raises SimEscape."""
        self._escape("loop.sock_sendall() on a raw socket", _USE_STREAMS)

    async def sock_accept(self, sock: Any) -> Any:
        """Raises SimEscape."""
        self._escape("loop.sock_accept() on a raw socket", "use asyncio.start_server()")

    async def create_datagram_endpoint(self, *args: Any, **options: Any) -> Any:
        """Raises SimEscape: only TCP is simulated."""
        self._escape("a UDP endpoint", _LIVE)

    async def create_unix_connection(self, *args: Any, **options: Any) -> Any:
        """Raises SimEscape: only TCP is simulated."""
        self._escape("a Unix socket", "connect to a simulated host by name")

    async def create_unix_server(self, *args: Any, **options: Any) -> Any:
        """Raises SimEscape: only TCP is simulated."""
        self._escape("a Unix socket server", "listen on a simulated host")

    async def connect_accepted_socket(self, *args: Any, **options: Any) -> Any:
        """Raises SimEscape."""
        self._escape("a socket accepted by other means", "use asyncio.start_server()")

    async def connect_read_pipe(self, *args: Any) -> Any:
        """Raises SimEscape."""
        self._escape("a pipe", _LIVE)

    async def connect_write_pipe(self, *args: Any) -> Any:
        """Raises SimEscape."""
        self._escape("a pipe", _LIVE)

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        """Raises SimEscape."""
        self._escape(f"a subprocess {args[1:]!r}", _LIVE)

    async def subprocess_shell(self, *args: Any, **options: Any) -> Any:
        """Raises SimEscape."""
        self._escape(f"a shell command {args[1:]!r}", _LIVE)
