"""The engine's part of the configuration file: which rules hold, with what limits, and when a trading day begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import time
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from zoneinfo import ZoneInfo

from targets.resilience.errors import ConfigurationError
from targets.resilience.risk.rules import RULES, Rule


@dataclass(frozen=True, slots=True)
class RiskConfig:
    """``rules`` in the order in which they are asked. The trading day begins at ``day_begins`` in ``time_zone``.

    ``multipliers`` are the money value of one point of each symbol, 1 where none is given. A flattening is repeated
    every ``flatten_retry_s`` until all is closed; after ``flatten_alarm_s`` somebody is called.
    """

    rules: tuple[Rule, ...] = ()
    day_begins: time = time(17, 0)
    time_zone: str = "America/Chicago"
    multipliers: tuple[tuple[str, Decimal], ...] = ()
    flatten_retry_s: float = 1.0
    flatten_alarm_s: float = 30.0
    check_interval_s: float = 1.0
    """How often the rules that depend on the clock are looked at."""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> RiskConfig:
        """From a mapping as YAML gives it: ``{rules: {max_order_size: {quantity_max: 5}}, ...}``.

        Raises ConfigurationError with the place of what cannot be.
        """
        known = {item.name for item in fields(cls)}
        _only(data, known, "risk")
        values: dict[str, Any] = {}
        for name, value in data.items():
            read: _Reader = _PART.get(name, _positive)
            values[name] = read(value, f"risk.{name}")
        return cls(**values)


def _rules(data: Any, place: str) -> tuple[Rule, ...]:
    return tuple(_rule(name, limits or {}, f"{place}.{name}") for name, limits in _mapping(data, place).items())


def _rule(name: str, limits: Any, place: str) -> Rule:
    kind = RULES.get(name)
    if kind is None:
        raise ConfigurationError(f"{place}: there is no such rule; there are {', '.join(sorted(RULES))}")
    limits = _mapping(limits, place)
    wanted = fields(kind)
    _only(limits, {item.name for item in wanted}, place)
    missing = [item.name for item in wanted if item.name not in limits and item.default is MISSING]
    if missing:
        raise ConfigurationError(f"{place}: {', '.join(missing)} is missing")
    values = {
        item.name: _BY_TYPE[str(item.type)](limits[item.name], f"{place}.{item.name}")
        for item in wanted
        if item.name in limits
    }
    make: Callable[..., Rule] = kind
    return make(**values)


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{place}: a mapping is needed, not {value!r}")
    return value


def _only(data: Mapping[str, Any], known: set[str], place: str) -> None:
    for name in data:
        if name not in known:
            raise ConfigurationError(f"{place}.{name}: not known here; known are {', '.join(sorted(known))}")


def _amount(value: Any, place: str) -> Decimal:
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or amount <= 0:
        raise ConfigurationError(f"{place}: a number above 0 is needed, not {value!r}")
    return amount


def _count(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{place}: a whole number above 0 is needed, not {value!r}")
    return value


def _positive(value: Any, place: str) -> float:
    return float(_amount(value, place))


def _clock(value: Any, place: str) -> time:
    # YAML 1.1 reads 17:00 as 1020, the number of minutes.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)
    try:
        return time.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{place}: a time of day such as 17:00 is needed, not {value!r}") from None


def _zone(value: Any, place: str) -> str:
    try:
        ZoneInfo(value)
    except (TypeError, ValueError, OSError, KeyError):
        raise ConfigurationError(f"{place}: a time zone such as America/Chicago is needed, not {value!r}") from None
    return str(value)


def _symbols(value: Any, place: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(symbol, str) for symbol in value):
        raise ConfigurationError(f"{place}: a list of symbols is needed, not {value!r}")
    return frozenset(value)


def _by_symbol(value: Any, place: str) -> tuple[tuple[str, Decimal], ...]:
    return tuple((symbol, _amount(amount, f"{place}.{symbol}")) for symbol, amount in _mapping(value, place).items())


_Reader = Callable[[Any, str], Any]

_PART: Final[dict[str, _Reader]] = {
    "rules": _rules,
    "day_begins": _clock,
    "time_zone": _zone,
    "multipliers": _by_symbol,
}

_BY_TYPE: Final[dict[str, _Reader]] = {
    "Decimal": _amount,
    "int": _count,
    "float": _positive,
    "time": _clock,
    "frozenset[str]": _symbols,
    "tuple[tuple[str, Decimal], ...]": _by_symbol,
}
"""How each type of limit is read. A rule with another type fails the test of this table, not its user."""
