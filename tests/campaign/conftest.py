"""Cases and records for tests that run nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from faultline.campaign.model import Broken, Case, RunRecord
from faultline.history.contract import ClientPolicy
from faultline.oracles.base import Verdict
from faultline.scenario.model import Expectation, OrdersWorkload, Scenario, VenueSpec
from faultline.targets import TargetRef


class Judge:
    checks: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture(scope="session")
def case() -> Callable[..., Case]:
    """A case with the oracles ``one`` and ``two`` and no faults."""

    def make(
        name: str = "scenario", seeds: int = 3, fails: Mapping[str, str] | None = None, may_fail: tuple[str, ...] = (),
        faults: Any = (),
    ) -> Case:  # fmt: skip
        scenario = Scenario(
            path=f"{name}.yaml",
            name=name,
            about="",
            tags=(),
            targets={"it": "t.py:T"},
            venue=VenueSpec("generic", None),
            world="sim",
            seeds=seeds,
            workload=OrdersWorkload(),
            faults=tuple(faults),
            expect=(Judge("one"), Judge("two")),
            expect_for={"it": Expectation(fails or {}, may_fail)},
            policy=ClientPolicy(),
            time_limit_s=60.0,
        )
        return Case(scenario, TargetRef("it", "t.py:T"), tuple(range(seeds)))

    return make


@pytest.fixture(scope="session")
def record() -> Callable[..., RunRecord]:
    """A record under ``seed`` in which the named oracles failed or could not tell."""

    def make(seed: int, *failed: str, unknown: tuple[str, ...] = (), error: str = "", fired: Any = ()) -> RunRecord:
        verdicts = tuple(
            Verdict(
                name,
                "fail" if name in failed else "unknown" if name in unknown else "pass",
                0 if name in unknown else 5,
            )
            for name in ("one", "two")
        )
        broken = Broken(error, "it broke") if error else None
        return RunRecord(seed, () if broken else verdicts, frozenset(fired), 2, f"hash{seed}", 1.0, 0.5, error=broken)

    return make
