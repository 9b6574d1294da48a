"""Planning: the workload spelt out, and every mismatch refused with its place in the file."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from faultline.errors import FaultlineError, ScenarioError, TargetError, UnsupportedFault, UsageError
from faultline.faults.points import Plane
from faultline.plan import Plan, make_plan
from faultline.scenario.load import loads
from faultline.targets import TargetRef
from faultline.worlds import WORLDS, WorldKind

CLIENT = """
class Client:
    async def start(self): ...
    async def stop(self): ...
    async def place(self, intent_id, *, symbol, side, order_type, quantity, price): ...
    def snapshot(self): ...
class Canceller(Client):
    async def cancel(self, intent_id, *, of): ...
    async def replace(self, intent_id, *, of, quantity, price): ...
"""


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    """Plans a scenario of which only the given lines matter."""
    (tmp_path / "client.py").write_text(CLIENT)

    def make(
        *faults: str, workload: str = "{orders: 4, rate: 2/s}", client: str = "client.py:Canceller", world: str = "sim"
    ) -> Plan:
        lines = [
            "version: 1",
            "name: a plan",
            "about: of a test",
            f"target: {client}",
            "venue: {profile: generic}",
            f"world: {world}",
            f"workload: {workload}",
            "faults:",
            *(f"  - {fault}" for fault in faults or ("lost_response: {}",)),
            "expect: [no_duplicates]",
        ]
        path = str(tmp_path / "s.yaml")
        (scenario,) = loads("\n".join(lines), path)
        ((name, spec),) = scenario.targets.items()
        return make_plan(scenario, TargetRef(name, spec, path))

    return make


def problem(error: type[FaultlineError], make: Callable[[], Plan]) -> str:
    """The message, from the file's name on."""
    with pytest.raises(error) as caught:
        make()
    path, mark, rest = str(caught.value).partition("s.yaml:")
    assert mark, f"no place in the file: {path}"
    return rest


# Faults


def test_an_endpoint_that_the_venue_lacks_is_refused_with_a_hint(plan: Callable[..., Plan]) -> None:
    message = problem(UnsupportedFault, lambda: plan("lost_response: {}", "lost_response: {on: POST /order}"))
    assert message.startswith("10:5: lost_response: ")
    assert "'POST /order'" in message
    assert "did you mean 'POST /orders'?" in message


def test_every_fault_that_cannot_strike_is_told_at_once(plan: Callable[..., Plan]) -> None:
    with pytest.raises(UnsupportedFault) as caught:
        plan("lost_response: {on: POST /a}", "drop_message: {on: stream private}", "latency: {on: server}")
    lines = str(caught.value).splitlines()
    assert [line.partition("s.yaml:")[2].partition(":")[0] for line in lines] == ["9", "10", "11"]
    assert "stream user" in lines[1]
    assert "rest" in lines[2]


@pytest.mark.parametrize(
    "fault",
    [
        "reject: {on: match_}",
        "crash: {on: POST /nowhere}",
        "crash: {on: stores}",
        "store_error: {on: POST /orders}",
        "token_expiry: {on: POST /nowhere}",
        "disconnect: {on: stream private, at: 3s}",
    ],
)
def test_a_fault_that_no_point_could_ever_meet_is_refused(plan: Callable[..., Plan], fault: str) -> None:
    assert problem(UnsupportedFault, lambda: plan(fault)).startswith("9:5: ")


@pytest.mark.parametrize(
    "fault",
    [
        "crash: {at: 3s}",
        "restart: {every: 2s, during: [0s, 9s]}",
        "token_expiry: {at: 3s}",
        "crash: {on: store, nth: 3}",
        "crash: {on: 'DELETE /orders/*', nth: 1}",
        "store_error: {nth: 1}",
        "disconnect: {at: 3s}",
        "partition: {on: '*', during: [1s, 2s]}",
        "partial_fill: {}",
        "status_storm: {on: '* /orders*', during: [1s, 2s]}",
    ],
)
def test_what_can_strike_is_planned(plan: Callable[..., Plan], fault: str) -> None:
    assert len(plan(fault).faults) == 1


def test_faults_have_labels_in_the_order_of_the_file(plan: Callable[..., Plan]) -> None:
    made = plan("lost_response: {nth: 1}", "latency: {}", "lost_response: {nth: 2}")
    assert list(made.faults) == ["lost_response", "latency", "lost_response#2"]


def test_a_mark_that_nothing_makes_is_refused_with_a_hint(plan: Callable[..., Plan]) -> None:
    message = problem(UnsupportedFault, lambda: plan("lost_response: {after: fil}"))
    assert message.startswith("9:5: lost_response: ")
    assert "did you mean 'fill'?" in message


def test_a_fault_cannot_wait_for_itself(plan: Callable[..., Plan]) -> None:
    assert "itself" in problem(UnsupportedFault, lambda: plan("lost_response: {after: lost_response}"))
    assert "itself" in problem(
        UnsupportedFault, lambda: plan("lost_response: {nth: 1}", "lost_response: {after: lost_response#2}")
    )
    assert plan("lost_response: {nth: 1}", "lost_response: {after: lost_response}")
    assert plan("lost_response: {nth: 1}", "crash: {after: POST /orders, at: 1s}")


