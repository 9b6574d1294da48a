"""Writes the catalogues of faults and oracles from the code: ``python docs/generate.py``. A test keeps them in step."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any, get_type_hints

from faultline.faults import FAULTS
from faultline.faults.base import Fault
from faultline.oracles import GROUPS, ORACLES
from faultline.scenario.forms import key_of, units_in
from faultline.scenario.schema import schema

HERE = Path(__file__).parent
sys.path.append(str(HERE))

import mutants_table  # noqa: E402
import oracle_traces  # noqa: E402
import scenario_reference  # noqa: E402  # neighbours, wherever this is run from
import traces  # noqa: E402

FAULTS_HEAD = """# Faults

*Generated from the code by `docs/generate.py`.*

A fault is written in a scenario as `- kind: {key: value, ...}`. Every fault takes the keys of *where* and *when*
below as far as its points carry them; the others belong to the kind. Quantities carry their unit: `250ms`, `64KiB`,
`20/s`, `50%`.

| key | meaning |
|---|---|
| `on` | pattern over endpoints: `POST /orders`, `* /orders*`, `stream user`; a host (`rest`, `stream`) for bytes |
| `header` | `name: pattern` of a request header |
| `topic`, `connection` | topic of a stream message; number of a connection |
| `nth`, `attempt` | the nth matching moments of the run; the nth arrival of one intent |
| `first` | stop after so many strikes |
| `probability` | decides each matching moment by itself |
| `at`, `for`, `during`, `every`, `jitter` | a time, an interval, a repetition; see `faultline/faults/timing.py` |
| `after` | times count from the first time that something happened: a phase, another fault, `fill`, `POST /orders` |

Each entry ends with an example and what it did to the careful client in a short simulated run: `->` is towards the
venue, `<-` its answer, `<~` a message of its stream, `**` the fault and what became of the operation that it struck.
"""

ORACLES_HEAD = """# Oracles

*Generated from the code by `docs/generate.py`.*

An oracle checks one property of a finished history, in one pass. `pass` means that it judged something and found
nothing wrong; `unknown` says why it cannot tell, and never counts as pass. The *checks* are the numbers of the
catalogue of checkers that each covers.

Each entry ends with what the oracle says of a client that has such a bug, one of [those](mutants.md) that show that it
can fail, and with what was on the wire: `->` is towards the venue, `<-` its answer, `<~` a message of its stream, `**`
a fault.
"""


def fields_of(kind: type[Any], base: type[Any] | None) -> list[tuple[str, str]]:
    """Key and default of each field that ``kind`` adds to ``base``."""
    hints = get_type_hints(kind, include_extras=True)
    known = {field.name for field in dataclasses.fields(base)} if base is not None else set()
    rows = []
    for field in dataclasses.fields(kind):
        if field.name in known:
            continue
        unit = next((f" ({unit.name})" for unit in units_in(hints[field.name])), "")
        shown = "required" if field.default is dataclasses.MISSING else repr(field.default)
        rows.append((key_of(field.name, hints[field.name]), f"{shown}{unit if field.default is not None else ''}"))
    return rows


def described(name: str, kind: type[Any], base: type[Any] | None, note: str) -> str:
    """One entry: the docstring, and a table of its own keys."""
    prose = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", inspect.getdoc(kind) or "").replace("``", "`")
    text = f"## {name}\n\n{note}\n\n{prose}\n"
    rows = fields_of(kind, base)
    if rows:
        text += "\n| key | default |\n|---|---|\n" + "".join(f"| `{key}` | `{shown}` |\n" for key, shown in rows)
    return text


def faults() -> str:
    """The catalogue of faults."""
    parts = [FAULTS_HEAD]
    for name, kind in FAULTS.items():
        planes = ", ".join(sorted(kind.planes or {kind.plane}))
        parts.append(described(name, kind, Fault, f"*{kind.shape}, {planes} plane*") + "\n" + traces.trace(name))
    return "\n".join(parts)


def oracles() -> str:
    """The catalogue of oracles."""
    parts = [ORACLES_HEAD]
    for name, kind in ORACLES.items():
        entry = described(name, kind, None, f"*checks {' '.join(kind.checks)}*")
        parts.append(entry + oracle_traces.trace(name))
    groups = "".join(
        f"* `{name}`: {', '.join(f'`{member}`' for member in members)}\n" for name, members in GROUPS.items()
    )
    parts.append(f"## Groups\n\n{groups}")
    return "\n".join(parts)


def reference() -> str:
    """The reference of scenario files."""
    return scenario_reference.page(schema())


PAGES = {
    "faults.md": faults,
    "oracles.md": oracles,
    "scenario-reference.md": reference,
    "mutants.md": mutants_table.page,
}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (HERE / file).write_text(page())
