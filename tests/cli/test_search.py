"""``faultline search`` and ``faultline shrink``, as a person or a program calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Done

Cli = Callable[..., Done]
Project = Callable[..., Path]

KINDS = ("--faults", "lost_response,lost_request")


def test_a_search_says_what_fails_what_it_claims_and_how_to_repeat_it(project: Project, cli: Cli) -> None:
    project(target="Naive")
    done = cli("search", "s.yaml", *KINDS)
    assert (done.code, done.err) == (1, "")
    assert re.search(r"\n +8 +no_duplicates +lost_response +POST /orders \[I1\] #1 after\n", done.out)
    assert "8 runs of these failed; judged by" in " ".join(done.out.split())
    assert "1 of 1 fault is enough" in done.out
    assert "Of 4 intents it needs: I1." in done.out
    (path,) = re.findall(r"faultline replay (\S+)", done.out)
    again = cli("replay", path)
    assert again.code == 1
    assert "the history is the one that was saved" in again.out


def test_the_result_is_the_same_with_any_number_of_processes(project: Project, cli: Cli) -> None:
    project(target="Naive")
    one = cli("search", "s.yaml", *KINDS, "--pairs", "--limit", "26", "--json", "--jobs", "1")
    two = cli("search", "s.yaml", *KINDS, "--pairs", "--limit", "26", "--json", "--jobs", "2")
    assert one == two
    document = json.loads(one.out)
    (result,) = document["results"]
    assert (document["exit_code"], result["status"]) == (1, "fail")
    assert result["singles"]["tried"] + result["pairs"]["tried"] == 26
    assert result["pairs"]["tried"] > 0
    clusters = {(cluster["oracle"], *cluster["where"]): cluster for cluster in result["clusters"]}
    lost = clusters["no_duplicates", "POST /orders lost_response"]
    assert (lost["count"], lost["first"]) == (8, ["lost_response at POST /orders [I1] #1 after"])
    assert lost["failure"]["minimal"]


def test_a_client_that_passes_and_one_that_leaves_nothing_to_search(project: Project, cli: Cli) -> None:
    project(expect="no_duplicates, no_lost_intent, resolved_unknowns")
    done = cli("search", "s.yaml", "--faults", "lost_response", "--limit", "2")
    assert done.code == 0
    assert "stopped by       the limit of 2 runs" in done.out
    assert re.search(r"2 of \d+ single faults of 1 kind", done.out)
    done = cli("search", "s.yaml", "--faults", "partial_fill", "--limit", "2")
    assert "idle             resolved_unknowns: nothing to judge" in done.out
    done = cli("search", "s.yaml", "--faults", "cancel_race")
    assert done.code == 4
    assert "Nothing was searched: none of cancel_race fits" in done.out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--faults", "lost_respose"), "did you mean 'lost_response'"),
        (("--faults", "latency"), "holds over an interval"),
        (("--faults", ","), "--faults names none"),
        (("--faults", "hub_close"), "hub_close"),
        (("--budget", "5"), "unit"),
    ],
)
def test_what_cannot_be_searched_is_said_and_nothing_runs(
    project: Project, cli: Cli, arguments: tuple[str, ...], why: str
) -> None:
    project()
    done = cli("search", "s.yaml", *arguments)
    assert (done.code, done.out) == (2, "")
    assert why in done.err


def test_a_saved_schedule_is_shrunk_to_the_intent_that_it_needs(project: Project, cli: Cli) -> None:
    project(target="Naive", fault="lost_response: {on: POST /orders, during: [0s, 5s]}")
    assert cli("run", "s.yaml", "--seeds", "1").code == 1
    (saved,) = Path(".faultline").glob("*.json")
    text = json.loads(saved.read_text())
    # What somebody adds by hand, here a fault that does no harm, is left out again.
    more = {**text["entries"][0], "entity": "I3", "fault": "by_hand", "rank": 0}
    saved.write_text(json.dumps({**text, "entries": [*text["entries"], more]}))
    done = cli("shrink", str(saved))
    assert (done.code, done.err) == (0, "")
    assert "Of 4 intents it needs: I1." in done.out
    small = saved.with_name(f"{saved.stem}.small.json")
    kept = json.loads(small.read_text())
    assert json.loads(kept["meta"]["intents"]) == ["I1"]
    assert [entry["entity"] for entry in kept["entries"]] == ["I1"]
    again = cli("replay", str(small))
    assert again.code == 1
    assert "the history is the one that was saved" in again.out
    history = small.with_name(f"{small.stem}.replay.jsonl").read_text()
    assert '"id":"I1"' in history
    assert '"id":"I2"' not in history
    shown = cli("report", str(small))
    assert shown.code == 0
    assert cli("shrink", str(saved), "--target", "clients.py:Careful").code == 4

    for intents, why in (('["I77"]', "has no intent I77"), ("I1", "is not a list")):
        small.write_text(json.dumps({**kept, "meta": {**kept["meta"], "intents": intents}}))
        refused = cli("replay", str(small))
        assert refused.code == 2
        assert why in refused.err
