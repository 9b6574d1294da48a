from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultline.errors import UsageError
from faultline.faults import FAULTS, Fault, Latency, TokenExpiry
from faultline.faults.actions import (
    Crash,
    Cut,
    Delay,
    Drop,
    Duplicate,
    ExpireTokens,
    FillPart,
    Hold,
    Reject,
    Replace,
    Reply,
    Restart,
    Shape,
    Stale,
    StoreError,
)
from faultline.faults.codec import dump, dumps, load, loads
from faultline.faults.points import Moment, Plane, Point
from faultline.faults.schedule import Entry, Schedule, ScheduledCondition, ScheduledStrike

POINT = Point(Plane.MESSAGE, "POST /orders", "I1", 1, "before")
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
TIMES = st.floats(0, 1e6)
ACTIONS = st.one_of(
    st.builds(Delay, TIMES),
    st.builds(Hold, st.none() | TIMES, st.integers(0, 9)),
    st.just(Drop()),
    st.builds(Duplicate, st.integers(1, 9), TIMES),
    st.builds(Replace, st.binary(max_size=20) | TEXT.map(str.encode)),
    st.builds(Reply, st.integers(100, 599), st.tuples(st.tuples(TEXT, TEXT)) | st.just(()), st.binary(max_size=20)),
    st.builds(Cut, st.integers(0, 9999), st.sampled_from(["fin", "rst", "silence", "close"]), st.integers(1000, 4999)),
    st.builds(Shape, st.none() | TIMES, st.none() | st.integers(1, 99)),
    st.builds(FillPart, st.integers(2, 9), TIMES),
    st.builds(Reject, TEXT),
    st.builds(Stale, TIMES),
    st.builds(ExpireTokens, st.booleans()),
    st.builds(Crash, TIMES, st.sampled_from(["fin", "silence"])),
    st.builds(Restart, TIMES),
    st.builds(StoreError, st.sampled_from(["busy", "full", "io"])),
)


def test_what_is_written_is_read_back_exactly(
    some_faults: st.SearchStrategy[list[Fault]], some_run: st.SearchStrategy[list[Moment]]
) -> None:
    kinds: set[str] = set()

    @settings(deadline=None)
    @given(some_faults, some_run, st.lists(ACTIONS, max_size=8), st.none() | TIMES, st.dictionaries(TEXT, TEXT))
    def check(
        faults: list[Fault], run: list[Moment], actions: list[Delay], at_s: float | None, meta: dict[str, str]
    ) -> None:
        entries: list[Entry] = [ScheduledCondition(f"{fault.kind}#2", fault.kind, fault, 3) for fault in faults]
        strikes = zip(run, actions, strict=False)
        entries += [ScheduledStrike("x", moment.point, action, at_s, 1) for moment, action in strikes]
        schedule = Schedule(tuple(entries))
        saved = loads(dumps(schedule, meta))
        assert saved.schedule == schedule
        assert saved.meta == meta
        kinds.update(fault.kind for fault in faults)

    check()
    assert len(kinds) > 10


@pytest.mark.parametrize("kind", FAULTS)
def test_every_kind_is_found_again(kind: str) -> None:
    schedule = Schedule((ScheduledCondition(kind, kind, FAULTS[kind](probability=0.5)),))
    assert loads(dumps(schedule)).schedule == schedule


def test_it_is_written_so_that_it_can_be_read_and_compared() -> None:
    schedule = Schedule(
        (
            ScheduledStrike("status_storm", POINT, Reply(503, (), b'{"error": "busy"}')),
            ScheduledCondition("latency", "latency", Latency(during_s=(1, 2))),
        )
    )
    lines = dumps(schedule, {"scenario": "a.yaml"}).splitlines()
    assert lines[:4] == ["{", '  "faultline_schedule": 1,', '  "meta": {', '    "scenario": "a.yaml"']
    assert json.loads(lines[6].rstrip(","))["action"]["body"] == '{"error": "busy"}'
    assert json.loads(lines[7])["spec"] == {
        "during_s": [1.0, 2.0],
        "on": "*",
        "direction": "both",
        "delay_s": 0.1,
        "jitter_s": 0.0,
    }


def test_a_kinds_own_defaults_are_written_down_too() -> None:
    def spec(fault: Fault) -> dict[str, object]:
        written = json.loads(dumps(Schedule((ScheduledCondition(fault.kind, fault.kind, fault),))))
        found: dict[str, object] = written["entries"][0]["spec"]
        return found

    assert spec(TokenExpiry()) == {"on": "*", "header": "authorization: *", "refresh_too": False}
    assert spec(TokenExpiry(header=None))["header"] is None


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    schedule = Schedule((ScheduledStrike("lost_request", POINT, Cut(how="fin")),))
    dump(schedule, path, {"seed": "7"})
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
    assert load(path) == (schedule, {"seed": "7"})
    assert load(path).schedule.entries[0] == schedule.entries[0]


def edited(edit: Callable[[dict[str, object], dict[str, object]], object]) -> str:
    """The text of a schedule after a person's edit of its first strike and its condition."""
    strike = ScheduledStrike("lost_request", POINT, Cut(how="fin"))
    condition = ScheduledCondition("latency", "latency", Latency())
    written = json.loads(dumps(Schedule((strike, condition))))
    edit(*written["entries"])
    return json.dumps(written)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda strike, _: strike.update(nth="one"), r"^run\.json: entry 1: .*nth"),
        (lambda strike, _: strike.update(plane="air"), "entry 1: .*plane"),
        (lambda strike, _: strike.pop("phase"), "entry 1: .*phase"),
        (lambda strike, _: strike.update(speed=3), "entry 1: .*speed"),
        (lambda strike, _: strike["action"].update(do="cutt"), "entry 1: .*cutt"),
        (lambda strike, _: strike["action"].update(how="gently"), "entry 1: .*gently"),
        (lambda strike, _: strike.update(action={"do": "replace", "payload": {"base64": "?"}}), "entry 1: .*base64"),
        (lambda _, condition: condition.update(kind="latencyy"), "entry 2: .*did you mean 'latency'"),
        (lambda _, condition: condition["spec"].update(dely_s=1), "entry 2: .*did you mean 'delay_s'"),
        (lambda _, condition: condition["spec"].update(delay_s="1s"), "entry 2: .*delay_s"),
        (lambda _, condition: condition["spec"].update(delay_s=-1), "entry 2: delay is -1"),
        (lambda _, condition: condition["spec"].update(probability=7), "entry 2: .*between 0% and 100%"),
        (lambda _, condition: condition.update(entry="mood"), "entry 2: .*mood"),
    ],
)
def test_a_wrong_entry_is_named(edit: Callable[..., object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        loads(edited(edit), "run.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a saved schedule"),
        ("[]", "not a saved schedule"),
        ("{}", "not a saved schedule"),
        ('{"faultline_schedule": 99, "entries": []}', "format 99; this version of faultline reads 1"),
        ('{"faultline_schedule": 1}', "entries"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        loads(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.json: cannot be read: No such file"):
        load(tmp_path / "missing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"binary\.json: not a saved schedule"):
        load(tmp_path / "binary.json")


def test_an_empty_schedule_is_one_too() -> None:
    assert loads(dumps(Schedule())) == (Schedule(), {})
    assert loads(dumps(Schedule((ScheduledStrike("lost_request", POINT, Cut()),)))).meta == {}
