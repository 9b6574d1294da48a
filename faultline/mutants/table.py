"""Where mutants come from: a Python file, or a package's folder, with a table ``MUTANTS``.

faultline knows no client by name, so the table is found by its path, as targets are. A file is imported as targets
are; a folder is a package, imported under its full name, so that its modules can import one another.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec

from faultline.errors import TargetError, UsageError
from faultline.mutants.model import Mutant
from faultline.plan import Plan, make_plan
from faultline.scenario import load_scenarios
from faultline.scenario.document import did_you_mean
from faultline.targets import TargetRef, module_at

RECORDED: Final = "killed.json"
"""Beside the table: which oracles have seen each mutant. What is in there has to stay killed."""


@dataclass(frozen=True)
class Table:
    """The mutants in ``path``, in their order. ``fault_free`` is a scenario under which only those fail that need no
    fault; empty where there is none. ``folder`` is where witnesses and the record are.
    """

    path: str
    folder: Path
    mutants: Mapping[str, Mutant]
    fault_free: str = ""

    def picked(self, ids: Sequence[str] = (), components: Sequence[str] = ()) -> tuple[Mutant, ...]:
        """Those with one of ``ids`` and of one of ``components``. Raises UsageError for a name that is not there."""
        known = sorted({mutant.component for mutant in self.mutants.values()})
        for name, names in [*((each, list(self.mutants)) for each in ids), *((each, known) for each in components)]:
            if name not in names:
                raise UsageError(f"{self.path}: there is no {name!r}{did_you_mean(name, names)}")
        picked = tuple(
            mutant
            for mutant in self.mutants.values()
            if (not ids or mutant.id in ids) and (not components or mutant.component in components)
        )
        if not picked:
            raise UsageError(f"{self.path}: none of {', '.join(ids)} is of {', '.join(components)}")
        return picked

    def plan(self, file: str) -> Plan:
        """The run that a scenario file beside the table describes: one scenario, one target.

        Raises ScenarioError, and UsageError for a file with more than one.
        """
        found = load_scenarios(self.folder / file)
        if len(found) != 1 or len(found[0].targets) != 1:
            raise UsageError(f"{self.folder / file}: a witness is one scenario with one target")
        (name,) = found[0].targets
        target = found[0].target(name)
        return make_plan(found[0], TargetRef(name, target.spec, target.near))

    @property
    def record(self) -> Path:
        """The file that says what was killed."""
        return self.folder / RECORDED

    @cached_property
    def recorded(self) -> Mapping[str, tuple[str, ...]]:
        """The oracles that have seen each mutant, by its id. Raises UsageError for a file that is none."""
        if not self.record.is_file():
            return {}
        try:
            return msgspec.json.decode(self.record.read_bytes(), type=dict[str, tuple[str, ...]])
        except msgspec.DecodeError as error:
            raise UsageError(f"{self.record}: {error}") from error


def load_table(path: str | Path) -> Table:
    """The table in a file or a folder. Raises UsageError for what holds none, TargetError for what does not import."""
    where = Path(path)
    if not where.exists():
        raise UsageError(f"{where}: no such file or folder; name one with a table MUTANTS")
    module = _package(where) if where.is_dir() else module_at(where)
    found = getattr(module, "MUTANTS", None)
    if not isinstance(found, Sequence) or not found or not all(isinstance(each, Mutant) for each in found):
        raise UsageError(f"{where}: has no MUTANTS, a sequence of faultline.mutants.Mutant")
    mutants = {mutant.id: mutant for mutant in found}
    if len(mutants) < len(found):
        twice = sorted({mutant.id for mutant in found if [each.id for each in found].count(mutant.id) > 1})
        raise UsageError(f"{where}: two mutants are called {', '.join(twice)}")
    folder = where if where.is_dir() else where.parent
    return Table(str(where), folder.resolve(), mutants, str(getattr(module, "FAULT_FREE", "")))


def _package(folder: Path) -> Any:
    top = folder.resolve()
    names: list[str] = []
    while (top / "__init__.py").is_file():
        names.insert(0, top.name)
        top = top.parent
    if not names:
        raise UsageError(f"{folder}: is no package: it has no __init__.py")
    if str(top) not in sys.path:
        sys.path.append(str(top))
    name = ".".join(names)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise TargetError(f"{folder} does not import: {type(error).__name__}: {error}") from error
