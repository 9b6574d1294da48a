"""Scenario -> Plan: every name found and every mismatch refused before anything runs.

A plan is one scenario against one target. It holds its intents as an explicit tuple, so that shrinking can drop
some, and it is the same for every seed: the seed only decides where the faults strike and how the world behaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from faultline.errors import ScenarioError, UnsupportedFault
from faultline.faults.base import Fault
from faultline.faults.chance import Chance
from faultline.faults.deciders import labels
from faultline.faults.points import Plane
from faultline.history.event import Intent
from faultline.scenario.model import OrdersWorkload, Scenario
from faultline.targets import TargetRef
from faultline.venues import PROFILES
from faultline.venues.profile import Profile
from faultline.worlds import WORLDS
from faultline.worlds.base import World

PRICE_FIRST: Final = 1000
PRICE_STEP: Final = 10
"""Watermarks are sparse, so that a client that reprices its retries does not walk onto its neighbour's."""

QUANTITY: Final = 4
"""Enough for partial fills."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run needs but its seed. ``intents`` are in the order of their time ``t``."""

    scenario: Scenario
    target: TargetRef
    intents: tuple[Intent, ...]
    make_world: Callable[[int], World]

    @property
    def profile(self) -> Profile:
        """The venue's profile."""
        return PROFILES[self.scenario.venue.profile]

    @property
    def faults(self) -> Mapping[str, Fault]:
        """The scenario's faults by label."""
        return dict(zip(labels(self.scenario.faults), self.scenario.faults, strict=True))

    def with_intents(self, intents: Sequence[Intent]) -> Plan:
        """The same plan with fewer intents."""
        return replace(self, intents=tuple(intents))


def make_plan(scenario: Scenario, target: TargetRef) -> Plan:
    """The plan of ``scenario`` against ``target``.

    Raises ScenarioError or UnsupportedFault with the place in the file for what cannot be carried, UsageError and
    TargetError for a target that cannot be loaded.
    """
    make_world = WORLDS.get(scenario.world)
    if make_world is None:
        unknown = f"unknown world {scenario.world!r}{_hint(scenario.world, WORLDS)}"
        raise ScenarioError([scenario.problem(unknown, "world")])
    profile = PROFILES[scenario.venue.profile]
    problems = [
        scenario.problem(message, "faults", position)
        for position, fault in enumerate(scenario.faults)
        if (message := _mismatch(fault, profile) or _no_such_mark(fault, profile, scenario.faults))
    ]
    if problems:
        raise UnsupportedFault("\n".join(str(problem) for problem in problems))
    intents = _intents(scenario.workload)
    lacking = sorted({intent.op for intent in intents if not target.can(intent.op)})
    if lacking:
        message = f"the workload has {' and '.join(lacking)} intents, and {target.spec} has no such method"
        raise ScenarioError([scenario.problem(message, "workload")])
    return Plan(scenario, target, intents, lambda seed: make_world(seed, scenario.time_limit_s))


def _hint(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else f" (known: {', '.join(known)})"


def _mismatch(fault: Fault, profile: Profile) -> str:
    """Why this fault can never strike here, or the empty string."""
    endpoints: dict[Plane, Sequence[str]] = {plane: profile.endpoints.get(plane, ()) for plane in Plane}
    endpoints[Plane.TARGET] = STORE
    if fault.can_strike(endpoints):
        return ""
    named = [endpoint for plane in sorted(fault.point_planes) for endpoint in endpoints[plane]]
    hint = _hint(fault.on, named)
    return f"{fault.kind}: no endpoint of the {profile.name} venue matches on: {fault.on!r}{hint}"


def _no_such_mark(fault: Fault, profile: Profile, faults: Sequence[Fault]) -> str:
    """Why the mark that its times count from can never come, or the empty string."""
    marks = [*labels(faults), *_MARKS, *profile.endpoints[Plane.MESSAGE]]
    if fault.after is None or fault.after in marks:
        return ""
    return f"{fault.kind}: nothing is called after: {fault.after!r}{_hint(fault.after, marks)}"


_MARKS: Final = ("load", "boot", "crash", "order", "reject", "fill", "cancel", "replace", "expire")
"""What happens by name in every run, beside other faults and the venue's endpoints."""

STORE: Final = ("store",)
"""The endpoints of a client's own process, whatever the venue."""


def _intents(workload: OrdersWorkload) -> tuple[Intent, ...]:
    """The workload spelt out. Which orders are cancelled or replaced does not depend on the seed."""
    intents: list[Intent] = []
    every_s = 1.0 / workload.rate_per_s
    for ordinal in range(workload.orders):
        chance = Chance("workload", ordinal)
        t = ordinal * every_s
        market = workload.order_type == "market" or (workload.order_type == "mixed" and ordinal % 2 == 1)
        placed = Intent(
            t=t,
            id=f"I{ordinal + 1}",
            op="place",
            symbol=workload.symbol,
            side="buy" if chance.hits(0.6) else "sell",
            # Market orders have no price, so their size is what tells them apart.
            quantity=str(QUANTITY + (PRICE_STEP * (ordinal + 1) if market else 0)),
            price="" if market else str(PRICE_FIRST + PRICE_STEP * ordinal),
            order_type="market" if market else "limit",
        )
        intents.append(placed)
        if chance.hits(workload.cancels):
            intents.append(Intent(t=t + 2 * every_s, id=f"C{ordinal + 1}", op="cancel", of=placed.id))
        elif chance.hits(workload.replaces):
            price = str(PRICE_FIRST + PRICE_STEP * ordinal + 1)
            quantity = str(QUANTITY + 1)
            intents.append(
                Intent(
                    t=t + 2 * every_s, id=f"R{ordinal + 1}", op="replace", of=placed.id, quantity=quantity, price=price
                )
            )
    return tuple(sorted(intents, key=lambda intent: intent.t))
