"""The Chrome trace: what Perfetto and chrome://tracing ask of a file."""

from __future__ import annotations

import json
from collections import Counter

from faultline.oracles import NoDuplicates
from faultline.reports import trace
from tests.reports.histories import long, twice


def test_every_track_has_its_items_and_pairs_are_closed() -> None:
    history = twice(crash=True)
    shown = json.loads(trace.text(history, (NoDuplicates().judge(history),)))
    items = shown["traceEvents"]
    names = {item["pid"]: item["args"]["name"] for item in items if item["name"] == "process_name"}
    assert tuple(names.values()) == trace.TRACKS
    used = Counter(names[item["pid"]] for item in items if item["ph"] != "M")
    assert set(used) == set(trace.TRACKS)
    begins = {(item["cat"], item["id"], item["name"]): item["ts"] for item in items if item["ph"] == "b"}
    ends = {(item["cat"], item["id"], item["name"]): item["ts"] for item in items if item["ph"] == "e"}
    assert begins.keys() == ends.keys()
    assert all(begins[key] <= ends[key] for key in begins)
    assert begins["operations", 2, "place A"] == 100_000
    assert ends["operations", 2, "place A"] == 2_100_000
    assert (begins["client processes", 1, "process 1"], ends["client processes", 1, "process 1"]) == (0, 200_000)
    (fault,) = [item for item in items if item["cat" if "cat" in item else "ph"] == "faults"]
    assert (fault["ph"], fault["args"]["operation"]) == ("i", "applied")


def test_what_never_ended_lasts_to_the_end_and_says_so() -> None:
    history = long(1000)
    items = json.loads(trace.text(history))["traceEvents"]
    (left,) = [item for item in items if item["ph"] == "b" and item["args"].get("outcome") == "never answered"]
    (end,) = [item for item in items if item["ph"] == "e" and item["cat"] == "operations" and item["id"] == left["id"]]
    assert end["ts"] == round(history.end_t * 1e6, 3)


def test_what_came_off_the_wire_is_text() -> None:
    shown = trace.text(twice(words="\x1b[31m\x00</script>\u202e"))
    assert not {"\x1b", "\x00", "\u202e"} & set(shown)
    assert json.loads(shown)
    assert json.loads(trace.EMPTY)["traceEvents"] == []
