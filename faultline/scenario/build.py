"""One filled-in tree -> one Scenario. Notes every problem and goes on, so that all are reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from faultline.faults.base import Fault
from faultline.history.contract import ClientPolicy
from faultline.oracles.base import Oracle
from faultline.scenario.document import Document, Path, Plain, Problems, did_you_mean, kind_of
from faultline.scenario.expand import Cell
from faultline.scenario.forms import Form
from faultline.scenario.model import VERSION, Expectation, OrdersWorkload, Scenario, VenueSpec
from faultline.scenario.tables import Tables
from faultline.units import Seconds
from faultline.worlds.command import Command
from faultline.worlds.effect_rule import EffectRule
from faultline.worlds.toxiproxy.address import server_url

T = TypeVar("T")

SEEDS_MAX: Final = 1_000_000
_TARGET: Final = re.compile(r".+:[A-Za-z_]\w*")
SECTIONS: Final = (
    "target", "targets", "venue", "client", "workload", "faults", "effects", "expect", "expect_for", "params",
    "matrix",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Head:
    """The keys of a scenario that are plain values."""

    name: str
    version: int = VERSION
    about: str = ""
    tags: tuple[str, ...] = ()
    world: str = "sim"
    toxiproxy: str | None = None
    seeds: int = 10
    time_limit_s: Seconds = 3600.0

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty; say what must hold")
        if self.version != VERSION:
            raise ValueError(f"version is {self.version}; this faultline reads {VERSION}")
        if not 1 <= self.seeds <= SEEDS_MAX:
            raise ValueError(f"seeds is {self.seeds}; it is 1 to {SEEDS_MAX}")
        if not self.time_limit_s > 0:
            raise ValueError("time_limit is zero, so nothing could happen; write it like 1h")
        if self.toxiproxy is not None:
            server_url(self.toxiproxy)


@dataclass(frozen=True, slots=True)
class TargetNotes:
    """What ``expect_for`` says of one target."""

    fails: tuple[str, ...] | dict[str, str] = ()
    may_fail: tuple[str, ...] = ()
    seeds: int | None = None

    def __post_init__(self) -> None:
        if self.seeds is not None and not 1 <= self.seeds <= SEEDS_MAX:
            raise ValueError(f"seeds is {self.seeds}; it is 1 to {SEEDS_MAX}")


def read_effect(on: str, settings: Plain, path: Path, problems: Problems) -> EffectRule | None:
    """The rule of effects for the requests ``on``, whose settings stand at ``path``; None after a problem was noted."""
    form = Form.of(EffectRule)
    if settings is None:
        settings = {}
    if isinstance(settings, dict) and "on" in settings:
        problems.at_key((*path, "on"), f"'on' is given already: it is {on}, before the colon")
        return None
    return form.read({"on": on, **settings} if isinstance(settings, dict) else settings, path, "effect", problems)


class Builder:
    """Builds the scenario of one cell of ``document``."""

    def __init__(self, document: Document, cell: Cell, tables: Tables, problems: Problems) -> None:
        self._document = document
        self._cell = cell
        self._tree = cell.tree
        self._tables = tables
        self._problems = problems
        self._commands: dict[str, Command] = {}

    def build(self) -> Scenario | None:
        """The scenario, or None when a problem was noted."""
        head = self._head()
        targets = self._targets()
        venue = self._venue()
        workload = self._record("workload", OrdersWorkload)
        policy = self._record("client", ClientPolicy)
        faults = list(self._faults())
        effects = tuple(self._effects())
        expect = list(self._expect())
        expect_for = self._expect_for(targets, [oracle.name for oracle in expect])
        if self._problems or head is None or venue is None or workload is None or policy is None:
            return None
        return Scenario(
            path=self._document.path,
            name=head.name + self._cell.suffix,
            about=head.about.strip(),
            tags=head.tags,
            targets=targets,
            commands=self._commands,
            venue=venue,
            world=head.world,
            toxiproxy=None if head.toxiproxy is None else server_url(head.toxiproxy),
            seeds=head.seeds,
            workload=workload,
            faults=tuple(faults),
            effects=effects,
            expect=tuple(expect),
            expect_for=expect_for,
            policy=policy,
            time_limit_s=head.time_limit_s,
            params=self._cell.values,
            overrides=self._cell.overrides,
            marks=self._document.marks,
        )

    def _head(self) -> Head | None:
        form = Form.of(Head)
        known = [*form.keys, *SECTIONS]
        for key in self._tree:
            if key not in known:
                self._problems.at_key((key,), f"unknown key {key!r}{did_you_mean(key, known)}")
        head = form.read({key: value for key, value in self._tree.items() if key in form.keys}, (), "", self._problems)
        if head is not None and head.world not in self._tables.worlds:
            hint = did_you_mean(head.world, self._tables.worlds)
            self._problems.at(("world",), f"unknown world {head.world!r}{hint}")
        return head

    def _record(self, section: str, record: type[T]) -> T | None:
        return Form.of(record).read(self._tree.get(section), (section,), section, self._problems)

    # Targets and venue

    def _targets(self) -> dict[str, str]:
        single, several = self._tree.get("target"), self._tree.get("targets")
        if single is not None and several is not None:
            self._problems.at_key(("target",), "target and targets are both given; keep one")
            return {}
        if several is None:
            if single is None:
                self._problems.at((), "'target' is missing; write target: path/to/file.py:Class")
                return {}
            return {"default": self._target("default", single, ("target",))}
        if not isinstance(several, dict) or not several:
            self._problems.at(("targets",), "expected names with their targets: {careful: path/to/file.py:Class}")
            return {}
        return {name: self._target(name, spec, ("targets", name)) for name, spec in several.items()}

    def _target(self, name: str, spec: Plain, path: Path) -> str:
        if isinstance(spec, dict):
            command = Form.of(Command).read(spec, path, "", self._problems)
            if command is None:
                return ""
            self._commands[name] = command
            return command.spec
        if not isinstance(spec, str) or not _TARGET.fullmatch(spec):
            self._problems.at(
                path, f"{kind_of(spec)} does not name a target; write path/to/file.py:Class or {{command: [...]}}"
            )
            return ""
        return spec

    def _venue(self) -> VenueSpec | None:
        venue = self._tree.get("venue")
        path: Path = ("venue",)
        if isinstance(venue, str):
            venue = {"profile": venue}
        else:
            path = ("venue", "profile")
        if not isinstance(venue, dict) or not isinstance(profile := venue.get("profile"), str):
            known = ", ".join(sorted(self._tables.settings))
            self._problems.at(path, f"expected a venue such as {{profile: generic}} (known: {known})")
            return None
        record = self._tables.settings.get(profile)
        if record is None:
            self._problems.at(path, f"unknown venue profile {profile!r}{did_you_mean(profile, self._tables.settings)}")
            return None
        own: dict[str, Plain] = {key: value for key, value in venue.items() if key != "profile"}
        settings = Form.of(record).read(own, ("venue",), "venue", self._problems)
        return None if settings is None else VenueSpec(profile, settings)

    # Faults and oracles

    def _named(self, section: str) -> Iterator[tuple[str, Plain, Path]]:
        """Name, settings and place of each item of a list such as ``- lost_response: {...}``."""
        items = self._tree.get(section)
        if items is None:
            return
        if not isinstance(items, tuple):
            self._problems.at((section,), f"expected a list, each item like {_EXAMPLES[section]}")
            return
        for index, item in enumerate(items):
            path: Path = (section, index)
            if isinstance(item, str):
                yield item, None, path
            elif isinstance(item, dict) and len(item) == 1:
                name, settings = next(iter(item.items()))
                yield name, settings, (*path, name)
            elif isinstance(item, dict) and item:
                name, second, *_ = item
                message = f"one item has {name!r} and {second!r}; indent the settings of {name} further than its name"
                self._problems.at_key((*path, second), message)
            else:
                self._problems.at(path, f"expected an item like {_EXAMPLES[section]}, not {kind_of(item)}")

    def _read(self, name: str, settings: Plain, path: Path, table: Mapping[str, type[T]]) -> T | None:
        return Form.of(table[name]).read(settings, path, name, self._problems)

    def _faults(self) -> Iterator[Fault]:
        for name, settings, path in self._named("faults"):
            if name not in self._tables.faults:
                hint = did_you_mean(name, self._tables.faults)
                self._problems.at_key(path, f"unknown fault {name!r}{hint}")
            elif (fault := self._read(name, settings, path, self._tables.faults)) is not None:
                yield fault

    def _effects(self) -> Iterator[EffectRule]:
        about: set[str] = set()
        for on, settings, path in self._named("effects"):
            if on in about:
                self._problems.at_key(path, f"{on} is an effect already; keep one")
            about.add(on)
            rule = read_effect(on, settings, path, self._problems)
            if rule is not None:
                yield rule

    def _expect(self) -> Iterator[Oracle]:
        there: dict[str, None] = {}
        tables = self._tables
        for group, settings, path in self._named("expect"):
            names = tuple(tables.groups.get(group, (group,)))
            if group not in tables.groups and group not in tables.oracles:
                hint = did_you_mean(group, [*tables.oracles, *tables.groups])
                self._problems.at_key(path, f"unknown oracle {group!r}{hint}")
                continue
            if group in tables.groups and settings:
                self._problems.at(path, f"{group} has no settings of its own; write its oracles: {', '.join(names)}")
                continue
            for name in names:
                if name in there:
                    by = f" (by {group})" if name != group else ""
                    self._problems.at_key(path, f"{name} is expected twice{by}; keep one")
                elif (oracle := self._read(name, settings, path, tables.oracles)) is not None:
                    there[name] = None
                    yield cast("Oracle", oracle)
        if not there and not self._problems:
            self._problems.at(("expect",), "nothing is expected, so nothing could fail; name at least one oracle")

    # What is known of each target

    def _expect_for(self, targets: Mapping[str, str], judged: list[str]) -> dict[str, Expectation]:
        notes = self._tree.get("expect_for")
        if notes is None:
            return {}
        if not isinstance(notes, dict):
            self._problems.at(("expect_for",), "expected a mapping such as {naive: {fails: [no_duplicates]}}")
            return {}
        expectations: dict[str, Expectation] = {}
        for target, note in notes.items():
            path: Path = ("expect_for", target)
            if target not in targets:
                self._problems.at_key(path, f"no target is called {target!r}{did_you_mean(target, targets)}")
            read = Form.of(TargetNotes).read(note, path, target, self._problems)
            if read is not None:
                expectations[target] = self._expectation(read, path, judged)
        return expectations

    def _expectation(self, notes: TargetNotes, path: Path, judged: list[str]) -> Expectation:
        fails = notes.fails if isinstance(notes.fails, dict) else dict.fromkeys(notes.fails, "")
        self._check_judged(fails, isinstance(notes.fails, dict), (*path, "fails"), judged)
        groups = self._tables.groups
        may_fail = {name: tuple(groups.get(name, (name,))) for name in notes.may_fail}
        for index, group in enumerate(may_fail):
            at = (*path, "may_fail", index)
            if group not in groups and group not in self._tables.oracles:
                self._problems.at(
                    at, f"unknown oracle {group!r}{did_you_mean(group, [*self._tables.oracles, *groups])}"
                )
            elif group in fails:
                self._problems.at(at, f"{group} is under fails too; keep one")
        others = tuple(name for names in may_fail.values() for name in names if name not in fails)
        return Expectation(fails, others, notes.seeds)

    def _check_judged(self, fails: Mapping[str, str], have_reasons: bool, path: Path, judged: list[str]) -> None:
        at = self._problems.at_key if have_reasons else self._problems.at
        for index, name in enumerate(fails):
            if name in judged:
                continue
            parts = self._tables.groups.get(name)
            hint = f"; name the one that fails: {', '.join(parts)}" if parts else did_you_mean(name, judged)
            at((*path, name if have_reasons else index), f"{name!r} is not among the oracles of expect{hint}")


_EXAMPLES: Final = {
    "faults": "lost_response: {on: POST /orders}",
    "effects": "POST /orders: {key: header Idempotency-Key, id: json id}",
    "expect": "no_duplicates, or reconciled: {within: 30s}",
}
