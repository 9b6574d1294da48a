"""How long a venue asks to be left alone: the ``Retry-After`` header (RFC 9110, 10.2.3).

It is a number of seconds or an HTTP date. A date is read against the venue's own ``Date``, so that a clock that is
off does no harm; only without one is it read against ours. What cannot be read counts as absent: the usual backoff
applies then, and nothing is waited for that nobody asked for.
"""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_MAX_S: Final = 86_400.0
"""More than a day is not believed: somebody wrote nonsense into the header."""
# The standard knows whole seconds only; fractions are sent all the same, and ignoring one would be too soon.
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


def retry_after_s(value: str | None, date: str | None = None) -> float | None:
    """Seconds to wait, from 0 to a day. ``date`` is the ``Date`` header of the same answer.

    None for a header that is absent or cannot be read, a negative number among them.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(RETRY_AFTER_MAX_S, float(value))
    then = _timestamp(value)
    if then is None:
        return None
    now = _timestamp(date)
    return min(RETRY_AFTER_MAX_S, max(0.0, then - (time.time() if now is None else now)))


def _timestamp(date: str | None) -> float | None:
    try:
        moment = None if date is None else parsedate_to_datetime(date)
        # Dates in the obsolete forms name no zone; they are in GMT, not in the zone of this machine.
        return None if moment is None else (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
