"""The client's processes: booted, crashed, restarted and stopped; asked again, and never believed once dead."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from faultline.errors import TargetError
from faultline.faults import Crash, LateResponse, LostRequest, Restart, StoreError
from faultline.history.event import Answer, Belief, Boot, Crashed, Intent, Phase, Received, Resolved, Stuck, Trouble
from faultline.plan import Plan
from faultline.runner import Run, run
from faultline.targets import TargetRef
from faultline.worlds.sim.loop import MONOTONIC_START_S

from .playing import CLIENTS, TINY, kinds, planned

DONE = {"I1": "ok", "I2": "ok", "I3": "ok"}


def broken(name: str, *faults: Any, **more: Any) -> Plan:
    return planned(f"broken.py:{name}", *faults, **more)


def answers(played: Run) -> dict[str, str]:
    return {event.intent: event.outcome for event in played.history.of(Answer)}


def lives(played: Run) -> list[tuple[str, int]]:
    """Boots and ends, in order."""
    return [
        ("boot" if isinstance(event, Boot) else event.how, event.incarnation) for event in kinds(played, Boot, Crashed)
    ]


def stuck(played: Run) -> list[str]:
    return [event.task for event in played.history.of(Stuck)]


def troubles(played: Run) -> list[str]:
    return [event.detail for event in played.history.of(Trouble)]


def module_of(name: str) -> Any:
    """The module from which this target was loaded, with what it recorded."""
    return sys.modules[TargetRef("it", f"{CLIENTS}/broken.py:{name}").load().__module__]


# Crashes


def test_a_client_that_nothing_strikes_answers_everything() -> None:
    played = run(planned(), 1)
    assert played.error is None
    assert answers(played) == DONE
    assert lives(played) == [("boot", 1)]
    assert stuck(played) == troubles(played) == []


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_crash_while_starting_boots_the_next_process(phase: Any) -> None:
    played = run(planned(TINY, Crash(on="POST /auth/token", nth=1, phase=phase, down_s=2.0)), 1)
    assert played.error is None
    assert lives(played) == [("boot", 1), ("fin", 1), ("boot", 2)]
    assert played.history.of(Boot)[1].t == pytest.approx(played.history.of(Crashed)[0].t + 2.0, abs=0.001)
    assert answers(played) == DONE
    assert {event.incarnation for event in played.history.of(Answer)} == {2}


@pytest.mark.parametrize("nth", range(1, 3))
def test_a_crash_in_the_constructor_boots_the_next_process(nth: int) -> None:
    # The first statement is the CREATE TABLE of the constructor.
    played = run(planned(TINY, Crash(on="store", phase="before", nth=nth)), 1)
    assert played.error is None
    assert lives(played) == [("boot", 1), ("fin", 1), ("boot", 2)]
    assert answers(played) == DONE


def test_what_a_dead_process_raises_in_its_constructor_is_not_heard() -> None:
    played = run(broken("RaisesWhenBuilt", Crash(on="store", phase="before", nth=1)), 1)
    assert lives(played)[:4] == [("boot", 1), ("fin", 1), ("boot", 2), ("exit", 2)]
    assert "cannot open <store#2>" in troubles(played)[0], "the second process says so itself, and is heard"


@pytest.mark.parametrize("phase", ["before", "after"])
def test_an_intent_that_its_process_did_not_live_to_answer_is_asked_again(phase: Any) -> None:
    played = run(planned(TINY, Crash(on="POST /orders", nth=1, phase=phase)), 1)
    assert played.error is None
    assert answers(played) == DONE
    assert [event.id for event in played.history.of(Intent)] == ["I1", "I2", "I3"], "asked again, not wanted again"
    first = next(event for event in played.history.of(Answer) if event.intent == "I1")
    assert first.incarnation == 2
    arrived = [event.key for event in played.history.of(Received) if event.endpoint == "POST /orders"]
    assert arrived.count("I1") == 2, "under the same id"


def test_an_answered_intent_is_not_asked_again() -> None:
    played = run(planned(TINY, Crash(at_s=0.7)), 1)
    arrived = [event.key for event in played.history.of(Received) if event.endpoint == "POST /orders"]
    assert arrived == ["I1", "I2", "I3"]


def test_what_a_process_does_after_its_death_is_never_looked_at() -> None:
    # The second statement of the store is the note of the first intent; the client answers in the same step.
    played = run(broken("AnswersInTheVoid", Crash(on="store", phase="after", nth=2)), 1)
    assert played.error is None
    assert lives(played) == [("boot", 1), ("fin", 1), ("boot", 2)]
    assert {event.incarnation for event in played.history.of(Answer)} == {2}
    crashed_t = played.history.of(Crashed)[0].t
    booted_t = played.history.of(Boot)[1].t
    assert not [event for event in played.history.of(Received) if crashed_t < event.t < booted_t], "it sent nothing"


def test_no_finally_of_a_dead_process_runs_before_judgement() -> None:
    module = module_of("WritesInFinally")
    module.FINALLY.clear()
    played = run(broken("WritesInFinally", Crash(on="POST /orders", nth=2)), 1)
    assert played.error is None
    assert lives(played) == [("boot", 1), ("fin", 1), ("boot", 2)]
    over = [t - MONOTONIC_START_S for t in module.FINALLY]
    assert len([t for t in over if t < played.virtual_s - 0.1]) == 3, "three answers of living processes"
    assert len([t for t in over if t >= played.virtual_s - 0.1]) == 1, "the dead one's, when all was judged"


def test_a_crash_of_a_process_that_is_down_is_not_applied() -> None:
    played = run(planned(TINY, Crash(at_s=0.7, down_s=1.0), Crash(at_s=1.0)), 1)
    effects = {event.fault: effect for event, effect in receipts(played)}
    assert effects == {"crash": "applied", "crash#2": "not_applied"}
    assert lives(played) == [("boot", 1), ("fin", 1), ("boot", 2)]


def receipts(played: Run) -> list[tuple[Any, str]]:
    effect = {event.receipt: event.effect for event in played.history.of(Resolved)}
    return [(event, effect[event.receipt]) for event in played.receipts]


def test_many_crashes_in_a_row_are_survived() -> None:
    played = run(planned(TINY, Crash(every_s=0.4, during_s=(0.0, 6.0), down_s=0.1), orders=8), 1)
    assert played.error is None
    assert lives(played).count(("fin", 3)) == 1
    assert set(answers(played).values()) == {"ok"}
    assert len(answers(played)) == 8


def test_a_crash_at_the_store_leaves_the_next_boot_to_the_living() -> None:
    """Whatever follows from a fault that struck inside the client's step must not be fenced with it."""
    faults = (
        Crash(on="store", phase="before", nth=3, down_s=0.2),
        Restart(on="store", phase="after", nth=7, down_s=0.2),
        Crash(on="store", phase="after", nth=9, down_s=0.2),
        Crash(at_s=0.5, after="crash", down_s=0.2),
    )
    played = run(planned(TINY, *faults, orders=6), 1)
    assert played.error is None
    assert [how for how, _ in lives(played) if how != "boot"].count("fin") >= 2
    assert lives(played)[-1][0] == "boot"
    assert set(answers(played)) == {f"I{number}" for number in range(1, 7)}


