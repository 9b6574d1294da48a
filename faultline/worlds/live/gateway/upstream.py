"""Where a gateway leads, and the client that asks there."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

import aiohttp

from faultline.errors import UsageError
from faultline.worlds.live.gateway.dial import CONNECT_S, Pool

_SKIPPED: Final = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """The upstream: ``base`` is its URL without a slash at the end, ``path`` the part of it after the host,
    ``authority`` what it is called in a Host header."""

    base: str
    scheme: str
    host: str
    port: int
    path: str
    authority: bytes

    @classmethod
    def of(cls, url: str, allow_hosts: Collection[str] = ()) -> UpstreamAddress:
        """Read a URL. Raises UsageError for one that is none, and for a host that nobody allowed.

        Loopback is always allowed: what stands elsewhere must be named, because faults do harm there.
        """
        parts = urlsplit(url)
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise UsageError(f"upstream {url!r}: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise UsageError(f"upstream {url!r} is not a URL such as http://127.0.0.1:9000")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError("an upstream is scheme, host, port and path; leave out credentials, query and fragment")
        if not _is_loopback(host) and host not in {allowed.lower() for allowed in allow_hosts}:
            raise UsageError(
                f"{host} is not this machine; name it with --allow-host {host} (allow_hosts) if you mean it"
            )
        usual = 443 if parts.scheme == "https" else 80
        authority = f"[{host}]" if ":" in host else host
        if port not in (None, usual):
            authority = f"{authority}:{port}"
        return cls(
            url.rstrip("/"), parts.scheme, host, port or usual, quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~"),
            authority.encode("idna"),
        )  # fmt: skip

    def pool(self, answer_s: float, tls: ssl.SSLContext | None) -> Pool:
        """Connections to it. ``tls`` is what to trust where it is https; None for the usual."""
        context = (tls or ssl.create_default_context()) if self.scheme == "https" else None
        return Pool(self.host, self.port, context, answer_s)

    def session(self, answer_s: float, tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
        """A client for its WebSockets."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=answer_s)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=True if tls is None else tls),
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SKIPPED,
            trust_env=False,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
