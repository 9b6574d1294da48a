"""Plan -> Run: the whole path of one run, on one screen.

``world { client <-> faults <-> venue } -> history -> verdicts``. The phases are those of the history: load, the last
fault over, a tail without faults, quiescence (nothing in flight, nothing outstanding), judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from faultline.errors import FaultlineError, HarnessError, SimEscape, SimHang, TargetError
from faultline.faults.deciders import Decider, Rules
from faultline.faults.injector import Injector
from faultline.faults.schedule import Schedule
from faultline.history import History
from faultline.history.attribution import Attribution
from faultline.history.event import Contracted, Phase, PhaseName, Struck, Trouble
from faultline.inline import Claims, recording
from faultline.oracles.base import Oracle, Verdict
from faultline.oracles.claims import claim_verdicts
from faultline.plan import Plan
from faultline.shared import Shared
from faultline.stage import Stage

E = TypeVar("E", bound=BaseException)

TAIL_MIN_S: Final = 10.0
"""The least tail: long enough for a client that polls every few seconds to notice what it missed."""


@dataclass(frozen=True, slots=True)
class Run:
    """What came out of one run. ``schedule`` is what the decider made happen; replaying it repeats the run.

    ``error`` is set when the harness or the target broke; then the verdicts are empty. ``virtual_s`` is how long
    the run took by the world's clock.
    """

    plan: Plan
    seed: int
    history: History
    schedule: Schedule
    verdicts: tuple[Verdict, ...]
    virtual_s: float
    error: FaultlineError | SimHang | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the oracles that failed."""
        return tuple(verdict.oracle for verdict in self.verdicts if verdict.verdict == "fail")

    @property
    def receipts(self) -> list[Struck]:
        """Every fault that fired."""
        return self.history.of(Struck)


def run(plan: Plan, seed: int, decider: Decider | None = None, *, path: Path | None = None) -> Run:
    """Run ``plan`` once. ``decider`` defaults to the scenario's rules under ``seed``; ``path`` streams the history."""
    decider = decider if decider is not None else Rules(plan.faults, seed)
    world = plan.make_world(seed)
    history = History(path=path)
    injector = Injector(decider, history, world.now_s, world.context().wall_s)
    shared = Shared(world, history, injector, Attribution(plan.scenario.policy))
    error: FaultlineError | SimHang | None = None
    end_s: list[float] = []
    ours: list[HarnessError] = []

    def ended() -> None:
        if not end_s:
            end_s.append(world.now_s())
            ours.extend(filter(None, [shared.hear()]))
            history.seal(world.digest())

    try:
        with recording(Claims(history, world.now_s, shared.void)):
            error = world.run(lambda: _run(plan, seed, shared, decider), ended)
    except (FaultlineError, SimHang) as broke:
        error = broke
    except SystemExit as left:
        error = _because(TargetError(f"{plan.target.spec} ended the process (SystemExit: {left})"), left)
    except Exception as broke:
        error = _because(HarnessError(f"faultline broke: {shared.plain(broke)}"), broke)
    finally:
        ended()
    error = _escaped(history) or error or next(iter(ours), None)
    schedule = Schedule.of(injector.struck, plan.faults)
    verdicts = () if error else judge(history, plan.scenario.expect)
    return Run(plan, seed, history, schedule, verdicts, end_s[0], error)


async def _run(plan: Plan, seed: int, shared: Shared, decider: Decider) -> FaultlineError | None:
    scenario, profile = plan.scenario, plan.profile
    world, history, injector = shared.world, shared.history, shared.injector
    contract = profile.contract(scenario.venue.settings, scenario.policy)
    history.append(Contracted(0.0, contract, seed, scenario.name, plan.target.spec, world.name))
    venue = profile.build(
        scenario.venue.settings, world.context(), history, shared.attribution, injector, shared.aliases
    )
    stage = await Stage.set_up(plan, shared, venue, decider)
    driver = stage.driver

    def enter(phase: PhaseName) -> None:
        history.append(Phase(world.now_s(), phase))
        injector.mark(phase)

    enter("load")
    injector.armed = True
    driver.boot()
    observing = driver.keep_observing()
    await stage.load()
    injector.armed = False
    if driver.failure:
        return driver.failure
    enter("faults_over")
    enter("tail")
    await stage.quiesce(TAIL_MIN_S, scenario.workload.tail_s)
    if driver.failure:
        return driver.failure
    enter("quiescence")
    observing.cancel()
    driver.observe(final=True)
    enter("judgement")
    await driver.finish()
    return driver.failure


def judge(history: History, oracles: Sequence[Oracle]) -> tuple[Verdict, ...]:
    """Each oracle's verdict on a sealed history, then those on what code claimed of itself.

    An oracle that breaks is ``unknown`` and says so.
    """
    verdicts: list[Verdict] = []
    for oracle in oracles:
        try:
            verdicts.append(oracle.judge(history))
        except Exception as error:
            broke = f"the oracle itself broke: {type(error).__name__}: {error}"
            verdicts.append(Verdict(oracle.name, "unknown", 0, broke))
    return (*verdicts, *claim_verdicts(history))


def _because(error: E, cause: BaseException) -> E:
    error.__cause__ = cause
    return error


def _escaped(history: History) -> SimEscape | None:
    # Client code may have swallowed the exception; a run that reached for the real world proves nothing.
    escape = next((event for event in history.of(Trouble) if event.what == "escape"), None)
    return SimEscape(escape.detail) if escape is not None else None