# Restarts and stops


def test_a_restart_stops_the_client_the_orderly_way() -> None:
    played = run(planned(TINY, Restart(at_s=0.7, down_s=1.0)), 1)
    assert played.error is None
    assert lives(played) == [("boot", 1), ("stop", 1), ("boot", 2)]
    assert answers(played) == DONE
    assert stuck(played) == troubles(played) == []


def test_an_intent_in_work_at_a_restart_is_asked_again() -> None:
    played = run(planned(TINY, LateResponse(on="POST /orders", nth=1, by_s=0.9), Restart(at_s=0.3)), 1)
    assert played.error is None
    assert answers(played) == DONE
    assert next(event for event in played.history.of(Answer) if event.intent == "I1").incarnation == 2


def test_what_a_stop_leaves_running_is_told_and_ends_with_its_process() -> None:
    module = module_of("TicksOn")
    module.TICKS.clear()
    played = run(broken("TicksOn", Restart(at_s=3.0), linger_s=10.0), 1)
    assert played.error is None
    assert [task.partition(" at ")[0] for task in stuck(played)] == ["TicksOn.tick", "TicksOn.tick"]
    by_process: dict[int, list[float]] = {}
    for t, process in module.TICKS:
        by_process.setdefault(process, []).append(t - MONOTONIC_START_S)
    first, second = by_process.values()
    assert max(first) < 3.5, "the first process does not go on beside the second"
    assert max(second) > 5


def test_a_stop_that_hangs_is_stuck() -> None:
    assert stuck(run(broken("StopHangs"), 1)) == ["stop()"]


def test_a_restart_whose_stop_hangs_goes_on() -> None:
    played = run(broken("StopHangs", Restart(at_s=0.7)), 1)
    assert played.error is None
    assert lives(played) == [("boot", 1), ("stop", 1), ("boot", 2)]
    assert stuck(played) == ["stop()", "stop()"]
    assert answers(played) == DONE


def test_a_stop_that_raises_is_trouble() -> None:
    assert troubles(run(broken("StopRaises"), 1)) == ["stop(): RuntimeError: could not stop"]


def test_a_task_that_outlives_stop_is_stuck() -> None:
    (task,) = stuck(run(broken("LeavesTask"), 1))
    assert task.startswith("LeavesTask.linger at broken.py:")


def test_tasks_that_end_a_turn_after_stop_are_not_stuck() -> None:
    assert stuck(run(broken("EndsTasksInItsOwnTime"), 1)) == []


