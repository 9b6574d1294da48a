"""Where a gateway leads, and the client that asks there."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from faultline.errors import UsageError

CONNECT_S: Final = 10.0
_SKIPPED: Final = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """The upstream: ``base`` is its URL without a slash at the end."""

    base: str
    scheme: str

    @classmethod
    def of(cls, url: str, allow_hosts: Collection[str] = ()) -> UpstreamAddress:
        """Read a URL. Raises UsageError for one that is none, and for a host that nobody allowed.

        Loopback is always allowed: what stands elsewhere must be named, because faults do harm there.
        """
        parts = urlsplit(url)
        try:
            host, _ = parts.hostname or "", parts.port
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
        return cls(url.rstrip("/"), parts.scheme)

    def session(self, answer_s: float, ssl: object) -> aiohttp.ClientSession:
        """A client for it. ``answer_s`` is how long it may be silent; ``ssl`` an SSLContext, or True for the usual."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=answer_s)
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=ssl, use_dns_cache=True),  # type: ignore[arg-type]
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SKIPPED,
            trust_env=False,
        )
        # aiohttp sends an idempotent request again when a connection breaks; whether to do that is the client's choice.
        session._retry_connection = False
        return session


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
