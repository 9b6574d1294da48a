"""Responses with the right status and a body that is not what was promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from faultline.faults.actions import Action, Replace
from faultline.faults.base import one_of
from faultline.faults.chance import Chance
from faultline.faults.families import RequestFault
from faultline.faults.points import Moment

Form = Literal["truncated", "html", "empty", "wrong_type"]
"""JSON that stops in the middle, a web page, nothing, or JSON of another type than promised."""

_PAYLOADS: Final[Mapping[Form, bytes]] = MappingProxyType(
    {
        "truncated": b'{"data": {"id": "1", "sta',
        "html": b"<html><head><title>Service</title></head><body><h1>We will be right back</h1></body></html>",
        "empty": b"",
        "wrong_type": b'"ok"',
    }
)


@dataclass(frozen=True, kw_only=True)
class MalformedBody(RequestFault):
    """The venue carries the request out and answers, but the body of the answer is garbage.

    In the real world: a gateway's own page with status 200, a body cut by a cache, a release that changed a type.
    ``form`` is ``truncated`` (JSON that stops in the middle), ``html``, ``empty`` or ``wrong_type`` (JSON of another
    type); not given, one of the four is drawn for each response. Status and headers stay as they were.
    By default it strikes every ``POST``.

    Proves that a client treats an answer that it cannot read as "unknown" and looks, instead of failing or sending
    again.
    """

    kind = "malformed_body"
    phases = frozenset({"after"})

    form: Form | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form is not None:
            one_of("form", self.form, Form)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Replace the body."""
        form = chance.chosen(list(_PAYLOADS)) if self.form is None else self.form
        return (Replace(_PAYLOADS[form]),)
