"""Toxiproxy's toxics, and a few that it lacks, as fault objects: one table.

Names, attributes, units (milliseconds, KB/s of 1000 bytes, bytes) and meanings are those of Toxiproxy 2.12, with its
defects left out: a value out of range is refused with the range, `timeout` counts from when the toxic starts on a
connection and not from the last chunk, and `reset_peer` resets idle and old connections too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from faultline.faults import (
    Bandwidth,
    Corrupt,
    CutAfter,
    Fault,
    Latency,
    LimitData,
    Loss,
    Refuse,
    Slicer,
    SlowClose,
    Timeout,
)
from faultline.faults.actions import Action, Drop
from faultline.faults.chance import Chance
from faultline.faults.families import DirectedCondition
from faultline.faults.points import Moment

Value = int | float | str
Values = Mapping[str, Value]
Way = Literal["up", "down"]

_MS_MAX: Final = 2**31 - 1
_INT_MAX: Final = 2**53


@dataclass(frozen=True, kw_only=True)
class Discard(DirectedCondition):
    """Bytes are read and thrown away. TCP never does that, so no scenario can name it; Toxiproxy's timeout does."""

    kind: ClassVar[str] = "discard"

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Throw it away."""
        return (Drop(),)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a toxic: a whole number, a number, or one of some words. The default says which."""

    name: str
    default: Value
    least: float = 0
    most: float = _INT_MAX
    words: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        if self.words:
            return f"one of {', '.join(self.words)}"
        whole = "whole number" if isinstance(self.default, int) else "number"
        return f"a {whole} from {self.least:.0f} to {self.most:.0f}"

    def read(self, value: object) -> Value:
        """Check one value; null is the default. Raises ValueError that names the attribute and its range."""
        if value is None:
            return self.default
        if self.words:
            fits = value in self.words
        elif isinstance(self.default, int):
            fits = type(value) is int and self.least <= value <= self.most
        else:
            fits = type(value) in (int, float) and self.least <= value <= self.most  # type: ignore[operator]
        if not fits:
            raise ValueError(f"attribute {self.name} is {value!r}; it is {self.allowed}")
        return value  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class ToxicType:
    """What a toxic's attributes are, which faults they mean, and whether removing it ends what it has struck."""

    attributes: tuple[Attribute, ...]
    faults: Callable[[Values, Way], tuple[Fault, ...]]
    closes_when_removed: bool = False

    def read(self, given: Mapping[str, object], before: Values | None = None) -> dict[str, Value]:
        """All attributes: those given over those ``before`` over the defaults. Raises ValueError."""
        known = {each.name: each for each in self.attributes}
        for name in given:
            if name not in known:
                there_are = ", ".join(known) or "none"
                raise ValueError(f"unknown attribute {name}; there are: {there_are}")
        values: dict[str, Value] = {each.name: each.default for each in self.attributes}
        values |= before or {}
        values |= {name: known[name].read(value) for name, value in given.items()}
        for each in self.attributes:
            each.read(values[each.name])
        if values.get("size_variation") and int(values["size_variation"]) >= int(values["average_size"]):
            raise ValueError(
                f"attribute size_variation is {values['size_variation']}; it is a whole number from 0 to less than "
                f"average_size ({values['average_size']})"
            )
        return values


def _ms(values: Values, name: str) -> float:
    return float(values[name]) / 1000


def _latency(values: Values, way: Way) -> tuple[Fault, ...]:
    return (Latency(delay_s=_ms(values, "latency"), jitter_s=_ms(values, "jitter"), direction=way),)


def _bandwidth(values: Values, way: Way) -> tuple[Fault, ...]:
    rate = int(values["rate"]) * 1000
    return (Bandwidth(rate_bytes_per_s=rate, direction=way),) if rate else (Timeout(direction=way),)


def _timeout(values: Values, way: Way) -> tuple[Fault, ...]:
    after = (CutAfter(age_s=_ms(values, "timeout"), how="fin"),) if values["timeout"] else ()
    return (Discard(direction=way), *after)


def _reset_peer(values: Values, way: Way) -> tuple[Fault, ...]:
    return (Discard(direction=way), CutAfter(age_s=_ms(values, "timeout"), how="rst"))


def _slicer(values: Values, way: Way) -> tuple[Fault, ...]:
    return (
        Slicer(
            piece_bytes=int(values["average_size"]),
            variation_bytes=int(values["size_variation"]),
            gap_s=float(values["delay"]) / 1e6,
            direction=way,
        ),
    )


def _cut_after(values: Values, way: Way) -> tuple[Fault, ...]:
    how = values.get("how", "silence")
    return (CutAfter(age_s=_ms(values, "timeout"), how=how),)  # type: ignore[arg-type]


_TIMEOUT: Final = Attribute("timeout", 0, most=_MS_MAX)

TOXICS: Final[Mapping[str, ToxicType]] = {
    "noop": ToxicType((), lambda values, way: ()),
    "latency": ToxicType((Attribute("latency", 0, most=_MS_MAX), Attribute("jitter", 0, most=_MS_MAX)), _latency),
    "bandwidth": ToxicType((Attribute("rate", 0, most=10**9),), _bandwidth),
    "slow_close": ToxicType(
        (Attribute("delay", 0, most=_MS_MAX),),
        lambda values, way: (SlowClose(delay_s=_ms(values, "delay"), direction=way),),
    ),
    "timeout": ToxicType((_TIMEOUT,), _timeout, closes_when_removed=True),
    "reset_peer": ToxicType((_TIMEOUT,), _reset_peer),
    "slicer": ToxicType(
        (
            Attribute("average_size", 0, least=1, most=2**30),
            Attribute("size_variation", 0, most=2**30),
            Attribute("delay", 0, most=10**9),
        ),
        _slicer,
    ),
    "limit_data": ToxicType(
        (Attribute("bytes", 0),), lambda values, way: (LimitData(limit_bytes=int(values["bytes"]), direction=way),)
    ),
    # What Toxiproxy lacks.
    "loss": ToxicType(
        (Attribute("rate", 0.1, most=1), Attribute("retransmit", 200, most=60_000)),
        lambda values, way: (Loss(rate=float(values["rate"]), retransmit_s=_ms(values, "retransmit"), direction=way),),
    ),
    "corrupt": ToxicType(
        (Attribute("rate", 0.1, most=1),), lambda values, way: (Corrupt(rate=float(values["rate"]), direction=way),)
    ),
    "half_open": ToxicType((_TIMEOUT,), _cut_after),
    "refuse": ToxicType((), lambda values, way: (Refuse(),)),
    "cut_after": ToxicType((_TIMEOUT, Attribute("how", "fin", words=("fin", "rst", "silence"))), _cut_after),
}
"""By the name that the control API uses."""
