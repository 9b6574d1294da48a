"""One night: first everything that ever failed, then rounds of fresh seeds until the time is over.

A night ends at its deadline, at SIGTERM or at Ctrl-C, each time after the run in progress and with a report of what
there is. What was learnt is saved after each round, so that a night that is killed has lost one round at the most.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Final

from faultline.campaign.conductor import conduct, workers_for
from faultline.campaign.model import Campaign, Case, CaseResult, Failure, RunRecord
from faultline.campaign.replay import replay
from faultline.campaign.work import explain
from faultline.errors import FaultlineError, UsageError
from faultline.nightly.memory import Memory, key_of
from faultline.nightly.share import digest_of, seeds_for, weight
from faultline.search.interruption import INTERRUPTION

ROUND_SHARE: Final = 0.2
"""A round takes about a fifth of what is left: what a case costs and whether it fails is known better in the next."""
ROUND_MIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a night may take, how many processes it may use, and where failures are saved."""

    budget_s: float
    jobs: int | None
    folder: Path


@dataclass(frozen=True, slots=True)
class Repeated:
    """A saved schedule of the case ``key`` that was repeated; ``why`` is the oracle that failed again, if one did."""

    path: str
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a night. ``fixed`` failed in the last one and no more; ``new`` the other way round."""

    campaign: Campaign
    new: tuple[str, ...]
    fixed: tuple[str, ...]
    still: tuple[str, ...]
    replayed: tuple[Repeated, ...]
    rounds: int
    ended_by: str


@dataclass(slots=True)
class _Tally:
    """One case over all rounds."""

    case: Case
    digest: str
    results: list[CaseResult] = field(default_factory=list)

    @property
    def run_s(self) -> float:
        """What a run took in this night; 0 before the first."""
        runs = [run.wall_s for result in self.results for run in result.runs]
        return sum(runs) / len(runs) if runs else 0.0

    def whole(self) -> CaseResult:
        """All rounds as one result, with the first failure of each kind."""
        runs = tuple(run for result in self.results for run in result.runs)
        failures: dict[str, Failure] = {}
        for result in self.results:
            for failure in result.failures:
                failures.setdefault(failure.oracle, failure)
        lost = tuple(error for result in self.results for error in result.lost)
        case = replace(self.case, seeds=tuple(run.seed for run in runs))
        return CaseResult(case, runs, tuple(failures.values()), lost)


class _Deadline:
    """A watcher that asks for the end when the time is over."""

    def __init__(self, night: Night, inner: Callable[[Case, Sequence[RunRecord]], None]) -> None:
        self._night = night
        self._inner = inner

    def ran(self, case: Case, records: Sequence[RunRecord]) -> None:
        self._inner(case, records)
        if self._night.over():
            INTERRUPTION.asked = True

    def explaining(self, case: Case, seed: int) -> None:
        """Explaining is part of the report, whatever the time."""

    def finished(self, result: CaseResult) -> None:
        """Told at the end of the night."""


class Night:
    """One night over ``cases``. ``clock_s`` measures the budget; ``wall_s`` dates the end."""

    def __init__(
        self,
        cases: Sequence[Case],
        memory: Memory,
        terms: Terms,
        *,
        ran: Callable[[Case, Sequence[RunRecord]], None] = lambda case, records: None,
        clock_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._terms = terms
        self._clock_s = clock_s
        self._wall_s = wall_s
        self._began_s = clock_s()
        self._watcher = _Deadline(self, ran)
        self._tallies = {key_of(case): _Tally(case, digest_of(case)) for case in cases}
        self._failing_before = {key: list(memory.of(tally.case).failing) for key, tally in self._tallies.items()}
        self._terminated = False
        self._replayed: list[Repeated] = []
        self._wall_began_s = time.perf_counter()

    @property
    def left_s(self) -> float:
        """What is left of the budget."""
        return self._terms.budget_s - (self._clock_s() - self._began_s)

    def over(self) -> bool:
        """Whether the night has to end."""
        return self._terminated or self.left_s <= 0

    def run(self) -> Outcome:
        """The whole night."""
        rounds, interrupted = 0, False
        with self._terminable():
            try:
                self._replay()
                interrupted = self._round(self._known_seeds())
                while not interrupted and not self.over():
                    rounds += 1
                    interrupted = self._round(self._fresh_seeds())
                if not interrupted and not self._terminated:
                    # The deadline has asked for the end; what it asked for is done.
                    INTERRUPTION.asked = False
                    self._explain_rest()
            except KeyboardInterrupt:
                interrupted = True
            finally:
                INTERRUPTION.asked = False
        return self._outcome(rounds, interrupted)

    @contextmanager
    def _terminable(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            self._terminated = True
            INTERRUPTION.asked = True

        previous = signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)

    # What is run

    def _replay(self) -> None:
        """Repeat every schedule that was ever saved of these cases, as long as it can be repeated."""
        for key, tally in self._tallies.items():
            known = self._memory.of(tally.case)
            for path in list(known.schedules):
                if self.over():
                    return
                try:
                    done = replay(Path(path))
                except (UsageError, OSError):
                    # The scenario has gone or was changed beyond recognition; its seed is still tried.
                    known.schedules.remove(path)
                except FaultlineError as error:
                    self._replayed.append(Repeated(path, key, f"broke: {error}"))
                else:
                    failed = done.case.unexpected(done.record.failed)
                    why = next(iter(failed), "broke" if done.record.error else "")
                    self._replayed.append(Repeated(path, key, why))

    def _known_seeds(self) -> dict[str, tuple[int, ...]]:
        return {key: tuple(self._memory.of(tally.case).failed) for key, tally in self._tallies.items()}

    def _fresh_seeds(self) -> dict[str, tuple[int, ...]]:
        tallies = list(self._tallies.values())
        known = [self._memory.of(tally.case) for tally in tallies]
        weights = [weight(each, tally.digest) for each, tally in zip(known, tallies, strict=True)]
        costs_s = [tally.run_s or each.run_s for each, tally in zip(known, tallies, strict=True)]
        time_s = min(self.left_s, max(ROUND_MIN_S, self.left_s * ROUND_SHARE))
        jobs = self._terms.jobs or workers_for([replace(tally.case, seeds=tuple(range(99))) for tally in tallies])
        counts = seeds_for(weights, costs_s, time_s, jobs)
        chosen = {
            key: self._memory.fresh_seeds(tally.case, count)
            for (key, tally), count in zip(self._tallies.items(), counts, strict=True)
        }
        self._memory.save()
        return chosen

    def _round(self, seeds: Mapping[str, tuple[int, ...]]) -> bool:
        """Run these seeds; whether somebody pressed Ctrl-C."""
        cases = [replace(self._tallies[key].case, seeds=chosen) for key, chosen in seeds.items() if chosen]
        # What is risky comes first: the time may end within a round.
        cases.sort(key=lambda case: -weight(self._memory.of(case), self._tallies[key_of(case)].digest))
        if not cases or self.over():
            return False
        INTERRUPTION.asked = False
        done = conduct(cases, self._watcher, folder=self._terms.folder, jobs=self._terms.jobs)
        for result in done.results:
            tally = self._tallies[key_of(result.case)]
            tally.results.append(result)
            self._memory.learn(tally.whole(), len(result.runs), tally.digest)
        self._memory.save()
        return done.interrupted and not self.over()

    def _explain_rest(self) -> None:
        """Explain what failed in the round that the deadline cut short: a report without a reason helps nobody."""
        for tally in self._tallies.values():
            result = tally.whole()
            explained = {failure.oracle for failure in result.failures}
            oracle, seeds = next(iter(result.unexpected.items()), ("", ()))
            if not seeds or explained - {""}:
                continue
            record = next(run for run in result.runs if run.seed == seeds[0])
            failure = explain(result.case, record, oracle, self._terms.folder)
            tally.results[-1] = replace(tally.results[-1], failures=(*tally.results[-1].failures, failure))
            self._memory.learn(tally.whole(), 0, tally.digest)
        self._memory.save()

    # What came of it

    def _outcome(self, rounds: int, interrupted: bool) -> Outcome:
        results = tuple(tally.whole() for tally in self._tallies.values() if tally.results)
        ended = interrupted or self._terminated
        campaign = Campaign(results, len(self._tallies), ended, time.perf_counter() - self._wall_began_s)
        now = {key: self._memory.of(tally.case).failing for key, tally in self._tallies.items() if tally.results}
        after = {(key, name) for key, names in now.items() for name in names}
        after |= {(each.key, each.why) for each in self._replayed if each.why}
        # Of a case that was not run nothing is known that was not known before.
        seen = set(now) | {key for key, _ in after}
        before = {(key, name) for key in seen for name in self._failing_before[key]}
        if not ended:
            self._memory.finish(self._wall_s())
            self._memory.save()
        why = "Ctrl-C" if interrupted else "SIGTERM" if self._terminated else "its deadline"
        return Outcome(
            campaign,
            new=_shown(after - before),
            fixed=_shown(before - after),
            still=_shown(after & before),
            replayed=tuple(self._replayed),
            rounds=rounds,
            ended_by=why,
        )


def _shown(pairs: set[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{key}: {name}" for key, name in sorted(pairs))
