"""Plans and runs for tests, without scenario files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from faultline.faults.base import Fault
from faultline.history.contract import ClientPolicy
from faultline.history.event import Event
from faultline.oracles.base import Oracle
from faultline.plan import Plan, make_plan
from faultline.runner import Run
from faultline.scenario.model import OrdersWorkload, Scenario, VenueSpec
from faultline.targets import TargetRef
from faultline.venues.settings import GenericSettings

CLIENTS = Path(__file__).parent / "clients"
TARGETS = Path(__file__).parent.parent / "targets"
TINY = f"{CLIENTS}/tiny.py:Tiny"
CAREFUL = f"{TARGETS}/order_flow.py:OrderFlow"
NAIVE = f"{TARGETS}/naive_flow.py:NaiveFlow"


def planned(
    target: str = TINY,
    *faults: Fault,
    expect: Iterable[Oracle] = (),
    settings: GenericSettings | None = None,
    time_limit_s: float = 86_400.0,
    **workload: Any,
) -> Plan:
    """A plan of three orders unless ``workload`` says something else, at a venue that remembers keys for ever."""
    spec = target if "/" in target else f"{CLIENTS}/{target}"
    scenario = Scenario(
        path="test.yaml",
        name="test",
        about="",
        tags=(),
        targets={"it": spec},
        venue=VenueSpec("generic", settings or GenericSettings(idempotency="unique_forever")),
        world="sim",
        seeds=1,
        workload=OrdersWorkload(**({"orders": 3, "rate_per_s": 2.0} | workload)),
        faults=faults,
        expect=tuple(expect),
        expect_for={},
        policy=ClientPolicy(),
        time_limit_s=time_limit_s,
    )
    return make_plan(scenario, TargetRef("it", spec))


def kinds(run: Run, *which: type[Event]) -> list[Any]:
    """The events of these kinds, in order."""
    return [event for event in run.history if isinstance(event, which)]