# Starts


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("RaisesInStart", "does not start: RuntimeError: no key"),
        ("RaisesWhenBuilt", "does not start: RuntimeError: cannot open <store#1>"),
        ("CancelledInStart", "does not start: CancelledError: my own"),
        ("StartsWithoutAwait", "start() is not async"),
    ],
)
def test_a_target_that_does_not_start_is_broken(client: str, said: str) -> None:
    played = run(broken(client), 1)
    assert isinstance(played.error, TargetError)
    assert played.error.exit_code == 3
    assert said in str(played.error)
    assert client in str(played.error)
    assert [event.name for event in played.history.of(Phase)] == ["load"], "a broken run has no further phases"


def test_a_start_that_a_fault_has_struck_down_is_tried_again() -> None:
    played = run(broken("Impatient", LostRequest(on="POST /auth/token", nth=1, how="fin")), 1)
    assert played.error is None
    assert lives(played) == [("boot", 1), ("exit", 1), ("boot", 2)]
    assert troubles(played) == ["start(): ServerDisconnectedError: Server disconnected"]
    assert answers(played) == DONE


def test_a_process_that_does_not_come_back_after_a_crash_is_started_again() -> None:
    played = run(broken("StartsAtTheThirdTry", Crash(at_s=0.7)), 1)
    assert played.error is None
    assert lives(played) == [("boot", 1), ("fin", 1), ("boot", 2), ("exit", 2), ("boot", 3)]
    assert answers(played) == DONE


def test_a_start_that_never_returns_is_stuck() -> None:
    played = run(broken("NeverStarts"), 1)
    assert played.error is None
    assert stuck(played) == ["intent I1", "intent I2", "intent I3", "start()"]
    assert answers(played) == {}


# Answers and beliefs


def test_a_wrong_word_is_the_targets_fault() -> None:
    played = run(broken("WrongWord"), 1)
    assert isinstance(played.error, TargetError)
    assert "'done'; it must be one of accepted" in str(played.error)


def test_a_method_that_is_not_async_is_the_targets_fault() -> None:
    played = run(broken("AnswersWithoutAwait"), 1)
    assert isinstance(played.error, TargetError)
    assert "AnswersWithoutAwait.place() is not async" in str(played.error)


def test_a_snapshot_of_the_wrong_shape_is_the_targets_fault() -> None:
    played = run(broken("WrongShape"), 1)
    assert isinstance(played.error, TargetError)
    assert "WrongShape.snapshot(): orders" in str(played.error)


def test_a_target_that_ends_the_process_is_broken() -> None:
    played = run(broken("Exits"), 1)
    assert isinstance(played.error, TargetError)
    assert "SystemExit: out of money" in str(played.error)


@pytest.mark.parametrize("client", ["Raises", "CancelsItself"])
def test_an_exception_is_an_answer_that_nobody_can_rely_on(client: str) -> None:
    played = run(broken(client), 1)
    assert played.error is None
    assert answers(played) == dict.fromkeys(DONE, "info")


def test_what_an_exception_says_holds_no_secret_and_no_address() -> None:
    (detail, *_) = [event.detail for event in run(broken("Raises"), 1).history.of(Answer)]
    assert detail == "ValueError: <target_broken.Raises object> has no Bearer <token#1>"


def test_an_intent_that_is_never_answered_is_stuck() -> None:
    played = run(broken("NeverAnswers"), 1)
    assert stuck(played) == ["intent I1", "intent I2", "intent I3"], "and the caller that gives up leaves no task"


def test_beliefs_are_read_after_each_answer_and_at_the_end() -> None:
    beliefs = run(planned(), 1).history.of(Belief)
    assert [[order.intent for order in belief.orders] for belief in beliefs][:3] == [["I1"], ["I2"], ["I3"]]
    assert [belief.final for belief in beliefs] == [False] * (len(beliefs) - 1) + [True]


# Trouble


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("BackgroundError", "Task exception was never retrieved: LookupError: lost in the background"),
        ("BackgroundErrorKept", "BackgroundError.fail: LookupError: lost in the background"),
        ("CallbackError", "Exception in callback CallbackError.fail(): LookupError: lost in a callback"),
    ],
)
def test_an_exception_that_nobody_handles_is_trouble(client: str, said: str) -> None:
    played = run(broken(client), 1)
    assert played.error is None
    assert troubles(played) == [said]
    assert played.history.of(Trouble)[0].incarnation == 1


def test_a_busy_store_is_no_trouble_of_the_clients_making() -> None:
    played = run(planned(TINY, StoreError(nth=3)), 1)
    assert played.error is None
    assert troubles(played) == []
    assert "info" in answers(played).values()


def test_the_driver_leaves_no_task_of_its_own() -> None:
    run(planned(TINY, Crash(at_s=0.7)), 1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