def test_a_world_that_lacks_the_plane_of_a_fault_refuses_it(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = WorldKind(WORLDS["sim"].make, frozenset({Plane.STREAM, Plane.MESSAGE}))
    monkeypatch.setattr("faultline.worlds.WORLDS", {"sim": WORLDS["sim"], "wire": wire})
    monkeypatch.setattr("faultline.plan.WORLDS", {"sim": WORLDS["sim"], "wire": wire})
    assert plan("lost_response: {}", "latency: {}", world="wire")
    message = problem(UnsupportedFault, lambda: plan("lost_response: {}", "partial_fill: {}", world="wire"))
    assert message.startswith("10:5: partial_fill: the wire world does not carry faults of the venue plane")


# Worlds and targets


def test_a_world_that_went_missing_is_named(plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultline.plan.WORLDS", {"sum": WORLDS["sim"]})
    message = problem(ScenarioError, lambda: plan())
    assert message.startswith("6:8: unknown world 'sim'; did you mean 'sum'?")


def test_a_workload_that_the_target_does_not_understand_is_refused(plan: Callable[..., Plan]) -> None:
    workload = "{orders: 40, rate: 2/s, cancels: 50%, replaces: 30%}"
    message = problem(ScenarioError, lambda: plan(workload=workload, client="client.py:Client"))
    assert message.startswith("7:11: ")
    assert "cancel and replace" in message
    assert "client.py:Client has no such method" in message


@pytest.mark.parametrize(
    ("client", "said"),
    [("nowhere.py:Client", "no such file"), ("client.py:Clint", "has no class 'Clint'"), ("client.py", "path/to/file")],
)
def test_a_target_that_cannot_be_loaded_is_told_with_its_place(
    plan: Callable[..., Plan], client: str, said: str
) -> None:
    message = problem(UsageError, lambda: plan(client=client))
    assert message.startswith("4:9: ")
    assert said in message


def test_a_target_that_does_not_import_is_told_with_its_place(plan: Callable[..., Plan], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    message = problem(TargetError, lambda: plan(client="broken.py:Client"))
    assert message.startswith("4:9: ")
    assert "ModuleNotFoundError" in message


def test_a_target_from_elsewhere_has_no_place_in_the_file(plan: Callable[..., Plan]) -> None:
    scenario = plan().scenario
    with pytest.raises(UsageError) as caught:
        make_plan(scenario, TargetRef("given", "nowhere.py:Client"))
    assert "s.yaml" not in str(caught.value)


# The workload


def test_the_workload_is_the_same_whenever_it_is_planned(plan: Callable[..., Plan]) -> None:
    workload = "{orders: 50, rate: 5/s, cancels: 20%, replaces: 20%, order_type: mixed}"
    assert plan(workload=workload).intents == plan(workload=workload).intents


def test_intents_come_at_the_rate_and_in_the_order_of_their_time(plan: Callable[..., Plan]) -> None:
    intents = plan(workload="{orders: 50, rate: 5/s, cancels: 20%, replaces: 20%}").intents
    assert [intent.t for intent in intents if intent.op == "place"] == pytest.approx([n / 5 for n in range(50)])
    times = [intent.t for intent in intents]
    assert times == sorted(times)
    assert {intent.op for intent in intents} == {"place", "cancel", "replace"}


def test_amendments_come_after_the_order_that_they_are_about(plan: Callable[..., Plan]) -> None:
    intents = plan(workload="{orders: 50, rate: 5/s, cancels: 20%, replaces: 20%}").intents
    placed = {intent.id: intent for intent in intents if intent.op == "place"}
    for intent in intents:
        if intent.op != "place":
            assert intent.t > placed[intent.of].t
    assert len({intent.id for intent in intents}) == len(intents)


def test_what_tells_intents_apart_is_unique_and_sparse(plan: Callable[..., Plan]) -> None:
    intents = plan(workload="{orders: 60, rate: 5/s, order_type: mixed, replaces: 50%}").intents
    prices = sorted(Decimal(intent.price) for intent in intents if intent.op == "place" and intent.price)
    sizes = [intent.quantity for intent in intents if intent.order_type == "market"]
    assert min(b - a for a, b in pairwise(prices)) >= 10
    assert len(set(sizes)) == len(sizes) == 30
    taken = {Decimal(intent.price) for intent in intents if intent.op == "replace"}
    assert taken
    assert not taken & set(prices)


def test_a_plan_can_have_fewer_intents(plan: Callable[..., Plan]) -> None:
    whole = plan()
    fewer = whole.with_intents(whole.intents[:1])
    assert len(fewer.intents) == 1
    assert (fewer.scenario, fewer.target) == (whole.scenario, whole.target)
    assert len(whole.intents) == 4
