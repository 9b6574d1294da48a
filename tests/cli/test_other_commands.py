"""``validate``, ``list``, ``schema`` and ``replay``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Done

Cli = Callable[..., Done]
Project = Callable[..., Path]


def test_validate_says_what_it_checked(cli: Cli, project: Project) -> None:
    project("a.yaml")
    project("b.yaml", more="matrix: {p: [1s, 2s]}", fault="latency: {delay: '${p}'}")
    assert cli("validate", ".") == Done(0, "3 scenarios in 2 files: all good\n", "")


def test_validate_runs_nothing_and_finds_what_a_run_would(cli: Cli, project: Project) -> None:
    project(target="Nobody")
    done = cli("validate", "s.yaml")
    assert done.code == 2
    assert "s.yaml:3:9: " in done.err
    assert "has no class 'Nobody'" in done.err
    project(target="NoStart")
    assert cli("validate", "s.yaml").code == 0


def test_list_shows_scenarios(cli: Cli, project: Project) -> None:
    project("a/one.yaml", name="first")
    project("a/two.yaml", name="second", tag="slow", more="about: it is about something")
    done = cli("list", "a")
    assert done.code == 0
    assert "a/one.yaml:1   first" in done.out
    assert "#slow" in done.out
    assert done.out.endswith("2 scenarios\n")
    assert "it is about something" in cli("list", "a", "-v").out
    (only,) = json.loads(cli("list", "a", "--tag", "slow", "--json").out)
    assert (only["name"], only["faults"], only["line"]) == ("second", ["lost_response"], 1)
    assert [each["name"] for each in json.loads(cli("list", "a", "-k", "one", "--json").out)] == ["first"]


@pytest.mark.parametrize(
    ("table", "name"), [("--faults", "lost_response"), ("--oracles", "no_duplicates"), ("--venues", "payments")]
)
def test_list_shows_what_scenarios_can_name(cli: Cli, table: str, name: str) -> None:
    assert f"\n{name} " in cli("list", table).out
    described = json.loads(cli("list", table, "--json").out)
    assert len(described) >= 5
    assert all(described.values()), "each says what it is"


def test_the_schema_is_json(cli: Cli) -> None:
    assert json.loads(cli("schema").out)["title"] == "faultline scenario"


# Replays


@pytest.fixture
def saved(cli: Cli, project: Project) -> Path:
    """A saved failure of the naive client."""
    project(target="Naive", seeds=1, more="params: {n: 3}\nabout: about ${n}")
    assert cli("run", "s.yaml", "--jobs", "1").code == 1
    (path,) = Path(".faultline").glob("*.json")
    return path


def test_a_replay_against_a_repaired_client_is_the_proof(cli: Cli, saved: Path) -> None:
    done = cli("replay", str(saved), "--target", "clients.py:Careful")
    assert done.code == 0
    assert "✓ no_duplicates" in done.out
    assert "FAIL" not in done.out


def test_a_replay_of_changed_code_says_that_its_history_is_another(cli: Cli, saved: Path, project: Project) -> None:
    text = saved.read_text()
    saved.write_text(text.replace('"history_hash": "', '"history_hash": "0'))
    done = cli("replay", str(saved))
    assert done.code == 1
    assert "the history is not the one that was saved" in done.out


def test_a_replay_streams_its_history_beside_the_schedule(cli: Cli, saved: Path) -> None:
    cli("replay", str(saved))
    streamed = saved.with_name(saved.stem + ".replay.jsonl")
    original = saved.with_name(saved.stem + ".history.jsonl")
    assert streamed.read_bytes() == original.read_bytes()


def with_meta(saved: dict[str, Any], **meta: str) -> dict[str, Any]:
    return {**saved, "meta": {**saved["meta"], **meta}}


def test_a_replay_finds_a_target_beside_its_scenario(cli: Cli, project: Project) -> None:
    path = project("deep/s.yaml", target="Naive", seeds=1)
    (path.parents[1] / "clients.py").rename(path.parent / "clients.py")
    assert cli("run", "deep", "--jobs", "1").code == 1
    (saved,) = Path(".faultline").glob("*.json")
    assert cli("replay", str(saved)).code == 1
    assert cli("replay", str(saved), "--target", "clients.py:Careful").code == 0


def test_a_replay_explains_the_oracle_that_was_saved(cli: Cli, project: Project) -> None:
    project(target="Naive", seeds=1, expect="no_duplicates, reconciled")
    assert cli("run", "s.yaml", "--jobs", "1", "-v").code == 1
    (second,) = Path(".faultline").glob("*reconciled-seed0.json")
    assert "FAIL  orders · Naive · reconciled · seed 0" in cli("replay", str(second)).out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda saved: {**saved, "meta": {}}, "does not say which scenario, target and seed"),
        (lambda saved: {**saved, "meta": {**saved["meta"], "scenario": "gone.yaml"}}, "its scenario gone.yaml is not"),
        (
            lambda saved: {**saved, "meta": {**saved["meta"], "name": "order"}},
            "no scenario 'order' any more; did you mean",
        ),
        (lambda saved: {"faultline_schedule": 99, "entries": []}, "written in format 99"),
        (lambda saved: {"entries": []}, "not a saved schedule"),
    ],
)
def test_a_schedule_that_cannot_be_replayed_is_2(
    cli: Cli, saved: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    saved.write_text(json.dumps(change(json.loads(saved.read_text()))))
    done = cli("replay", str(saved))
    assert done.code == 2
    assert message in done.err
    assert done.err.startswith(str(saved))
