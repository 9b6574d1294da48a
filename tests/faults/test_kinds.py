"""What holds for every kind in the table."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

import faultline.faults as package
from faultline.faults import FAULTS, Fault
from faultline.faults import actions as do
from faultline.faults.actions import Action
from faultline.faults.points import Moment, Plane, Point
from faultline.units import Unit

Decide = Callable[..., list[tuple[Action, ...]]]


@dataclass(frozen=True)
class Case:
    """A short form, the point that it acts on, what it asks for there, and points that it leaves alone."""

    given: dict[str, Any]
    point: Point
    actions: tuple[Action, ...]
    elsewhere: tuple[Point, ...]
    more: dict[str, Any] | None = None


def post(phase: str) -> Point:
    return Point(Plane.MESSAGE, "POST /orders", "I1", 1, phase)


def get(phase: str) -> Point:
    return Point(Plane.MESSAGE, "GET /fills", "-", 1, phase)


def link(phase: str, nth: int = 0) -> Point:
    return Point(Plane.STREAM, "rest", "1", nth, phase)


def decide_at(endpoint: str) -> Point:
    return Point(Plane.VENUE, endpoint, "I1", 1, "decide")


OUT = Point(Plane.MESSAGE, "stream user", "I1/1/fills", 1, "out")
ACK = Point(Plane.MESSAGE, "stream user", "-/SubscribeOrders", 1, "ack")
LOOK_UP = Point(Plane.STREAM, "rest", "1", 0, "resolve")
STATEMENT = Point(Plane.TARGET, "store", "I1", 1, "before")
COMMIT = Point(Plane.TARGET, "store", "I1", 1, "after")

JSON = (("Content-Type", "application/json"),)
CASES: dict[str, Case] = {
    "ban": Case(
        {},
        get("before"),
        (
            do.Reply(
                418,
                JSON,
                b'{"error": "banned", "code": -1003, "msg": "banned", "message": "too many requests: banned"}',
            ),
        ),
        (get("after"), OUT),
    ),
    "bandwidth": Case({}, link("up"), (do.Shape(rate_bytes_per_s=65536),), (link("connect"), LOOK_UP, post("before"))),
    "cancel_race": Case(
        {},
        Point(Plane.MESSAGE, "DELETE /orders/{id}", "I1", 1, "before"),
        (do.Delay(0.5),),
        (post("before"), Point(Plane.MESSAGE, "DELETE /orders/{id}", "I1", 1, "after")),
    ),
    "corrupt": Case({"rate": 1.0}, link("up"), (do.Flip(1, 3),), (link("connect"), LOOK_UP)),
    "crash": Case({}, post("after"), (do.Crash(0.5, "fin"),), (post("before"), get("after"), OUT, COMMIT)),
    "cut_after": Case({}, link("connect"), (do.Cut(how="fin", after_s=30),), (link("up"), LOOK_UP)),
    "delay_message": Case({}, OUT, (do.Delay(2),), (post("before"), post("after"))),
    "disconnect": Case({}, OUT, (do.Cut(how="close", code=1001),), (post("before"), link("down"))),
    "dns_failure": Case({}, LOOK_UP, (do.Cut(how="rst"),), (link("connect"), link("up"))),
    "drop_message": Case({}, OUT, (do.Drop(),), (post("after"),)),
    "duplicate_message": Case({}, OUT, (do.Duplicate(1),), (post("before"),)),
    "duplicate_request": Case({}, post("before"), (do.Duplicate(1, 0),), (post("after"), get("before"), OUT)),
    "fill_before_ack": Case({}, post("after"), (do.Delay(1),), (post("before"), get("after"), OUT)),
    "half_open": Case({}, link("down"), (do.Cut(how="silence"),), (link("up"), link("down", 50), link("connect"))),
    "hub_close": Case(
        {},
        OUT,
        (do.Goodbye(how="close", code=1000, text='{"type":7,"allowReconnect":true}\x1e'),),
        (ACK, post("before")),
    ),
    "late_request": Case({}, post("before"), (do.Delay(15),), (post("after"), get("before"), OUT)),
    "late_response": Case({}, post("after"), (do.Delay(15),), (post("before"), get("after"), OUT)),
    "latency": Case({}, link("down"), (do.Delay(0.1),), (link("connect"), LOOK_UP)),
    "limit_data": Case({}, link("down", 80), (do.Cut(20, "fin"),), (link("down"), link("connect"))),
    "loss": Case({"rate": 1.0, "retransmit_s": 1}, link("up"), (do.Delay(63),), (link("connect"), LOOK_UP)),
    "lost_completion": Case({}, ACK, (do.Drop(),), (OUT, post("after"))),
    "lost_request": Case({"how": "fin"}, post("before"), (do.Cut(how="fin"),), (post("after"), get("before"), OUT)),
    "lost_response": Case({"how": "rst"}, post("after"), (do.Cut(how="rst"),), (post("before"), get("after"), OUT)),
    "maintenance": Case(
        {},
        get("before"),
        (
            do.Reply(
                503,
                JSON,
                b'{"error": "maintenance", "code": 503, "msg": "maintenance", "message": "closed for maintenance"}',
            ),
        ),
        (get("after"), OUT),
    ),
    "malformed_body": Case({"form": "empty"}, post("after"), (do.Replace(b""),), (post("before"), get("after"), OUT)),
    "partial_fill": Case({}, decide_at("match"), (do.FillPart(2, 0.5),), (decide_at("accept"), post("before"))),
    "partition": Case({}, link("connect"), (do.Hold(None),), (LOOK_UP, post("before"))),
    "clock_step": Case({}, post("after"), (do.StepClock(300),), (post("before"), get("after"), OUT, COMMIT)),
    "pause": Case({}, post("after"), (do.Pause(1),), (post("before"), get("after"), OUT, COMMIT)),
    "refuse": Case({}, link("connect"), (do.Cut(how="rst"),), (link("up"), LOOK_UP)),
    "reject": Case({}, decide_at("accept"), (do.Reject("insufficient_funds"),), (decide_at("match"),)),
    "reorder_messages": Case({}, OUT, (do.Hold(overtaken_by=1),), (post("after"),)),
    "reset_peer": Case({}, link("down"), (do.Cut(how="rst"),), (link("up"), link("down", 50), link("connect"))),
    "restart": Case({}, post("after"), (do.Restart(0.5),), (post("before"), get("after"), OUT, COMMIT)),
    "silent_stream": Case({}, OUT, (do.Drop(),), (post("after"), link("down"))),
    "slicer": Case({}, link("up"), (do.Shape(piece_bytes=16),), (link("connect"),)),
    "slow_close": Case({}, link("up", 7), (do.Delay(1),), (link("connect"),), {"size_bytes": 0}),
    "slow_fill": Case({}, decide_at("match"), (do.Delay(5),), (decide_at("accept"), post("before"))),
    "stale_read": Case({}, decide_at("read"), (do.Stale(2),), (decide_at("match"), get("after"))),
    "status_storm": Case(
        {},
        get("before"),
        (
            do.Reply(
                503,
                (("Content-Type", "application/json"),),
                b'{"error": "service_unavailable", "message": "Service Unavailable"}',
            ),
        ),
        (get("after"), OUT),
    ),
    "store_error": Case({}, STATEMENT, (do.StoreError("busy"),), (COMMIT, post("before"))),
    "timeout": Case({}, link("up"), (do.Hold(None),), (link("connect"), LOOK_UP)),
    "token_expiry": Case(
        {},
        get("before"),
        (do.ExpireTokens(),),
        (get("after"), OUT, decide_at("accept")),
        {"headers": {"authorization": "Bearer x"}},
    ),
    "truncate": Case({"offset_bytes": 7}, link("down"), (do.Cut(7, "fin"),), (link("up"), link("down", 50))),
    "unknown_status": Case(
        {},
        post("after"),
        (do.Reply(504, JSON, b'{"error": "gateway_timeout", "message": "execution status unknown"}'),),
        (post("before"), get("after"), OUT),
    ),
}


def moment_at(point: Point, more: dict[str, Any] | None = None) -> Moment:
    size_bytes = 40 if point.phase in ("up", "down") else 0
    return Moment(point, 5.0, **{"size_bytes": size_bytes, **(more or {})})


def test_every_kind_has_a_case() -> None:
    assert set(CASES) == set(FAULTS)


@pytest.mark.parametrize("kind", FAULTS)
def test_its_decision_where_it_acts_and_where_it_does_not(kind: str, decide: Decide) -> None:
    case = CASES[kind]
    fault = FAULTS[kind](**case.given)
    assert decide(fault, moment_at(case.point, case.more)) == [case.actions]
    for point in case.elsewhere:
        assert decide(fault, moment_at(point, case.more)) == [()], point


@pytest.mark.parametrize("kind", FAULTS)
def test_the_same_moment_gets_the_same_answer(kind: str, decide: Decide) -> None:
    case = CASES[kind]
    for fault in (FAULTS[kind](), FAULTS[kind](**case.given, probability=0.5)):
        answers = [decide(fault, moment_at(case.point, case.more), seed=3) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("kind", FAULTS)
def test_the_short_form_strikes_something(kind: str, decide: Decide) -> None:
    case = CASES[kind]
    rare = kind in ("corrupt", "loss", "truncate")
    points = [link("down", offset) for offset in range(0, 4000, 40)] if rare else [case.point]
    assert any(decide(FAULTS[kind](), moment_at(point, case.more)) != [()] for point in points)


@pytest.mark.parametrize("kind", FAULTS)
def test_its_name_is_that_of_its_class(kind: str) -> None:
    fault = FAULTS[kind]
    assert fault.kind == kind
    assert re.sub(r"(?<!^)([A-Z])", r"_\1", fault.__name__).lower() == kind
    assert getattr(package, fault.__name__) is fault
    assert fault.__name__ in package.__all__


def test_the_table_is_sorted() -> None:
    assert list(FAULTS) == sorted(FAULTS)


@pytest.mark.parametrize("kind", FAULTS)
def test_it_is_a_frozen_value(kind: str) -> None:
    fault = FAULTS[kind]()
    assert fault == FAULTS[kind]()
    assert hash(fault) == hash(FAULTS[kind]())
    with pytest.raises(FrozenInstanceError):
        fault.on = "elsewhere"  # type: ignore[misc]


def scenario_key(kind: type[Fault], name: str) -> str:
    """The key of a field: its name without the suffix of its unit."""
    hint = get_type_hints(kind, include_extras=True)[name]
    stack = [hint]
    while stack:
        each = stack.pop()
        if get_origin(each) is Annotated:
            unit = next(extra for extra in get_args(each)[1:] if isinstance(extra, Unit))
            assert name.endswith(unit.suffix), name
            return name.removesuffix(unit.suffix)
        stack += get_args(each)
    return name


@pytest.mark.parametrize("kind", FAULTS)
def test_every_key_of_a_scenario_means_one_field(kind: str) -> None:
    fault = FAULTS[kind]
    keys = [scenario_key(fault, field.name) for field in fields(fault)]
    assert len(keys) == len(set(keys))
    assert not set(keys) & set(fault.synonyms)
    assert set(fault.synonyms.values()) <= {field.name for field in fields(fault)}


@pytest.mark.parametrize("kind", FAULTS)
def test_its_docstring_explains_it(kind: str) -> None:
    fault = FAULTS[kind]
    text = inspect.getdoc(fault) or ""
    assert text.splitlines()[0].endswith("."), "the first line says what it does, in a sentence"
    assert "In the real world:" in text
    assert "Proves that" in text
    own = {field.name for field in fields(fault)} - {field.name for field in fields(Fault)}
    for name in own:
        assert f"``{scenario_key(fault, name)}``" in text, f"{name} is not explained"


OPTIONS = {"how", "direction", "form", "phase", "error", "reconnect", "retry_after_form"}
QUANTITY = re.compile(r"(_s|_bytes|copies|parts|^by)$")


def own_fields(matching: Callable[[str], object]) -> list[tuple[str, str]]:
    shared = {field.name for field in fields(Fault)}
    return [
        (kind, field.name)
        for kind, fault in FAULTS.items()
        for field in fields(fault)
        if field.name not in shared and matching(field.name)
    ]


@pytest.mark.parametrize(("kind", "name"), own_fields(OPTIONS.__contains__))
def test_an_unknown_option_is_refused_with_those_that_are_known(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 'sideways'; it is one of .*, "):
        FAULTS[kind](**{name: "sideways"})


@pytest.mark.parametrize(("kind", "name"), own_fields(QUANTITY.search))
def test_a_negative_quantity_is_refused(kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"at least|lets nothing pass"):
        FAULTS[kind](**{name: -1})
