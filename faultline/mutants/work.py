"""Tries one mutant: with its bug, without it, and with its bug where nothing strikes.

The client as it is runs twice where the mutant met other faults than it did: under the scenario's rules, and under
exactly the schedule that the mutant met. It has to pass both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import cache, lru_cache

from faultline.byhand import Block
from faultline.errors import FaultlineError
from faultline.faults.base import Fault
from faultline.faults.deciders import Scheduled
from faultline.history.event import Struck
from faultline.mutants.model import Driven, Mutant, Trial, Tried
from faultline.mutants.table import Table, load_table
from faultline.oracles.base import Verdict
from faultline.plan import Plan
from faultline.runner import Run, judge, run
from faultline.session import Session

Verdicts = Sequence[Verdict]
FAULT_FREE_SEED = 0
_table = cache(load_table)


def try_mutant(path: str, id: str, seeds: Sequence[int], *, fault_free: bool = True) -> Tried:
    """What comes of mutant ``id`` of the table at ``path``, under each of ``seeds``.

    With ``fault_free`` it is also tried where nothing strikes. Raises UsageError for a witness that cannot be run.
    """
    table = _table(path)
    mutant = table.mutants[id]
    if mutant.witness is None:
        return Tried()
    # A client may print; stdout is for results.
    with redirect_stdout(sys.stderr):
        trials = tuple(_trial(table, mutant, seed) for seed in seeds)
        return Tried(trials, _failed_without(table, mutant) if fault_free else ())


def _trial(table: Table, mutant: Mutant, seed: int) -> Trial:
    if isinstance(mutant.witness, Driven):
        with mutant.planted():
            broken, faults, error = _driven(mutant.witness, seed)
        whole, _, own_error = _driven(mutant.witness, seed)
        return _told(mutant, seed, broken, [whole], faults, error or own_error)
    plan = _plan(table.path, mutant.witness or "")
    with mutant.planted():
        done = run(plan, seed)
    references = [_whole(table.path, mutant.witness or "", seed)]
    if done.schedule != references[0].schedule:
        references.append(run(plan, seed, Scheduled(done.schedule, seed)))
    errors = [str(each.error) for each in (done, *references) if each.error is not None]
    told = [each.verdicts for each in references]
    return _told(mutant, seed, done.verdicts, told, len(done.receipts), next(iter(errors), ""))


def _told(
    mutant: Mutant, seed: int, broken: Verdicts, references: Sequence[Verdicts], faults: int, error: str
) -> Trial:
    passed = [{each.oracle for each in verdicts if each.verdict == "pass"} for verdicts in references]
    refuted = {each.oracle for verdicts in references for each in verdicts if each.verdict == "fail"}
    failed = [each for each in broken if each.verdict == "fail"]
    # The finding that matters is the one that was expected.
    failed.sort(key=lambda each: each.oracle not in mutant.expected)
    return Trial(
        seed,
        asked=tuple(each.oracle for each in broken) or tuple(each.oracle for each in references[0]),
        failed=tuple(each.oracle for each in failed),
        passed=tuple(sorted(set.intersection(*passed))),
        refuted=tuple(sorted(refuted)),
        faults=faults,
        finding=failed[0].why if failed else "",
        error=error,
    )


def _driven(witness: Driven, seed: int, make: Callable[[int], Session] = Session) -> tuple[Verdicts, int, str]:
    """The verdicts of a drive, how many faults struck, and what broke it. Giving up by an exception is no breaking."""
    session = make(seed)
    error = ""
    try:
        session.run(lambda: witness.drive(session))
    except FaultlineError as broke:
        error = str(broke)
    return judge(session.history, witness.oracles), len(session.history.of(Struck)), error


class _Quiet(Session):
    """A session in which nothing strikes."""

    def inject(self, *faults: Fault) -> Block[None]:
        return Block(nullcontext)


def _failed_without(table: Table, mutant: Mutant) -> tuple[str, ...]:
    with mutant.planted():
        told: list[Verdict] = []
        if isinstance(mutant.witness, Driven):
            told += _driven(mutant.witness, FAULT_FREE_SEED, _Quiet)[0]
        if table.fault_free:
            told += run(_plan(table.path, table.fault_free), FAULT_FREE_SEED).verdicts
    return tuple(dict.fromkeys(verdict.oracle for verdict in told if verdict.verdict == "fail"))


@cache
def _plan(path: str, file: str) -> Plan:
    return _table(path).plan(file)


@lru_cache(maxsize=64)
def _whole(path: str, file: str, seed: int) -> Run:
    return run(_plan(path, file), seed)
