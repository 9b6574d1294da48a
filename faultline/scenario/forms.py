"""Reads a frozen value (a fault, an oracle, a venue's settings) from what a scenario file wrote.

The class itself is the only description: its annotations say what a field takes, :class:`faultline.units.Unit` says
which unit is due, and ``__post_init__`` says with ValueError what makes no sense together. From these a pydantic
model is made once per class. A field's key is its name without the ending that states its unit; a class may give
further keys in ``synonyms``.

pydantic is imported here, and this module only when a file is loaded: it costs more than the rest of the start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import pydantic
from pydantic import ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema

from faultline.scenario.document import Path, Plain, Problems, did_you_mean
from faultline.scenario.messages import Reading
from faultline.units import Unit

T = TypeVar("T")

_CONFIG: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


def units_in(annotation: Any) -> Iterator[Unit]:
    """Every unit that an annotation mentions, at any depth."""
    for argument in get_args(annotation):
        if isinstance(argument, Unit):
            yield argument
        else:
            yield from units_in(argument)


def key_of(name: str, annotation: Any) -> str:
    """The key that a scenario writes for a field: ``delay_s`` is ``delay``."""
    for unit in units_in(annotation):
        if unit.suffix and name.endswith(unit.suffix) and name != unit.suffix:
            return name.removesuffix(unit.suffix)
    return name.rstrip("_")


def _is_record(annotation: Any) -> bool:
    return isinstance(annotation, type) and (
        dataclasses.is_dataclass(annotation) or issubclass(annotation, msgspec.Struct)
    )


def _fields(record: type[Any]) -> Iterator[tuple[str, Any]]:
    """Name and default of each field, :data:`dataclasses.MISSING` where it must be given."""
    missing = dataclasses.MISSING
    if dataclasses.is_dataclass(record):
        for field in dataclasses.fields(record):
            if field.init:
                made = field.default_factory() if field.default_factory is not missing else missing
                yield field.name, field.default if field.default is not missing else made
    elif issubclass(record, msgspec.Struct):
        for info in msgspec.structs.fields(record):
            made = info.default_factory() if info.default_factory is not msgspec.NODEFAULT else missing
            yield info.name, info.default if info.default is not msgspec.NODEFAULT else made


def _decimal(value: object) -> Decimal:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidOperation
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("expected a number") from None
    if not number.is_finite():
        raise ValueError("expected a finite number")
    return number


class Form(Generic[T]):
    """How one class is written in a scenario. ``defaults`` and ``annotations`` are by key."""

    _made: ClassVar[dict[type[Any], Form[Any]]] = {}

    def __init__(self, record: type[T]) -> None:
        self.record = record
        self.annotations: dict[str, Any] = {}
        self.defaults: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self._nested: list[Form[Any]] = []
        members: dict[str, Any] = {}
        hints = get_type_hints(record, include_extras=True)
        for name, default in _fields(record):
            key = key_of(name, hints[name])
            if key != name and key in hints:  # after_bytes beside after
                key = name
            self.annotations[key], self.defaults[key], self.names[key] = hints[name], default, name
            needed = default is dataclasses.MISSING
            # Neutral names, so that no field collides with a method of pydantic's.
            members[f"field_{len(members)}"] = (
                self.readable(hints[name]),
                Field(alias=key) if needed else Field(default=None, alias=key),
            )
        synonyms: Mapping[str, str] = getattr(record, "synonyms", {})
        by_name = {name: key for key, name in self.names.items()}
        self.synonyms = {word: by_name.get(meant, meant) for word, meant in synonyms.items()}
        self.model: type[pydantic.BaseModel] = pydantic.create_model(record.__name__, __config__=_CONFIG, **members)

    @classmethod
    def of(cls, record: type[T]) -> Form[T]:
        """The form of a class, made once."""
        form = cls._made.get(record)
        if form is None:
            form = cls._made[record] = Form(record)
        return form

    @property
    def keys(self) -> list[str]:
        """Every key that may be written."""
        return [*self.annotations, *self.synonyms]

    def read(self, tree: Plain, path: Path, label: str, problems: Problems) -> T | None:
        """The value that ``tree``, found at ``path``, describes; None after a problem was noted.

        ``label`` is how messages call it (``lost_response``; may be empty).
        """
        if tree is not None and not isinstance(tree, dict):
            problems.at(path, f"{label + ': ' if label else ''}expected a mapping of settings, such as {{key: value}}")
            return None
        known, written = self._known(tree or {}, path, label, problems)
        try:
            filled = self.model.model_validate(known)
        except ValidationError as error:
            nested_keys = [key for form in self._nested for key in form.keys]
            Reading(known, written, path, label, nested_keys, problems).explain(error)
            return None
        if len(known) < len(tree or {}):
            return None
        try:
            return self._build(filled)
        except (ValueError, ArithmeticError) as error:
            self._contradiction(str(error), written, path, label, problems)
            return None

    def _known(
        self, tree: dict[str, Plain], path: Path, label: str, problems: Problems
    ) -> tuple[dict[str, Plain], dict[str, str]]:
        """The known keys with their values, synonyms resolved, and how each was written."""
        known: dict[str, Plain] = {}
        written: dict[str, str] = {}
        of = f" of {label}" if label else ""
        for key, value in tree.items():
            meant = self.synonyms.get(key, key)
            if meant not in self.annotations:
                problems.at_key((*path, key), f"unknown key {key!r}{of}{did_you_mean(key, self.keys)}")
            elif meant in known:
                problems.at_key((*path, key), f"{key!r} and {written[meant]!r} mean the same; give one of them")
            else:
                known[meant], written[meant] = value, key
        return known, written

    def _contradiction(self, message: str, written: dict[str, str], path: Path, label: str, problems: Problems) -> None:
        """Point at the key that the message begins with, as the file has it."""
        first, _, rest = message.partition(" ")
        keys_by_name = {name: key for key, name in self.names.items()}
        key = keys_by_name.get(first, self.synonyms.get(first, first))
        if key in written:
            path, message = (*path, written[key]), f"{written[key]} {rest}"
        problems.at(path, f"{label + ': ' if label else ''}{message}")

    def _build(self, filled: pydantic.BaseModel) -> T:
        names = list(self.names.values())
        given = {names[int(field.removeprefix("field_"))]: getattr(filled, field) for field in filled.model_fields_set}
        return self.record(**given)

    def readable(self, annotation: Any) -> Any:
        """An annotation of this class with everything in it that pydantic cannot read by itself replaced."""
        if annotation is Decimal:
            return Annotated[Decimal, PlainValidator(_decimal), WithJsonSchema({"type": ["number", "string"]})]
        if _is_record(annotation):
            form = Form.of(annotation)
            self._nested.append(form)
            return Annotated[form.model, pydantic.AfterValidator(form._build)]
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated or not any(isinstance(argument, type) or get_args(argument) for argument in arguments):
            return annotation
        replaced = tuple(self.readable(argument) for argument in arguments)
        if replaced == arguments:
            return annotation
        if type(annotation).__name__ == "UnionType" or origin is Union:
            return Union[replaced]  # noqa: UP007  # made from a tuple
        return origin[replaced]
