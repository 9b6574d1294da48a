"""How venues check who sent a request: signatures and the time that they are good for. Pure functions.

A signature is made over the bytes as they travelled, so a client that signs one spelling of its parameters and sends
another is refused, as in production. Comparisons take the same time whatever differs. Nothing here keeps a secret or
puts one into an error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final, Literal

Digest = Literal["sha256", "sha512"]

_FUTURE_MAX_MS: Final = 1000
"""Binance's timing rule: a timestamp may be this far ahead of the server."""
_MICROSECONDS_FROM: Final = 10**14
"""Timestamps from here on are in microseconds; in milliseconds this is the year 5138."""


def hex_hmac(secret: str, payload: str, digest: Digest = "sha256") -> str:
    """The HMAC of ``payload`` in lower-case hex."""
    return hmac.new(secret.encode(), payload.encode(), digest).hexdigest()


def base64_hmac(secret: str, payload: str) -> str:
    """The HMAC-SHA256 of ``payload`` in base64."""
    return base64.b64encode(hmac.new(secret.encode(), payload.encode(), hashlib.sha256).digest()).decode()


def same(given: str, right: str) -> bool:
    """Whether two signatures are equal."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())


# Binance, MEXC: query and body, without the signature itself


def without_signature(text: str) -> tuple[str, str]:
    """A query or a form without its ``signature`` parameter, and that parameter's value."""
    kept, given = [], ""
    for part in text.split("&"):
        if part.startswith("signature="):
            given = part.removeprefix("signature=")
        elif part:
            kept.append(part)
    return "&".join(kept), given


def query_signature(secret: str, raw_query: str, body: str) -> tuple[str, str]:
    """(given, right) signatures of a request whose parameters are in ``raw_query`` and ``body``."""
    query, in_query = without_signature(raw_query)
    form, in_body = without_signature(body)
    return in_query or in_body, hex_hmac(secret, query + form)


def sorted_signature(secret: str, params: dict[str, str]) -> str:
    """The signature of a WebSocket API call: its parameters but ``signature``, by name, joined as a query."""
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
    return hex_hmac(secret, payload)


def in_time(timestamp: str, window_ms: float, now_s: float) -> bool:
    """Binance's timing rule: less than a second ahead of the server and at most ``window_ms`` behind it.

    ``timestamp`` is in milliseconds or microseconds since 1970.
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 18):
        return False
    sent = int(timestamp)
    sent_ms = sent / 1000 if sent >= _MICROSECONDS_FROM else float(sent)
    now_ms = now_s * 1000
    return sent_ms < now_ms + _FUTURE_MAX_MS and now_ms - sent_ms <= window_ms


# OKX: timestamp, method, target and body


def okx_payload(timestamp: str, method: str, target: str, body: str) -> str:
    """What an OKX request signs; ``target`` is path and query as sent."""
    return f"{timestamp}{method}{target}{body}"


def iso_age_s(timestamp: str, now_s: float) -> float | None:
    """How long ago an ISO timestamp was; None when it is none or lacks its zone."""
    try:
        sent = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return now_s - sent.timestamp() if sent.tzinfo is not None else None


# Gate: five lines with the hash of the body


def gate_payload(method: str, path: str, raw_query: str, body: bytes, timestamp: str) -> str:
    """What a Gate request signs."""
    return "\n".join((method, path, raw_query, hashlib.sha512(body).hexdigest(), timestamp))


def gate_channel_payload(channel: str, event: str, timestamp: str) -> str:
    """What a Gate subscription to a private channel signs."""
    return f"channel={channel}&event={event}&time={timestamp}"
