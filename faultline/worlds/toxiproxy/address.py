"""Where a Toxiproxy server is: the URL of its control API, which has to be on this machine.

The venue of a run listens on 127.0.0.1, and so do the proxies before it: a server elsewhere could reach neither, and
would open what it listens at to others.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from faultline.worlds.live.proxy.address import Address

PORT = 8474
"""Toxiproxy's own default."""


def server_url(text: str) -> str:
    """``text`` as ``http://host:port``. Raises ValueError that says what to write instead."""
    try:
        parts = urlsplit(text if "//" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"toxiproxy {text!r}: {error}; write it like http://127.0.0.1:{PORT}") from error
    if parts.scheme != "http" or not host or parts.path.strip("/") or parts.query or parts.username is not None:
        raise ValueError(f"toxiproxy {text!r} is not the URL of a control API; write it like http://127.0.0.1:{PORT}")
    at = Address(host, PORT if port is None else port)
    if not at.is_loopback:
        raise ValueError(
            f"toxiproxy {text!r} is not on this machine: the venue listens on 127.0.0.1, where a server elsewhere "
            "cannot reach it"
        )
    return f"http://{at}"
