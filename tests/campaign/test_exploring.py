"""A search from end to end: what it finds, what it claims, and when it does not begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from faultline.campaign import exploring
from faultline.campaign.exploration import INTERRUPTED, Exploration, Level, clusters
from faultline.campaign.exploring import Terms, explore
from faultline.campaign.model import Broken, Case
from faultline.campaign.replay import replay
from faultline.errors import UsageError
from faultline.faults.actions import Delay
from faultline.faults.points import Plane, Point
from faultline.oracles.vacuity import Evidence
from faultline.plan import make_plan
from faultline.runner import run
from faultline.scenario.load import loads
from faultline.search.coverage import trace_of
from faultline.search.enumerate import KINDS, Candidate
from faultline.search.interruption import INTERRUPTION

SCENARIO = """
name: few orders
targets:
  careful: targets/order_flow.py:OrderFlow
  naive: targets/naive_flow.py:NaiveFlow
venue: {profile: generic, idempotency: unique_while_pending}
workload: {orders: ORDERS, rate: 20/s}
faults: [lost_response: {during: [0s, 20s]}]
expect: [no_duplicates, no_loss, reconciled, resolved_unknowns, fills_conserved]
"""

MakeCase = Callable[..., Case]


class Watcher:
    def __init__(self) -> None:
        self.runs: list[int] = []
        self.done = 0

    def planned(self, runs: int) -> None:
        self.runs.append(runs)

    def tried(self, runs: int) -> None:
        self.done += runs


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., Exploration]:
    """Searches a scenario against one of its targets; the watcher must have been told of every run."""

    def searched(
        target: str, *kinds: str, orders: int = 1, scenario: str = SCENARIO,
        limit: int | None = None, budget_s: float | None = None, pairs: bool = False,
    ) -> Exploration:  # fmt: skip
        path = tmp_path / "few.yaml"
        path.write_text(scenario.replace("ORDERS", str(orders)))
        (found,) = loads(path.read_text(), str(path))
        case, watcher = Case(found, found.target(target), (0,)), Watcher()
        terms = Terms(kinds or KINDS, pairs, limit, budget_s, jobs=1)
        done = explore(case, terms, watcher, tmp_path / "saved")
        if not done.stopped:
            assert watcher.done == sum(watcher.runs)
        return done

    return searched


def test_a_careful_client_passes_every_single_fault(search: Callable[..., Exploration]) -> None:
    found = search("careful")
    assert (found.status, found.clusters, found.doubts, found.idle) == ("pass", (), (), ())
    assert found.singles.whole
    assert found.singles.tried > 150
    assert found.new_points > 20
    fired = set().union(*(evidence.fired for evidence in found.evidence))
    assert fired == set(KINDS)
    assert found.claim == (
        f"All {found.singles.tried} single faults of 18 kinds over {found.points} points of workload 'few orders' on "
        f"venue generic at seed 0: none fails; judged by {', '.join(found.judging)}."
    )


def test_one_lost_response_is_all_it_takes_to_make_a_naive_client_buy_twice(
    search: Callable[..., Exploration], tmp_path: Path
) -> None:
    found = search("naive", "lost_response", orders=2)
    assert found.status == "fail"
    (cluster,) = found.clusters
    assert (cluster.oracle, cluster.where, cluster.count) == ("no_duplicates", ("POST /orders lost_response",), 4)
    assert "4 runs of these failed" in found.claim
    failure = cluster.failure
    assert failure is not None
    assert (failure.faults_left, failure.minimal) == (1, True)
    assert (failure.intents_left, failure.intents_before) == (("I1",), 2)
    again = replay(Path(failure.schedule_path))
    assert again.repeats
    assert "no_duplicates" in again.record.failed


def test_pairs_follow_up_one_fault_of_each_trace_and_strike_recovery_first(
    search: Callable[..., Exploration], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[exploring.Trial] = []
    chosen: list[Candidate] = []
    one, two = exploring._try, exploring.pairs
    monkeypatch.setattr(exploring, "_try", lambda *given: tried.append(one(*given)) or tried[-1])
    monkeypatch.setattr(
        exploring, "pairs", lambda leads, *given: chosen.extend(lead.fault for lead in leads) or two(leads, *given)
    )
    found = search("careful", "crash", "store_error", "stale_read", pairs=True, limit=70)
    assert found.singles.whole
    assert found.pairs is not None
    assert found.singles.tried + found.pairs.tried == 70 < found.singles.planned + found.pairs.planned
    assert found.stopped == "the limit of 70 runs"
    assert f"{found.pairs.tried} of {found.pairs.planned} pairs up to equal traces" in found.claim

    firsts: dict[object, Candidate] = {}
    singles = [trial for trial in tried if len(trial.attempt) == 1]
    for trial in singles:
        firsts.setdefault((trial.trace, frozenset(trial.new)), trial.attempt[0])
    calm = trace_of(run(make_plan(found.case.scenario, found.case.target), 0).history)
    assert firsts.pop((calm, frozenset()), None) is not None
    assert chosen == list(firsts.values())
    assert (found.followed, found.pruned) == (len(chosen), len(singles) - len(chosen))
    assert found.pruned > 0

    seconds = [trial.attempt for trial in tried if len(trial.attempt) == 2]
    struck = {trial.attempt[0].point for trial in singles}
    assert all(second.point not in struck for _, second in seconds)
    assert found.new_points_tried == len({second.point for _, second in seconds})
    assert all(trial.struck for trial in tried)


def test_what_fails_alone_is_not_tried_in_pairs(
    search: Callable[..., Exploration], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[exploring.Trial] = []
    one = exploring._try
    monkeypatch.setattr(exploring, "_try", lambda *given: tried.append(one(*given)) or tried[-1])
    search("naive", "lost_response", "lost_request", orders=2, pairs=True, limit=40)
    alone = {trial.attempt[0] for trial in tried if len(trial.attempt) == 1 and trial.failed}
    assert len(alone) == 4
    seconds = [trial.attempt for trial in tried if len(trial.attempt) == 2]
    assert seconds
    assert not [attempt for attempt in seconds if alone & set(attempt)]


def test_a_limit_or_a_budget_shows_in_the_claim(search: Callable[..., Exploration]) -> None:
    found = search("careful", "lost_response", limit=3, pairs=True)
    assert (found.singles.tried, found.pairs, found.status) == (3, None, "pass")
    assert found.claim.startswith(f"3 of {found.singles.planned} single faults of 1 kind over")
    spent = search("careful", "lost_response", "late_response", budget_s=1e-9)
    assert (spent.stopped, spent.singles.tried) == ("the time budget", exploring.CHUNK)
    assert spent.singles.planned > exploring.CHUNK


def test_what_fails_without_a_fault_is_not_searched(search: Callable[..., Exploration], tmp_path: Path) -> None:
    (tmp_path / "mute.py").write_text(
        "from targets.naive_flow import NaiveFlow\n"
        "class Mute(NaiveFlow):\n"
        "    async def place(self, intent_id, **order):\n"
        "        return 'ok'\n"
    )
    bad = SCENARIO.replace("targets/naive_flow.py:NaiveFlow", f"{tmp_path}/mute.py:Mute")
    found = search("naive", "lost_response", scenario=bad)
    assert found.status == "fail"
    assert found.claim.startswith("Nothing was searched: without any fault it fails no_lost")
    assert found.singles == Level()
    stated = bad + "expect_for: {naive: {fails: {no_lost_ack: it places nothing}, may_fail: [no_lost_intent]}}"
    assert search("naive", "lost_response", scenario=stated).status == "inconclusive"


def test_where_no_kind_fits_or_runs_do_not_repeat_nothing_is_searched(search: Callable[..., Exploration]) -> None:
    found = search("careful", "cancel_race")
    assert (found.status, found.singles.tried) == ("inconclusive", 0)
    assert "none of cancel_race fits" in found.claim
    with pytest.raises(UsageError, match="do not repeat"):
        search("careful", "lost_response", scenario=SCENARIO + "world: live\n")


def test_an_interruption_keeps_what_there_is(
    search: Callable[..., Exploration], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = exploring.try_all

    def interrupted(*given: object) -> object:
        INTERRUPTION.asked = True
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(exploring, "try_all", interrupted)
    found = search("naive", "lost_response")
    INTERRUPTION.asked = False
    assert (found.stopped, found.status, found.singles.tried) == (INTERRUPTED, "unfinished", 1)


# What is told as one


def candidate(kind: str = "crash", entity: str = "I1", endpoint: str = "POST /orders") -> Candidate:
    return Candidate(kind, Point(Plane.MESSAGE, endpoint, entity, 1, "after"), Delay(1.0))


def test_failing_runs_are_put_together_by_oracle_endpoint_and_kind(case: MakeCase) -> None:
    stated = case(fails={"two": "it must"}, may_fail=("three",))
    first = (candidate(),)
    found = clusters(
        stated,
        [
            (first, ("one", "two"), None),
            ((candidate(entity="I2"),), ("one",), None),
            ((candidate("lost"),), ("one",), None),
            ((candidate(endpoint="GET /x"),), ("two", "three"), None),
            ((candidate(entity="I3"),), ("three",), None),
            ((candidate(entity="I4"),), (), None),
            ((candidate(), candidate("lost")), (), Broken("TargetError", "x")),
        ],
    )
    assert [(each.oracle, each.where, each.count, each.stated) for each in found] == [
        ("one", ("POST /orders crash",), 2, None),
        ("one", ("POST /orders lost",), 1, None),
        ("two", ("GET /x crash",), 1, "it must"),
        ("", ("POST /orders crash", "POST /orders lost"), 1, None),
    ]
    assert found[0].first == first


def test_a_claim_is_no_stronger_than_what_was_done(case: MakeCase) -> None:
    base = Exploration(case(), ("crash",), Evidence(0, frozenset()), 5, singles=Level(10, 10))
    assert base.claim.startswith("All 10 single faults")
    for level in (Level(10, 8), Level(10, 10, missed=2), Level(10, 10, broken=2)):
        assert replace(base, singles=level).claim.startswith("8 of 10 single faults"), level
    assert "and all 7 pairs up to equal traces" in replace(base, pairs=Level(7, 7)).claim
    assert base.idle == ("one", "two")
