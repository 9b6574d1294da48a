"""Secrets become aliases, so that an oracle sees *which* token was used and nobody sees the token."""

from __future__ import annotations

import re
from typing import Final

# Clients put the whole URL of a request into their errors, and with it what signs it.
_SIGNATURE: Final = re.compile(r"(\bsignature=)[0-9A-Za-z%+/=_-]{16,}")


class Aliases:
    """Names secrets in the order of their first appearance: ``<token#1>``, ``<token#2>``.

    The same secret has the same alias for the whole run. Nothing here is ever written anywhere.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def name(self, kind: str, secret: str) -> str:
        """The alias of ``secret``; an empty secret has the empty alias."""
        if not secret:
            return ""
        known = self._names.get((kind, secret))
        if known is None:
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
            known = self._names[kind, secret] = f"<{kind}#{count}>"
        return known

    def scrub(self, text: str) -> str:
        """``text`` with every known secret replaced by its alias (longest first, so that none hides in another), and
        without the signatures of URLs."""
        for (_, secret), alias in sorted(self._names.items(), key=lambda item: -len(item[0][1])):
            text = text.replace(secret, alias)
        return _SIGNATURE.sub(r"\1<signature>", text) if "signature=" in text else text
