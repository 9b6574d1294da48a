"""The one way in which the components refuse a setting that cannot be."""

from __future__ import annotations

import math


def in_range(field: str, value: float, low: float, high: float = math.inf) -> None:
    """Raises ValueError, with the name of the field and the range, unless ``low <= value <= high``."""
    if not low <= value <= high:
        bound = f"{low:g} or more" if high == math.inf else f"between {low:g} and {high:g}"
        raise ValueError(f"{field}: {value!r} is out of range; it is {bound}")
