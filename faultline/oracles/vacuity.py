"""The vacuity rule: a check that could not have failed has not passed.

One run in which nothing struck says little and is ``unknown``. A whole scenario in which a fault never fired, or an
oracle never had anything to judge, is inconclusive: :func:`inconclusive` says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from faultline.history import History
from faultline.history.event import Struck
from faultline.oracles.base import Verdict, plural, verdict


class Evidence(msgspec.Struct, frozen=True):
    """All that the vacuity rule needs of one run: the faults that fired, and each oracle's verdict."""

    seed: int
    fired: frozenset[str]
    verdicts: tuple[Verdict, ...] = ()

    @classmethod
    def of(cls, history: History, verdicts: Iterable[Verdict], *, seed: int = 0) -> Evidence:
        """The evidence of a judged run. It keeps no history alive."""
        return cls(seed, fired(history), tuple(verdicts))


def fired(history: History) -> frozenset[str]:
    """The faults that struck, each by its name in the plan (``lost_response#2``) and by its kind."""
    names = {event.fault for event in history.of(Struck)}
    return frozenset(names | {name.partition("#")[0] for name in names})


def inconclusive(faults: Sequence[str], oracles: Sequence[str], runs: Iterable[Evidence]) -> tuple[str, ...]:
    """Why the runs of one scenario prove nothing, if so: one sentence per fault or oracle, none when they do.

    ``faults`` are the declared ones, by kind or by name in the plan; ``oracles`` the expected ones. A fault must
    have fired in some run, an oracle must have come to a verdict in some run, and where it had something to judge
    it must have come to one in every run.
    """
    seen: set[str] = set()
    decided: set[str] = set()
    idle: dict[str, str] = {}
    doubtful: dict[str, list[tuple[int, str]]] = {}
    count = 0
    for run in runs:
        count += 1
        seen |= run.fired
        for each in run.verdicts:
            if each.verdict != "unknown":
                decided.add(each.oracle)
            elif each.judged:
                doubtful.setdefault(each.oracle, []).append((run.seed, each.why))
            else:
                idle.setdefault(each.oracle, each.why)
    over = f"in {plural(count, 'run')}" if count != 1 else "in the one run"
    reasons = [f"fault {name} never fired {over}" for name in dict.fromkeys(faults) if name not in seen]
    for name in dict.fromkeys(oracles):
        if name in doubtful:
            seed, why = doubtful[name][0]
            reasons.append(
                f"{name} could not tell {over.replace('in ', f'in {len(doubtful[name])} of ', 1)} (seed {seed}: {why})"
            )
        elif name not in decided:
            reasons.append(f"{name} judged nothing {over}: {idle.get(name, 'it was never asked')}")
    return tuple(reasons)


@dataclass(frozen=True)
class NotVacuous:
    """In this run something struck; with ``faults``, each of them did. Never fails: what did not happen once may
    happen with another seed, so it is for :func:`inconclusive` to judge the scenario."""

    name: ClassVar[str] = "not_vacuous"
    checks: ClassVar[tuple[str, ...]] = ("V",)

    faults: tuple[str, ...] = ()

    def judge(self, history: History) -> Verdict:
        """Unknown when nothing struck, or when a fault of ``faults`` did not."""
        struck = len(history.of(Struck))
        missing = [name for name in self.faults if name not in fired(history)] if self.faults else []
        return verdict(
            self.name,
            struck,
            (),
            unknown=f"never fired in this run: {', '.join(missing)}" if missing else "",
            summary=f"{plural(struck, 'strike')}",
            nothing="no fault struck in this run",
        )
