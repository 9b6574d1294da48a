"""A scenario: what a file says, as frozen values. Planning gives them their meaning.

Quantities are in the unit that ends their name; the file writes them with a unit and without that ending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from faultline.errors import Problem
from faultline.faults.base import Fault
from faultline.history.contract import ClientPolicy
from faultline.oracles.base import Oracle
from faultline.scenario.document import Marks
from faultline.targets import TargetRef
from faultline.units import Fraction, PerSecond, Seconds
from faultline.worlds.command import Command
from faultline.worlds.effect_rule import EffectRule

VERSION: Final = 1
"""Version of the scenario format. A reader refuses a later one."""

ORDERS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class OrdersWorkload:
    """What the client is asked to do: place ``orders`` at ``rate``, and cancel or replace a share of them.

    At ``kill_at`` it is told to open nothing more, at ``flatten_at`` to close all it holds. ``linger`` is how long
    after the last intent faults may go on, ``tail`` how long the client then has, without faults, to put all right.
    """

    orders: int = 20
    rate_per_s: PerSecond = 20.0
    cancels: Fraction = 0.0
    replaces: Fraction = 0.0
    order_type: Literal["limit", "market", "mixed"] = "limit"
    symbol: str = "NQ"
    kill_at_s: Seconds | None = None
    flatten_at_s: Seconds | None = None
    linger_s: Seconds = 10.0
    tail_s: Seconds = 120.0

    def __post_init__(self) -> None:
        if not 1 <= self.orders <= ORDERS_MAX:
            raise ValueError(f"orders is {self.orders}; it is 1 to {ORDERS_MAX}")
        if not self.rate_per_s > 0:
            raise ValueError("rate is zero, so no order would ever be placed; write it like 20/s")
        if self.cancels + self.replaces > 1:
            raise ValueError("cancels and replaces together are more than 100% of the orders")
        if not self.symbol:
            raise ValueError("symbol is empty; write one like NQ")


@dataclass(frozen=True, slots=True)
class VenueSpec:
    """Which venue: the name of its profile, and that profile's own settings (a frozen dataclass)."""

    profile: str
    settings: object


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is known of one target. ``fails`` maps the oracles that must fail to the reason why.

    ``may_fail`` lists oracles whose verdict does not matter for this target. ``seeds`` is how many it is run under,
    None for as many as the scenario says: a client that is known to fail shows it under a few.
    """

    fails: Mapping[str, str] = field(default_factory=dict)
    may_fail: tuple[str, ...] = ()
    seeds: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, complete and checked, except for what only a plan can tell.

    ``targets`` maps a name (``default`` when the file gives only one) to ``path/to/file.py:Class``, or to the command
    line of one of ``commands``. ``params`` are the values of its matrix cell, in the order of the file; they are part
    of ``name`` too. ``overrides`` are the parameters of the file that its loader was told to replace. ``toxiproxy`` is
    the URL of the server that the toxiproxy world uses, None for its own. ``effects`` tell a gateway what counts at an
    upstream that is not ours.
    """

    path: str
    name: str
    about: str
    tags: tuple[str, ...]
    targets: Mapping[str, str]
    venue: VenueSpec
    world: str
    seeds: int
    workload: OrdersWorkload
    faults: tuple[Fault, ...]
    expect: tuple[Oracle, ...]
    expect_for: Mapping[str, Expectation]
    policy: ClientPolicy
    time_limit_s: float
    params: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    marks: Marks = field(default_factory=Marks, repr=False, compare=False)
    toxiproxy: str | None = None
    commands: Mapping[str, Command] = field(default_factory=dict)
    effects: tuple[EffectRule, ...] = ()

    def target(self, name: str) -> TargetRef:
        """The target called ``name``. Raises KeyError when there is none."""
        return TargetRef(name, self.targets[name], self.path, self.commands.get(name))

    def where(self, *path: str | int) -> tuple[int, int]:
        """Line and column of a part: ``where("faults", 2)``; of what holds it when it has no place of its own."""
        return self.marks.value(path)

    def problem(self, message: str, *path: str | int) -> Problem:
        """A problem with a part, for whoever finds it later than the loader."""
        return Problem(self.path, *self.where(*path), message)

    def expectation(self, target: str) -> Expectation:
        """What is known of the target called ``target``; nothing, when nothing was said."""
        return self.expect_for.get(target, Expectation())
