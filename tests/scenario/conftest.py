"""Small tables of faults, oracles and a venue, so that these tests hold whatever the shipped ones can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Literal

import pytest

from faultline.errors import ScenarioError
from faultline.faults.actions import Action, Cut
from faultline.faults.base import Fault
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane
from faultline.history import History
from faultline.oracles.base import Verdict, verdict
from faultline.scenario.load import loads
from faultline.scenario.model import Scenario
from faultline.scenario.tables import Tables
from faultline.units import Bytes, BytesPerSecond, Fraction, Seconds

HERE = "«"


@dataclass(frozen=True, kw_only=True)
class Lost(Fault):
    """A request or its response never arrives."""

    kind: ClassVar[str] = "lost"
    plane: ClassVar[Plane] = Plane.MESSAGE
    phases: ClassVar[frozenset[str]] = frozenset({"before", "after"})

    phase: Literal["before", "after"] = "after"
    delay_s: Seconds | Literal["never"] = "never"
    rate_bytes_per_s: BytesPerSecond = 1024.0
    after_bytes: Bytes = 0
    status: int = 503

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        return (Cut(),)


class _Judge:
    name: ClassVar[str]
    checks: ClassVar[tuple[str, ...]] = ()

    def judge(self, history: History) -> Verdict:
        return verdict(self.name, 1, ())


class Whole(_Judge):
    name: ClassVar[str] = "whole"


class Acked(_Judge):
    name: ClassVar[str] = "acked"


@dataclass(frozen=True)
class Soon(_Judge):
    """Everything is answered soon."""

    name: ClassVar[str] = "soon"
    within_s: Seconds = 30.0

    def __post_init__(self) -> None:
        if self.within_s == 0:
            raise ValueError("within is zero, so nothing could hold")


@dataclass(frozen=True)
class Limit:
    """One limit."""

    count: int
    window_s: Seconds = 1.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("count must be at least 1")


@dataclass(frozen=True)
class Settings:
    """How the venue of these tests behaves."""

    strict: bool = True
    lag_s: Seconds = 0.0
    fee: Decimal = Decimal("0.0002")
    resting: Fraction = 0.0
    limits: tuple[Limit, ...] = ()


@pytest.fixture(scope="session")
def tables() -> Tables:
    return Tables(
        faults={"lost": Lost},
        oracles={"whole": Whole, "acked": Acked, "soon": Soon},
        settings={"plain": Settings},
        groups={"all_there": ("whole", "acked")},
    )


@pytest.fixture(scope="session")
def read(tables: Tables) -> Callable[..., tuple[Scenario, ...]]:
    def read(text: str, path: str = "s.yaml", **params: str) -> tuple[Scenario, ...]:
        return loads(text, path, params=params, tables=tables)

    return read


@pytest.fixture(scope="session")
def problems(tables: Tables) -> Callable[..., tuple[list[str], list[str]]]:
    """Problems of a text as ``line:column: message``, and the places that the text marks with «, in order."""

    def problems(text: str, path: str = "s.yaml") -> tuple[list[str], list[str]]:
        marked: list[str] = []
        while HERE in text:
            before, _, after = text.partition(HERE)
            marked.append(f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}")
            text = before + after
        with pytest.raises(ScenarioError) as caught:
            loads(text, path, tables=tables)
        assert all(problem.path == path for problem in caught.value.problems)
        return [f"{found.line}:{found.column}: {found.message}" for found in caught.value.problems], marked

    return problems
