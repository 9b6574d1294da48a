"""Bodies of the control API: read strictly where it matters, leniently where Toxiproxy's clients rely on it.

Unknown fields are ignored, null is "not given". Attributes are read by the table of toxics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from faultline.errors import FaultlineError

if TYPE_CHECKING:
    from faultline.worlds.live.proxy.toxics import ToxicType, Value, Values

T = TypeVar("T")


class ApiError(FaultlineError):
    """A request that is answered with ``status`` and a message."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class ToxicInput(msgspec.Struct, frozen=True):
    """A toxic to make or to change."""

    name: str | None = None
    type: str | None = None
    stream: str | None = None
    toxicity: float | None = None
    first: int | None = None
    attributes: dict[str, msgspec.Raw] | None = None

    def read_attributes(self, kind: ToxicType, before: Values | None) -> dict[str, Value]:
        """All attributes of the toxic. Raises ApiError (400) that names the one that is wrong, and its range."""
        try:
            given = {name: msgspec.json.decode(raw) for name, raw in (self.attributes or {}).items()}
            return kind.read(given, before)
        except ValueError as error:
            raise ApiError(400, f"bad request body: {error}") from error

    def read_toxicity(self) -> float:
        """The toxicity. Raises ApiError (400)."""
        if self.toxicity is None or not 0 <= self.toxicity <= 1:
            raise ApiError(400, f"bad request body: toxicity is {self.toxicity}; it is a number from 0 to 1")
        return self.toxicity

    def read_first(self) -> int | None:
        """How many new connections it is for. Raises ApiError (400)."""
        if self.first is not None and self.first < 0:
            raise ApiError(400, f"bad request body: first is {self.first}; it is a whole number from 0")
        return self.first


class ProxyInput(msgspec.Struct, frozen=True):
    """A proxy to make or to change."""

    name: str | None = None
    listen: str | None = None
    upstream: str | None = None
    enabled: bool | None = None
    toxics: tuple[ToxicInput, ...] | None = None

    def check(self) -> str:
        """What a new proxy needs. Returns its name. Raises ApiError (400)."""
        for field in ("name", "upstream"):
            if not getattr(self, field):
                raise ApiError(400, f"missing required field: {field}")
        assert self.name
        if "/" in self.name:
            raise ApiError(400, f"bad request body: name {self.name!r} holds a '/': it could never be addressed")
        return self.name


class LeaseInput(msgspec.Struct, frozen=True):
    """A lease to open."""

    seconds: float | None = None


def read(body: bytes, kind: type[T]) -> T:
    """Read a JSON body. Raises ApiError (400)."""
    if not body.strip():
        raise ApiError(400, "bad request body: EOF")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, f"bad request body: {error}") from error
