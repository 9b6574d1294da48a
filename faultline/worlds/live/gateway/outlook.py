"""What a gateway tells of a request: its endpoint, and an alias instead of its secret.

Ids in a path are replaced, so that ``DELETE /orders/17`` and ``DELETE /orders/18`` are one endpoint, and so that what
is secret in a path is never written. Bodies and headers are not written at all.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from faultline.history import Aliases
from faultline.venues.base import Request

SECRET_HEADERS: Final = ("authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token")
SECRET_QUERY: Final = ("api_key", "apikey", "access_token", "token", "key", "signature", "secret", "password")
SECRET_JSON: Final = ("access_token", "refresh_token", "token", "api_key", "secret", "client_secret", "password")
_ID: Final = re.compile(r"\d+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|(?=[^/]*\d)[\w.~%-]{12,}|[\w.~%-]{32,}")
_ENDPOINT_MAX: Final = 120


@lru_cache(maxsize=4096)
def endpoint_of(method: str, path: str) -> str:
    """The endpoint in fault points: ``DELETE /orders/{id}``."""
    parts = ["{id}" if _ID.fullmatch(part) else part for part in path.split("/")]
    return f"{method} {'/'.join(parts)}"[:_ENDPOINT_MAX]


class Outlook:
    """Names the secrets of requests. ``headers``, ``query`` and ``json`` are further names to look for."""

    def __init__(
        self,
        aliases: Aliases,
        *,
        headers: tuple[str, ...] = (),
        query: tuple[str, ...] = (),
        json: tuple[str, ...] = (),
    ) -> None:
        self._aliases = aliases
        self._headers = (*SECRET_HEADERS, *(name.lower() for name in headers))
        self._query = (*SECRET_QUERY, *query)
        self._json = (*SECRET_JSON, *json)

    def token_of(self, request: Request) -> str:
        """The alias of the first secret that a request carries; all of them are known from then on."""
        named = [self._named(request.headers[name]) for name in self._headers if name in request.headers]
        if request.query:
            named += [self._named(request.query[name]) for name in self._query if name in request.query]
        if request.body[:1] == b"{":
            named += self._in_json(request.body)
        return next((alias for alias in named if alias), "")

    def _named(self, secret: str) -> str:
        scheme, _, rest = secret.partition(" ")
        secret = rest.strip() if rest and scheme.lower() in ("bearer", "basic", "token") else secret
        return self._aliases.name("token", secret)

    def _in_json(self, body: bytes) -> list[str]:
        try:
            tree = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return []
        return [self._named(tree[name]) for name in self._json if name in tree and isinstance(tree[name], str)]
