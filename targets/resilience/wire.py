"""Strict reading of what comes off a wire: a payload that is not what the venue documents is never half a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from targets.resilience.venue import UnreadableError

T = TypeVar("T")


def read_object(data: object, what: str) -> Mapping[str, Any]:
    """The JSON object that should be a ``what``. Raises UnreadableError."""
    if not isinstance(data, dict):
        raise UnreadableError(f"expected an object for {what}, got {type(data).__name__}")
    return data


def read_list(data: object, name: str, read: Callable[[object], T]) -> tuple[T, ...]:
    """The list called ``name`` in an answer, each item read. Raises UnreadableError."""
    found = read_object(data, "an answer").get(name)
    if not isinstance(found, list):
        raise UnreadableError(f"an answer has no list {name!r}")
    return tuple(map(read, found))


def read_text(fields: Mapping[str, Any], name: str) -> str:
    """A text that has to be there. Raises UnreadableError."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise UnreadableError(f"{name!r} is missing")
    return value


def read_decimal(fields: Mapping[str, Any], name: str) -> Decimal:
    """A finite number, from decimal text or a JSON number. Raises UnreadableError."""
    value = fields.get(name)
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise UnreadableError(f"{name!r} is not a number: {value!r}") from error
    if not number.is_finite():
        raise UnreadableError(f"{name!r} is not a number: {value!r}")
    return number


def read_decimal_or_none(fields: Mapping[str, Any], name: str) -> Decimal | None:
    """A number, or None where the field is absent or null. Raises UnreadableError."""
    return None if fields.get(name) is None else read_decimal(fields, name)


def read_choice(fields: Mapping[str, Any], name: str, choices: Mapping[Any, T]) -> T:
    """What one of several values means. Raises UnreadableError for any other."""
    value = fields.get(name)
    if not isinstance(value, str | int) or value not in choices:
        raise UnreadableError(f"{name!r} has the unknown value {value!r}")
    return choices[value]


def read_sequence(value: object) -> int | None:
    """A sequence number; None where the venue gives none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
