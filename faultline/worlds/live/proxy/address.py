"""Addresses as Toxiproxy writes them: ``127.0.0.1:5432``, ``localhost:0``, ``[::1]:80``, ``:8080``."""

from __future__ import annotations

import ipaddress
import os
from typing import NamedTuple

from faultline.errors import UsageError


class Address(NamedTuple):
    """A host (empty: every address of this machine) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def cannot_listen(who: str, at: Address, error: OSError) -> UsageError:
    """What to say when ``who`` cannot listen: asyncio's own words repeat the address and suggest nothing."""
    number = error.errno or 0  # that of a name that is unknown is negative, and no error of the system
    why = os.strerror(number) if number > 0 else error.strerror or str(error)
    return UsageError(f"{who} cannot listen on {at}: {why}; another --port, or 0 for any free one")


def address(text: str, what: str = "address") -> Address:
    """Read ``host:port``. Raises UsageError that says ``what`` was wrong."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"{what} {text!r}: too many colons; write an IPv6 address like [::1]:8080")
    if not colon:
        raise UsageError(f"{what} {text!r}: missing port in address; write it like 127.0.0.1:8080")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise UsageError(f"{what} {text!r}: {port!r} is not a port; it is a number from 0 to 65535")
    return Address(host, int(port))
