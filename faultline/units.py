"""Quantities with their unit: ``"250ms"``, ``"64KiB"``, ``"20/s"``, ``"50%"``.

Inside the package a quantity is a plain number whose name ends in its unit (``delay_s``, ``rate_bytes_per_s``).
The annotations at the end (:data:`Seconds`, :data:`Bytes`, ...) mark such fields, so that a scenario file, and
only a scenario file, is read with units. A bare number where a unit is due is an error that names the unit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
_NUMBER: Final = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def _split(text: str, what: str, example: str) -> tuple[float, str]:
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not {what}; write it like {example}")
    return float(found[1]), found[2]


def _scaled(text: str, scale: dict[str, float], what: str, example: str) -> float:
    number, unit = _split(text, what, example)
    if unit not in scale:
        lack = f"has no unit ({what} needs one of" if not unit else f"has an unknown unit {unit!r} ({what} takes"
        raise ValueError(f"{text!r} {lack} {', '.join(scale)}); write it like {example}")
    if number < 0:
        raise ValueError(f"{text!r} is negative; {what} is zero or more")
    return number * scale[unit]


def seconds(text: str) -> float:
    """``"250ms"`` -> 0.25. Units: us, ms, s, m or min, h, d. Raises ValueError that names the units."""
    return _scaled(text, _SECONDS, "a duration", "250ms or 2s")


def size_bytes(text: str) -> int:
    """``"64KiB"`` -> 65536. Units: B, kB, MB, GB (powers of 1000), KiB, MiB, GiB. Raises ValueError."""
    return round(_scaled(text, {k: float(v) for k, v in _BYTES.items()}, "a size", "64KiB or 1MB"))


def per_second(text: str) -> float:
    """``"20/s"`` -> 20.0; also ``/min`` and ``/h``. Raises ValueError."""
    count, slash, unit = text.partition("/")
    if not slash or unit.strip() not in ("s", "min", "m", "h"):
        raise ValueError(f"{text!r} is not a rate; write it like 20/s (also /min, /h)")
    return _split(count, "a rate", "20/s")[0] / _SECONDS[unit.strip()]


def bytes_per_second(text: str) -> float:
    """``"64KiB/s"`` -> 65536.0. Raises ValueError."""
    count, slash, unit = text.partition("/")
    if not slash or unit.strip() != "s":
        raise ValueError(f"{text!r} is not a data rate; write it like 64KiB/s")
    return float(size_bytes(count))


def fraction(text: str) -> float:
    """``"50%"`` -> 0.5. Raises ValueError outside 0% to 100%."""
    stripped = text.strip()
    if not stripped.endswith("%"):
        raise ValueError(f"{text!r} is not a percentage; write it like 50%")
    number, unit = _split(stripped[:-1], "a percentage", "50%")
    if unit or not 0 <= number <= 100:
        raise ValueError(f"{text!r} is not between 0% and 100%")
    return number / 100


def show_seconds(value_s: float) -> str:
    """The shortest reading of a duration: ``0.25`` -> ``"250ms"``, ``90`` -> ``"90s"``."""
    if 0 < value_s < 1e-3:
        return f"{value_s * 1e6:g}us"
    if 0 < value_s < 1:
        return f"{value_s * 1e3:g}ms"
    return f"{value_s:g}s"


@dataclass(frozen=True, slots=True)
class Unit:
    """Annotation of a field that a scenario file writes with its unit. pydantic reads it through the hooks below.

    ``suffix`` is what the field's name ends with and the scenario's key does not: the key of ``delay_s`` is
    ``delay``.
    """

    name: str
    suffix: str
    example: str
    parse: Callable[[str], float]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "description": f"{self.name}, such as {self.example}", "examples": [self.example]}

    def read(self, value: object) -> float:
        """The number for what a scenario wrote. Raises ValueError when the unit is missing or wrong."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"expected {self.name} such as {self.example}")
        if not isinstance(value, str):
            raise ValueError(f"{value} has no unit: write {self.name} like {self.example}")
        try:
            number = self.parse(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"{value!r} is too large for {self.name}")
        return number


Seconds = Annotated[float, Unit("a duration", "_s", "250ms", seconds)]
Bytes = Annotated[int, Unit("a size", "_bytes", "64KiB", size_bytes)]
PerSecond = Annotated[float, Unit("a rate", "_per_s", "20/s", per_second)]
BytesPerSecond = Annotated[float, Unit("a data rate", "_bytes_per_s", "64KiB/s", bytes_per_second)]
Fraction = Annotated[float, Unit("a percentage", "", "50%", fraction)]
