"""What each oracle says of a client with a bug: its finding, and the lines of the wire that led to it.

The clients are those of the kill matrix, so that every entry shows a real failure and not an invented one.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from faultline.history import History
from faultline.mutants import Driven, Mutant, Table, load_table
from faultline.oracles.base import Finding
from faultline.reports.wire import wire
from faultline.runner import judge, run
from faultline.session import Session

MUTANTS: Final = Path(__file__).parent.parent / "targets" / "mutants"
SEED: Final = 0
LINES_MAX: Final = 8
AFTER_S: Final = 0.001
TIME: Final = re.compile(r"\s*([\d.]+) s")


@cache
def table() -> Table:
    """The mutants of the reference client."""
    return load_table(MUTANTS)


def seen_by(oracle: str) -> Mutant | None:
    """The first mutant that this oracle is expected to see and does."""
    known = table()
    mutants = (each for each in known.mutants.values() if oracle in each.expected)
    return next((each for each in mutants if oracle in known.recorded.get(each.id, ())), None)


def failing(mutant: Mutant, oracle: str) -> tuple[History, Finding]:
    """A run of ``mutant`` that ``oracle`` fails, and its first finding."""
    with mutant.planted():
        if isinstance(mutant.witness, Driven):
            session = Session(SEED)
            witness = mutant.witness
            session.run(lambda: witness.drive(session))
            history, verdicts = session.history, judge(session.history, witness.oracles)
        else:
            done = run(table().plan(mutant.witness or ""), SEED)
            history, verdicts = done.history, done.verdicts
    verdict = next(each for each in verdicts if each.oracle == oracle)
    return history, verdict.findings[0]


def trace(oracle: str) -> str:
    """The end of an oracle's entry; empty for one that no mutant is for."""
    mutant = seen_by(oracle)
    if mutant is None:
        return ""
    history, finding = failing(mutant, oracle)
    lines = [line for line in wire(history).splitlines() if _time(line) <= finding.t + AFTER_S]
    about = [line for line in lines if _concerns(line, finding.intent)] if finding.intent else lines
    body = "\n".join(line.rstrip() for line in about[-LINES_MAX:])
    shown = f"\n```text\n{body}\n```\n" if body else ""
    return f"\nOf a client with this bug ({mutant.id}: {mutant.about}) it says:\n\n> {_plain(finding.what)}\n{shown}"


def _time(line: str) -> float:
    found = TIME.match(line)
    return float(found[1]) if found else 0.0


def _concerns(line: str, intent: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(intent)}(?!\w)", line) is not None


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")
