"""Replay is exact, and removing a fault moves no decision about anything else.

Both hold the whole path together: points that keep their identity, chance without a sequence, strikes by the clock at
absolute times. Shrinking is only worth something because of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from faultline.faults import DropMessage, DuplicateMessage, Fault, LostRequest, LostResponse, StatusStorm
from faultline.faults.codec import dumps, loads
from faultline.faults.deciders import Scheduled
from faultline.faults.points import Plane
from faultline.faults.schedule import Schedule, ScheduledStrike
from faultline.plan import Plan
from faultline.runner import Run, run
from faultline.search.repeat import first_difference

from .everything import plan_of_everything
from .playing import CAREFUL, NAIVE, planned

HANDSHAKES_S = 0.0021
"""A fault that is gone leaves its connection in the client's pool, so a later request may save a handshake (1 ms)."""

# Replay


@pytest.mark.parametrize("target", [CAREFUL, NAIVE], ids=["careful", "naive"])
@pytest.mark.parametrize("seed", range(8))
def test_replaying_a_recorded_schedule_gives_the_same_history(target: str, seed: int) -> None:
    plan = plan_of_everything(target)
    recorded = run(plan, seed)
    assert recorded.error is None
    assert len(recorded.schedule) > 10
    replayed = run(plan, seed, Scheduled(recorded.schedule, seed))
    assert first_difference(recorded.history, replayed.history) is None
    assert replayed.history.digest == recorded.history.digest
    assert replayed.schedule == recorded.schedule


def test_a_schedule_that_was_saved_and_read_back_replays_the_same() -> None:
    plan = plan_of_everything()
    recorded = run(plan, 1)
    read = loads(dumps(recorded.schedule)).schedule
    assert read == recorded.schedule
    assert run(plan, 1, Scheduled(read, 1)).history.digest == recorded.history.digest


def test_an_empty_schedule_is_a_run_without_faults() -> None:
    plan = plan_of_everything()
    assert run(plan, 1, Scheduled(Schedule(), 1)).receipts == []


# Independence


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients without jitter: their draws come from one sequence, which any retry moves for all that follow."""
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    monkeypatch.setattr(random, "random", lambda: 0.0)


def times(played: Run) -> dict[tuple[str, str, str, int, str, str], float]:
    """When each decision struck: by fault, point and action."""
    return {
        (event.fault, event.endpoint, event.entity, event.nth, event.phase, event.action): event.t
        for event in played.receipts
    }


def identity(entry: ScheduledStrike) -> tuple[str, str, str, int, str, str]:
    point = entry.point
    return entry.fault, point.endpoint, point.entity, point.nth, point.phase, repr(entry.action)


def intent_of(entry: ScheduledStrike) -> str:
    return entry.point.entity.partition("/")[0]


def strikes(schedule: Schedule) -> list[ScheduledStrike]:
    return [entry for entry in schedule.entries if isinstance(entry, ScheduledStrike)]


def moved_by(plan: Plan, seed: int, recorded: Run, removed: ScheduledStrike) -> Iterable[str]:
    """Decisions about other intents than that of ``removed`` which did not strike where and when they did."""
    rest = tuple(entry for entry in recorded.schedule.entries if entry is not removed)
    before, after = times(recorded), times(run(plan, seed, Scheduled(Schedule(rest), seed)))
    for other in strikes(recorded.schedule):
        # Reads without an entity are nobody's, and their points move; see docs on points.
        if intent_of(other) in (intent_of(removed), "-"):
            continue
        t = after.get(identity(other))
        if t is None:
            yield f"without {removed}: {other} is gone"
        elif abs(t - before[identity(other)]) > HANDSHAKES_S:
            yield f"without {removed}: {other} moved from {before[identity(other)]:.4f} to {t:.4f}"


RESPONSES: tuple[Fault, ...] = (LostResponse(on="POST /orders", probability=0.3),)
REQUESTS: tuple[Fault, ...] = (
    *RESPONSES,
    LostRequest(on="* /orders*", probability=0.1),
    StatusStorm(on="POST /orders", status=503, probability=0.15),
)
MESSAGES: tuple[Fault, ...] = (DropMessage(probability=0.1), DuplicateMessage(probability=0.1))


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("target", [CAREFUL, NAIVE], ids=["careful", "naive"])
@pytest.mark.parametrize("faults", [RESPONSES, REQUESTS, MESSAGES], ids=["responses", "requests", "messages"])
def test_removing_one_entry_moves_no_decision_about_another_intent(target: str, faults: tuple[Fault, ...]) -> None:
    plan = planned(target, *faults, orders=10, rate_per_s=20.0)
    removals = 0
    for seed in range(2):
        recorded = run(plan, seed)
        assert recorded.error is None
        for removed in strikes(recorded.schedule):
            assert removed.point.plane is Plane.MESSAGE
            assert list(moved_by(plan, seed, recorded, removed)) == []
            removals += 1
    assert removals > 3


@pytest.mark.usefixtures("steady")
def test_what_is_removed_is_really_gone_and_the_intent_of_its_own_may_change() -> None:
    plan = planned(NAIVE, *REQUESTS, orders=10, rate_per_s=20.0)
    recorded = run(plan, 1)
    removed = strikes(recorded.schedule)[0]
    rest = tuple(entry for entry in recorded.schedule.entries if entry is not removed)
    replayed = run(plan, 1, Scheduled(Schedule(rest), 1))
    assert identity(removed) not in times(replayed)
    assert replayed.history.digest != recorded.history.digest
