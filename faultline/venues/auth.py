"""Bearer tokens: access tokens that expire, refresh tokens that work once.

Histories see aliases only. A token that this venue never issued has one alias for all: a client may send anything
there, also a secret of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from faultline.history import Aliases
from faultline.venues.base import Request

UNKNOWN: Final = "<token unknown>"
"""Alias of whatever was never issued here."""


def bearer(request: Request) -> str:
    """The token in a request's ``Authorization`` header, or the empty string."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class Grant(NamedTuple):
    """What a login or a refresh answers."""

    access_token: str
    refresh_token: str
    expires_in_s: float


class Auth:
    """Issues and checks tokens. Time is passed in.

    ``new_id`` gives unique ids by kind. ``on_issued(alias, until_s)`` and ``on_ended(alias)`` hear of tokens that
    begin to be valid, and of tokens that end before their time.
    """

    def __init__(
        self,
        ttl_s: float,
        new_id: Callable[[str], str],
        aliases: Aliases,
        *,
        on_issued: Callable[[str, float], None],
        on_ended: Callable[[str], None],
    ) -> None:
        self._ttl_s = ttl_s
        self._new_id = new_id
        self._aliases = aliases
        self._on_issued = on_issued
        self._on_ended = on_ended
        self._until_s: dict[str, float] = {}
        self._refresh: set[str] = set()
        self.issued = 0
        """How many grants there were: issuing one is an effect, for a refresh spends its token."""

    def issue(self, now_s: float) -> Grant:
        """A new pair of tokens."""
        access = f"access-{self._new_id('access')}"
        refresh = f"refresh-{self._new_id('refresh')}"
        self._until_s[access] = now_s + self._ttl_s
        self._refresh.add(refresh)
        self._aliases.name("refresh", refresh)
        self.issued += 1
        self._on_issued(self._aliases.name("token", access), now_s + self._ttl_s)
        return Grant(access, refresh, self._ttl_s)

    def refresh(self, now_s: float, refresh_token: str) -> Grant | None:
        """A new pair for a refresh token, which is spent by that. None when it is not valid.

        The access token issued before lives on until its own time is over.
        """
        if refresh_token not in self._refresh:
            return None
        self._refresh.remove(refresh_token)
        return self.issue(now_s)

    def valid(self, now_s: float, access_token: str) -> bool:
        """Whether this access token opens the door now."""
        return now_s < self._until_s.get(access_token, 0.0)

    def expire_all(self, now_s: float, *, refresh_too: bool) -> int:
        """Every access token issued so far stops being valid. Returns how many were. ``refresh_too``: those also."""
        ended = [token for token, until_s in self._until_s.items() if now_s < until_s]
        for token in ended:
            self._until_s[token] = now_s
            self._on_ended(self._aliases.name("token", token))
        if refresh_too:
            self._refresh.clear()
        return len(ended)

    def alias(self, access_token: str) -> str:
        """What histories call this token; empty for none."""
        if not access_token:
            return ""
        return self._aliases.name("token", access_token) if access_token in self._until_s else UNKNOWN
