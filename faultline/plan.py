"""Scenario -> Plan: every name found and every mismatch refused before anything runs.

A plan is one scenario against one target. It holds its intents as an explicit tuple, so that shrinking can drop
some, and it is the same for every seed: the seed only decides where the faults strike and how the world behaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from faultline.errors import ScenarioError, TargetError, UnsupportedFault, UsageError
from faultline.faults.base import Fault
from faultline.faults.chance import Chance
from faultline.faults.deciders import labels
from faultline.faults.points import Plane
from faultline.history.event import Intent
from faultline.scenario.document import did_you_mean
from faultline.scenario.model import OrdersWorkload, Scenario
from faultline.targets import TargetRef
from faultline.venues import PROFILES
from faultline.venues.profile import Profile
from faultline.worlds import WORLDS, WorldKind
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
    def repeatable(self) -> bool:
        """Whether the same seed gives the same history in its world."""
        return WORLDS[self.scenario.world].repeatable

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
    TargetError for a target that cannot be loaded, with the place when the file names it.
    """
    world = WORLDS.get(scenario.world)
    if world is None:
        raise ScenarioError([scenario.problem(f"unknown world {_unknown(scenario.world, WORLDS)}", "world")])
    world = _prepared(scenario, world)
    _check_faults(scenario, target, world)
    _check_target(scenario, target, world)
    intents = _intents(scenario.workload)
    lacking = sorted(op for op in {intent.op for intent in intents} if not target.can(op))
    if lacking:
        message = f"the workload has {' and '.join(lacking)} intents, and {target.spec} has no such method"
        raise ScenarioError([scenario.problem(message, "workload")])
    return Plan(scenario, target, intents, lambda seed: world.make(seed, scenario.time_limit_s))


def _prepared(scenario: Scenario, world: WorldKind) -> WorldKind:
    """The kind of world for just this scenario, where that makes a difference."""
    if world.prepared is None:
        return world
    try:
        return world.prepared(dict(zip(labels(scenario.faults), scenario.faults, strict=True)), scenario.toxiproxy)
    except UsageError as error:
        raise ScenarioError([scenario.problem(str(error), "world")]) from error


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"{name!r}{did_you_mean(name, known)}"


def _check_target(scenario: Scenario, target: TargetRef, world: WorldKind) -> None:
    if target.command is not None and not world.commands:
        able = " or ".join(name for name, kind in WORLDS.items() if kind.commands)
        message = f"the {scenario.world} world cannot run a command, which lives in real time: use world: {able}"
        raise ScenarioError([scenario.problem(message, *_place(scenario, target))])
    try:
        target.load()
    except (UsageError, TargetError) as error:
        if scenario.targets.get(target.name) != target.spec:
            raise  # it comes from the command line
        raise type(error)(str(scenario.problem(str(error), *_place(scenario, target)))) from error


def _place(scenario: Scenario, target: TargetRef) -> tuple[str, ...]:
    """Where the scenario names ``target``."""
    return ("targets", target.name) if len(scenario.targets) > 1 else ("target",)


# Faults


def _check_faults(scenario: Scenario, target: TargetRef, world: WorldKind) -> None:
    """Raises UnsupportedFault with every fault that could never strike."""
    profile = PROFILES[scenario.venue.profile]
    problems = []
    for position, (label, fault) in enumerate(zip(labels(scenario.faults), scenario.faults, strict=True)):
        if fault.plane not in world.planes:
            why = f"the {scenario.world} world does not carry faults of the {fault.plane} plane"
        else:
            why = (
                world.refuses(fault, target.command is not None)
                or fault.misfit(profile.name)
                or _no_tokens(fault, profile)
                or _no_such_point(fault, profile)
                or _no_such_mark(label, fault, profile, scenario.faults)
            )
        if why:
            problems.append(scenario.problem(f"{fault.kind}: {why}", "faults", position))
    if problems:
        raise UnsupportedFault("\n".join(str(problem) for problem in problems))


def _no_tokens(fault: Fault, profile: Profile) -> str:
    """Why there is nothing that this fault could end, or the empty string."""
    ends = fault.whole == "tokens" and not profile.tokens
    return (
        f"the {profile.name} venue has no tokens: requests are signed with a key that does not expire" if ends else ""
    )


def _no_such_point(fault: Fault, profile: Profile) -> str:
    """Why this fault can never meet a point, or the empty string."""
    endpoints = {plane: _ENDPOINTS.get(plane, profile.endpoints.get(plane, ())) for plane in Plane}
    if fault.can_strike(endpoints):
        return ""
    there = [endpoint for plane in sorted(fault.point_planes) for endpoint in endpoints[plane]]
    return f"the {profile.name} venue has nothing that matches on: {_unknown(fault.on, there)}"


def _no_such_mark(label: str, fault: Fault, profile: Profile, faults: Sequence[Fault]) -> str:
    """Why the mark that its times count from can never come, or the empty string."""
    if fault.after == label:
        return f"it counts its times from the first strike of itself (after: {label}), so it would never strike"
    marks = [*labels(faults), *_MARKS, *profile.endpoints[Plane.MESSAGE]]
    if fault.after is None or fault.after in marks:
        return ""
    return f"nothing is called after: {_unknown(fault.after, marks)}"


_MARKS: Final = ("load", "boot", "crash", "order", "reject", "fill", "cancel", "replace", "expire")
"""What happens by name in every run, beside other faults and the venue's endpoints."""

_ENDPOINTS: Final[Mapping[Plane, tuple[str, ...]]] = {Plane.TARGET: ("store",)}
"""Endpoints that a world has whatever the venue."""


# The workload


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
    for op, at_s in (("kill", workload.kill_at_s), ("flatten", workload.flatten_at_s)):
        if at_s is not None:
            intents.append(Intent(t=at_s, id=op.capitalize(), op=op))
    return tuple(sorted(intents, key=lambda intent: intent.t))
