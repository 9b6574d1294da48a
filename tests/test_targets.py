"""Loading a client class from a file, and reading what it believes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from faultline.errors import FaultlineError, TargetError, UsageError
from faultline.history.event import AlertBelief, OrderBelief
from faultline.targets import BeliefReader, OrdersTarget, TargetRef

WHOLE = """
class Client:
    async def start(self): ...
    async def stop(self): ...
    async def place(self, intent_id, *, symbol, side, order_type, quantity, price): ...
    def snapshot(self): ...
"""

# Loading


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "client.py"
        path.write_text(text)
        return path

    return write


def refused(spec: str, error: type[FaultlineError] = UsageError) -> str:
    with pytest.raises(error) as caught:
        TargetRef("it", spec).load()
    return str(caught.value)


def test_a_class_is_loaded_by_file_and_name(file: Callable[[str], Path]) -> None:
    target = TargetRef("it", f"{file(WHOLE)}:Client")
    assert target.load().__name__ == "Client"
    assert target.can("place")
    assert not target.can("cancel")


def test_a_file_is_imported_once(file: Callable[[str], Path]) -> None:
    spec = f"{file(WHOLE)}:Client"
    assert TargetRef("one", spec).load() is TargetRef("two", spec).load()


@pytest.mark.parametrize("spec", ["client.py", ":Client", "client.py:", "client.py:not a name"])
def test_a_spec_that_is_none_says_how_to_write_one(spec: str) -> None:
    assert "path/to/file.py:Class" in refused(spec)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nowhere.py: no such file" in refused(f"{tmp_path}/nowhere.py:Client")


def test_a_missing_class_is_named_with_those_that_are_there(file: Callable[[str], Path]) -> None:
    message = refused(f"{file('from typing import Any' + chr(10) + WHOLE)}:Clinet")
    assert "no class 'Clinet'" in message
    assert "(it has: Client)" in message, "what it imports is not its own"


def test_a_class_that_cannot_be_driven_says_what_it_lacks(file: Callable[[str], Path]) -> None:
    message = refused(f"{file('class Client:' + chr(10) + '    async def start(self): ...')}:Client")
    assert "has no stop, place, snapshot" in message
    assert "docs/targets.md" in message


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("place", "self, intent_id, symbol"),
        ("place", "self, *, intent_id, symbol, side, order_type, quantity, price"),
        ("cancel", "self, intent_id"),
        ("replace", "self, intent_id, *, of"),
        ("start", "self, timeout"),
    ],
)
def test_a_method_that_cannot_be_called_as_it_will_be_is_refused(
    file: Callable[[str], Path], method: str, arguments: str
) -> None:
    message = refused(f"{file(WHOLE + f'    async def {method}({arguments}): ...')}:Client")
    assert f"{method}(" in message
    assert "docs/targets.md" in message


def test_methods_may_take_more_than_they_are_given(file: Callable[[str], Path]) -> None:
    more = "    async def cancel(self, intent_id, *, of, reason='', **more): ...\n    place = staticmethod(print)"
    assert TargetRef("it", f"{file(WHOLE + more)}:Client").load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name", "at line 1: ModuleNotFoundError"),
        ("\nraise RuntimeError('no key given')", "at line 2: RuntimeError: no key given"),
        ("import sys; sys.exit('use --key')", "use --key"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_file_that_does_not_import_is_the_targets_fault(file: Callable[[str], Path], text: str, said: str) -> None:
    path = file(text)
    message = refused(f"{path}:Client", TargetError)
    assert f"{path} does not import" in message
    assert said in message


def test_a_file_that_did_not_import_may_be_mended(file: Callable[[str], Path]) -> None:
    path = file("import nothing_of_this_name")
    refused(f"{path}:Client", TargetError)
    path.write_text(WHOLE)
    assert TargetRef("it", f"{path}:Client").load()


def test_a_target_finds_its_neighbours_and_the_folder_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "bot_package"
    folder.mkdir()
    (folder / "neighbour_of_it.py").write_text("NAME = 'n'")
    (folder / "client.py").write_text(f"from bot_package.neighbour_of_it import NAME\nimport neighbour_of_it\n{WHOLE}")
    assert TargetRef("it", f"{folder}/client.py:Client").load()


def test_a_relative_file_is_found_from_the_scenario_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bots").mkdir()
    (tmp_path / "bots" / "client.py").write_text(WHOLE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    scenario = tmp_path / "scenarios" / "orders" / "s.yaml"
    assert TargetRef("it", "bots/client.py:Client", str(scenario)).load()
    refused("bots/client.py:Client")


# Beliefs


class Speaking:
    """A target that says what it is told."""

    def __init__(self) -> None:
        self.view: Any = {}

    def snapshot(self) -> Mapping[str, Any]:
        return self.view  # type: ignore[no-any-return]


class Reader:
    """A reader of a speaking target, at a time that goes on."""

    def __init__(self) -> None:
        self.target = Speaking()
        self.reader = BeliefReader()
        self.t = 0.0

    def read(self, view: Any, incarnation: int = 1, *, final: bool = False) -> Any:
        self.t += 1
        self.target.view = view
        client: OrdersTarget = self.target  # type: ignore[assignment]
        return self.reader.read(client, incarnation, self.t, final=final)


def orders(**status: str) -> dict[str, Any]:
    return {"orders": {intent: {"status": word} for intent, word in status.items()}}


def test_a_belief_holds_only_what_changed() -> None:
    reader = Reader()
    assert reader.read(orders(I1="new", I2="new")).orders == (OrderBelief("I1", "new"), OrderBelief("I2", "new"))
    assert reader.read(orders(I1="new", I2="new")) is None
    assert reader.read(orders(I1="new", I2="filled")).orders == (OrderBelief("I2", "filled"),)


def test_a_final_belief_is_there_although_nothing_changed() -> None:
    reader = Reader()
    reader.read(orders(I1="new"))
    belief = reader.read(orders(I1="new"), final=True)
    assert (belief.orders, belief.final) == ((), True)


def test_an_order_that_is_no_longer_held_is_absent() -> None:
    reader = Reader()
    reader.read(orders(I1="new", I2="new"))
    assert reader.read(orders(I1="new")).orders == (OrderBelief("I2", "absent"),)
    assert reader.read(orders(I1="new")) is None


def test_a_view_that_the_client_changes_in_place_is_read_anew() -> None:
    reader = Reader()
    view: dict[str, Any] = {**orders(I1="new"), "positions": {"NQ": "1"}}
    reader.read(view)
    view["orders"]["I1"]["status"] = "filled"
    view["positions"]["NQ"] = "2"
    belief = reader.read(view)
    assert (belief.orders, belief.positions) == ((OrderBelief("I1", "filled"),), (("NQ", "2"),))
    assert reader.read(view) is None


def test_what_a_client_tells_beyond_the_documented_is_no_belief() -> None:
    reader = Reader()
    reader.read({"orders": {"I1": {"status": "new", "tries": 1}}})
    assert reader.read({"orders": {"I1": {"status": "new", "tries": 2}}}) is None


def test_one_order_in_the_place_of_another_is_noticed() -> None:
    reader = Reader()
    reader.read(orders(I1="new"))
    assert set(reader.read(orders(I2="new")).orders) == {OrderBelief("I2", "new"), OrderBelief("I1", "absent")}


def test_a_position_that_is_no_longer_held_is_zero() -> None:
    reader = Reader()
    assert reader.read({"positions": {"NQ": 4, "ES": "1.50"}}).positions == (("NQ", "4"), ("ES", "1.5"))
    assert reader.read({"positions": {"ES": 1.5}}).positions == (("NQ", "0"),)
    assert reader.read({"positions": {"ES": "1.5"}}) is None


def test_fills_are_told_once_each_and_repeats_are_kept() -> None:
    reader = Reader()
    assert reader.read({"fills": ["f1", "f1"]}).fills == ("f1", "f1")
    assert reader.read({"fills": ["f1", "f1", "f2"]}).fills == ("f2",)


def test_a_new_process_tells_its_whole_view_anew() -> None:
    reader = Reader()
    view = orders(I1="new") | {"fills": ["f1"], "positions": {"NQ": 1}}
    reader.read(view)
    belief = reader.read(view, incarnation=2)
    assert (belief.incarnation, belief.orders, belief.fills) == (2, (OrderBelief("I1", "new"),), ("f1",))


def test_the_clients_own_doubt_is_a_change() -> None:
    reader = Reader()
    assert reader.read({"stale": False}) is None
    assert reader.read({"stale": True}).stale is True


def test_alerts_are_told_as_they_are_raised_and_who_tells_none_leaves_no_trace() -> None:
    reader = Reader()
    late = {"key": "late", "level": "warning"}
    assert b"alerts" not in msgspec.json.encode(reader.read(orders(I1="new")))
    assert reader.read({"alerts": [late]}).alerts == (AlertBelief("late", "warning"),)
    assert reader.read({"alerts": [late]}) is None
    over = reader.read({"alerts": [late, {**late, "resolved": True}]})
    assert over.alerts == (AlertBelief("late", "warning", resolved=True),)
    assert reader.read({"alerts": [late]}, 2).alerts == (AlertBelief("late", "warning"),)


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (None, "NoneType"),
        ([], "list"),
        ({"orders": ["I1"]}, "orders"),
        ({"orders": {"I1": "new"}}, "I1"),
        ({"orders": {"I1": {}}}, "status"),
        ({"orders": {"I1": {"status": "open"}}}, "'open'"),
        ({"orders": {"I1": {"status": "new", "filled": "some"}}}, "'some'"),
        ({"orders": {"I1": {"status": "new", "filled": "NaN"}}}, "'NaN'"),
        ({"positions": {"NQ": None}}, "None"),
        ({"positions": [1]}, "positions"),
        ({"fills": None}, "fills"),
        ({"fills": {"f1"}}, "fills"),
        ({"fills": "f1"}, "fills"),
        ({"alerts": "late"}, "alerts"),
        ({"alerts": ["late"]}, "an alert"),
        ({"alerts": [{"key": "late"}]}, "a key and a level"),
    ],
)
def test_a_snapshot_of_another_shape_says_what_is_wrong_with_it(view: Any, said: str) -> None:
    with pytest.raises(TargetError) as caught:
        Reader().read(view)
    message = str(caught.value)
    assert "Speaking.snapshot()" in message
    assert "docs/targets.md" in message
    assert said in message


def test_a_snapshot_that_raises_is_the_targets_fault() -> None:
    class Raising(Speaking):
        def snapshot(self) -> Mapping[str, Any]:
            raise ZeroDivisionError("no orders")

    reader = Reader()
    reader.target = Raising()
    with pytest.raises(TargetError, match="ZeroDivisionError: no orders"):
        reader.read({})


def test_a_snapshot_that_is_a_coroutine_says_so() -> None:
    class Waiting(Speaking):
        async def snapshot(self) -> Mapping[str, Any]:  # type: ignore[override]
            return {}

    reader = Reader()
    reader.target = Waiting()
    with pytest.raises(TargetError, match="plain def"):
        reader.read({})
