"""``faultline run``, from the command line to the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faultline.campaign.model import RunRecord
from tests.cli.conftest import Done

Cli = Callable[..., Done]
Project = Callable[..., Path]

NAMED = "targets: {careful: 'clients.py:Careful', naive: 'clients.py:Naive'}"


def test_all_as_expected_is_0(cli: Cli, project: Project) -> None:
    project(targets=NAMED, more="expect_for: {naive: {fails: {no_duplicates: a fresh key per retry}}}")
    done = cli("run", "s.yaml", "--jobs", "1")
    assert done.code == 0
    careful, naive = [line for line in done.out.splitlines() if "✓" in line]
    assert "orders" in careful
    assert "careful" in careful
    assert "2 seeds" in careful
    assert "fails as stated: no_duplicates under every seed" in naive
    assert "2 of 2 as expected" in done.out
    assert done.out.endswith("exit 0: every verdict as expected\n")
    assert done.err == ""


def test_a_failure_is_1_and_explained(cli: Cli, project: Project) -> None:
    path = project(target="Naive")
    done = cli("run", str(path), "--jobs", "1")
    assert done.code == 1
    assert "✗ orders  Naive" in done.out
    assert "FAIL  orders · Naive · no_duplicates · seed 0" in done.out
    assert f"{path}:9:9   clients.py:Naive" in done.out
    assert "became 2 orders" in done.out
    assert "1 of " in done.out
    assert "is enough" in done.out
    assert "lost_response   POST /orders [I" in done.out
    assert "wanted" in done.out
    assert "said done; believes filled 4" in done.out
    assert "exit 1: an oracle failed" in done.out


def test_a_failure_that_cannot_be_saved_is_explained_all_the_same(cli: Cli, project: Project) -> None:
    path = project(target="Naive")
    (path.parent / ".faultline").write_text("a file where the folder should be")
    done = cli("run", str(path), "--jobs", "1", "--no-store")
    assert done.code == 1
    assert "became 2 orders" in done.out
    assert "faultline replay" not in done.out
    assert ".faultline/s-Naive-no_duplicates-seed0.json: not saved: File exists" in done.err


def test_the_printed_line_repeats_the_failure_with_the_same_history(cli: Cli, project: Project) -> None:
    project(target="Naive")
    shown = cli("run", "s.yaml", "--jobs", "1").out
    (line,) = [line for line in shown.splitlines() if "faultline replay" in line]
    command = line.split("faultline ")[1].split()
    done = cli(*command)
    assert done.code == 1
    assert "the history is the one that was saved" in done.out
    assert "became 2 orders" in done.out
    saved = json.loads(Path(command[1]).read_text())
    assert len(saved["entries"]) == 1
    assert json.loads(cli(*command, "--json").out)["run"]["history_hash"] == saved["meta"]["history_hash"]


def test_a_stated_failure_that_does_not_happen_is_1(cli: Cli, project: Project) -> None:
    project(more="expect_for: {default: {fails: [no_duplicates]}}")
    done = cli("run", "s.yaml", "--jobs", "1")
    assert done.code == 1
    assert "did not fail as stated: no_duplicates" in done.out


def test_a_fault_that_never_fires_is_4(cli: Cli, project: Project) -> None:
    project(fault="lost_response: {on: 'DELETE /orders/*'}")
    done = cli("run", "s.yaml", "--jobs", "1")
    assert done.code == 4
    assert "?" in done.out
    assert "fault lost_response never fired in 2 runs" in done.out
    assert "exit 4: inconclusive" in done.out


def test_a_target_that_raises_in_start_is_3_without_a_traceback(cli: Cli, project: Project) -> None:
    project(target="NoStart")
    done = cli("run", "s.yaml", "--jobs", "1")
    assert done.code == 3
    assert (
        "broke under every seed: TargetError: clients.py:NoStart does not start: RuntimeError: no database" in done.out
    )
    assert "Traceback" not in done.out + done.err


def test_a_client_that_depends_on_addresses_is_told_where_its_runs_part(cli: Cli, project: Project) -> None:
    project(target="ByAddress", seeds=1)
    done = cli("run", "s.yaml", "--jobs", "1")
    assert done.code == 1
    assert "Run again under the same seed, it went another way, first at event" in done.out
    then, now = [line for line in done.out.splitlines() if line.startswith(("    then  ", "    now   "))]
    assert then[10:] != now[10:]
    assert "its faults were not shrunk" in done.out


def test_a_run_that_went_another_way_earlier_is_told(
    cli: Cli, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faultline.campaign import conductor

    def elsewhere(*arguments: Any) -> list[RunRecord]:
        return [replace(record, history_hash="0" * 32) for record in run_seeds(*arguments)]

    project(target="Naive", seeds=1)
    run_seeds = conductor.run_seeds
    monkeypatch.setattr(conductor, "run_seeds", elsewhere)
    done = cli("run", "s.yaml", "--jobs", "1")
    assert done.code == 1
    assert f"then  history {'0' * 32}, in another process or earlier in this one" in done.out


def test_json_is_one_document_with_every_run(cli: Cli, project: Project) -> None:
    project(target="Naive", seeds=3)
    done = cli("run", "s.yaml", "--jobs", "1", "--json")
    report = json.loads(done.out)
    assert done.code == report["exit_code"] == 1
    assert [run["seed"] for run in report["runs"]] == [0, 1, 2]
    for run in report["runs"]:
        assert run["target"] == "clients.py:Naive"
        assert set(run["verdicts"]) == {"no_duplicates", "no_lost_intent"}
        assert run["verdicts"]["no_duplicates"]["verdict"] in ("pass", "fail")
        assert len(run["history_hash"]) == 32
        assert all(receipt["fault"] == "lost_response" for receipt in run["receipts"])
    (failure,) = report["results"][0]["failures"]
    assert failure["repeat"].startswith("faultline replay .faultline/")
    assert failure["side_by_side"][0]["venue"].count("order") == 2
    assert Path(failure["history"]).read_text().startswith('{"faultline_history"')


def test_what_a_client_prints_goes_to_stderr(cli: Cli, project: Project) -> None:
    project(target="Talks", seeds=1)
    done = cli("run", "s.yaml", "--jobs", "1", "--json")
    json.loads(done.out)
    assert "hello from the client" in done.err


def test_several_processes_come_to_the_same_histories(cli: Cli, project: Project) -> None:
    project(target="Naive", seeds=4)
    alone = json.loads(cli("run", "s.yaml", "--jobs", "1", "--json").out)
    shared = json.loads(cli("run", "s.yaml", "--jobs", "2", "--json").out)
    assert [run["history_hash"] for run in alone["runs"]] == [run["history_hash"] for run in shared["runs"]]
    assert alone["results"][0]["failures"] == shared["results"][0]["failures"]


def test_seeds_and_seed(cli: Cli, project: Project) -> None:
    project(seeds=5)

    def seeds(*options: str) -> list[int]:
        report = json.loads(cli("run", "s.yaml", "--jobs", "1", "--json", *options).out)
        return [run["seed"] for run in report["runs"]]

    assert seeds("--seeds", "2") == [0, 1]
    assert seeds("--seed", "7") == [7]
    assert seeds("--seed", "7", "--seeds", "2") == [7, 8]


def test_a_target_from_the_command_line_takes_the_place_of_all_others(cli: Cli, project: Project) -> None:
    project(targets=NAMED, more="expect_for: {naive: {fails: [no_duplicates]}}")
    done = cli("run", "s.yaml", "--target", "clients.py:Naive", "--jobs", "1")
    assert done.code == 1
    assert done.out.count("✗") == 1
    assert "FAIL  orders · Naive" in done.out


def test_scenarios_are_picked_by_tag_text_and_parameter(cli: Cli, project: Project) -> None:
    project("a/one.yaml", name="first", tag="smoke")
    project("a/two.yaml", name="second", tag="slow", more="matrix: {p: [1s, 2s]}", fault="latency: {delay: '${p}'}")

    def names(*options: str) -> list[str]:
        done = cli("run", "a", "--dry-run", *options)
        assert done.code == 0
        return [
            line for line in done.out.splitlines() if "clients" not in line and ("first" in line or "second" in line)
        ]

    assert len(names()) == 3
    assert len(names("--tag", "smoke")) == 1
    assert len(names("-k", "SECOND")) == 2
    assert len(names("-k", "one.yaml", "-k", "p=2s")) == 2
    assert len(names("--param", "p=3s", "--tag", "slow")) == 1


def test_a_dry_run_runs_nothing(cli: Cli, project: Project) -> None:
    project(target="NoStart")
    done = cli("run", "s.yaml", "--dry-run")
    assert done.code == 0
    assert "lost_response" in done.out
    assert done.out.endswith("1 case, 2 runs; nothing ran\n")
    assert not Path(".faultline").exists()


def test_quiet_says_only_what_is_not_as_expected(cli: Cli, project: Project) -> None:
    project("a.yaml", name="good")
    project("b.yaml", name="bad", target="Naive", seeds=1)
    done = cli("run", ".", "-q", "--jobs", "1")
    assert "good" not in done.out
    assert "✗ bad" in done.out
    assert "1 of 2 as expected, 1 failed" in done.out


def test_verbose_shows_every_verdict_and_explains_stated_failures(cli: Cli, project: Project) -> None:
    project(target="Naive", more="expect_for: {default: {fails: {no_duplicates: a fresh key per retry}}}")
    done = cli("run", "s.yaml", "-v", "--jobs", "1")
    assert done.code == 0
    assert "no_lost_intent   pass 2" in done.out
    assert "FAILS AS STATED  orders · Naive · no_duplicates" in done.out
    assert "The scenario says why: a fresh key per retry" in done.out


def test_fail_fast_stops_at_the_first_failure(cli: Cli, project: Project) -> None:
    project("a.yaml", name="bad", target="Naive", seeds=30)
    project("b.yaml", name="never")
    done = cli("run", ".", "--fail-fast", "--jobs", "1")
    assert done.code == 1
    assert "never" not in done.out
    assert "1 not begun" in done.out
    assert "FAIL  bad" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere"], "nowhere: no such file or folder"),
        (["run"], "no PATH given, and there is no folder scenarios/ here"),
        (["run", "s.yaml", "--tag", "slow"], "no scenario has the tag slow; tags: smoke"),
        (["run", "s.yaml", "-k", "zebra"], "no scenario or target matches -k 'zebra'"),
        (["run", "s.yaml", "--param", "p"], "--param 'p': write NAME=VALUE"),
        (["run", "s.yaml", "--param", "p=1"], "no scenario has a parameter 'p'"),
        (["run", "s.yaml", "--target", "clients.py"], "does not name a target; write path/to/file.py:Class"),
        (["run", "s.yaml", "--target", "clients.py:Nobody"], "has no class 'Nobody'"),
        (["run", "s.yaml", "--jobs", "none"], "expected a number of processes, or auto"),
        (["run", "s.yaml", "--seeds", "0"], "0 is not in the range"),
        (["replay", "nowhere.json"], "nowhere.json: cannot be read"),
    ],
)
def test_wrong_usage_is_2_with_one_clear_message(
    cli: Cli, project: Project, arguments: list[str], message: str
) -> None:
    project()
    done = cli(*arguments)
    assert done.code == 2
    assert message in done.err
    assert done.out == ""
    assert "Traceback" not in done.err


def test_every_problem_of_every_file_is_told_with_its_place(cli: Cli, project: Project) -> None:
    project("a.yaml", fault="lots_response")
    project("b.yaml", more="seads: 5")
    done = cli("run", ".")
    assert done.code == 2
    assert "a.yaml:8:5: unknown fault 'lots_response'; did you mean 'lost_response'?" in done.err
    assert "b.yaml:10:1: unknown key 'seads'; did you mean 'seeds'?" in done.err
    assert done.err.endswith("2 problems; nothing ran\n")


def test_a_fault_that_can_never_strike_is_refused_with_its_place(cli: Cli, project: Project) -> None:
    project(fault="lost_response: {on: POST /order}")
    done = cli("run", "s.yaml")
    assert done.code == 2
    assert "s.yaml:8:5: lost_response: " in done.err
    assert "did you mean 'POST /orders'?" in done.err


def test_a_target_that_lacks_what_the_workload_asks_for_is_refused(cli: Cli, project: Project) -> None:
    project(target="NoCancel", more="workload: {orders: 4, cancels: 50%}")
    text = Path("s.yaml").read_text().replace("workload: {orders: 4, rate: 20/s}\n", "")
    Path("s.yaml").write_text(text)
    done = cli("run", "s.yaml")
    assert done.code == 2
    assert "s.yaml:9:11: the workload has cancel intents, and clients.py:NoCancel has no such method" in done.err


def test_a_target_that_does_not_import_is_3_with_its_place(cli: Cli, project: Project) -> None:
    Path(project().parent / "broken.py").write_text("import nothing_of_that_name\n")
    project(targets="target: broken.py:X")
    done = cli("run", "s.yaml")
    assert done.code == 3
    assert "s.yaml:3:9: " in done.err
    assert "No module named 'nothing_of_that_name'" in done.err
    assert "Traceback" not in done.err
    assert "Traceback" in cli("run", "s.yaml", "-v").err


def test_defaults_come_from_the_environment_and_from_pyproject(
    cli: Cli, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(seeds=5)
    Path("pyproject.toml").write_text("[tool.faultline]\nseeds = 3\n")

    def runs(*options: str) -> str:
        return cli("run", "s.yaml", "--dry-run", *options).out.split("case, ")[1].split(" run")[0]

    assert runs() == "3"
    monkeypatch.setenv("FAULTLINE_SEEDS", "2")
    assert runs() == "2"
    assert runs("--seeds", "1") == "1"
    Path("pyproject.toml").write_text("[tool.faultline]\nseed_count = 3\n")
    done = cli("run", "s.yaml", "--dry-run")
    assert (done.code, "unknown key 'seed_count'" in done.err) == (2, True)


def test_a_bug_of_ours_is_3_and_shows_where_only_when_asked(
    cli: Cli, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project()

    def boom(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by us")

    monkeypatch.setattr("faultline.campaign.conduct", boom)
    done = cli("run", "s.yaml")
    assert (done.code, done.err) == (3, "faultline itself broke: ZeroDivisionError: by us (-v shows where)\n")
    assert "Traceback" in cli("run", "s.yaml", "-v").err


def test_a_run_that_breaks_by_our_fault_does_not_end_the_others(
    cli: Cli, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faultline.campaign import work

    project("a.yaml", name="bad", seeds=1)
    project("b.yaml", name="good")
    run = work.run

    def sometimes(plan: work.Plan, seed: int, *rest: object, **options: object) -> work.Run:
        if plan.scenario.name == "bad":
            raise ZeroDivisionError("by us")
        return run(plan, seed, *rest, **options)

    monkeypatch.setattr(work, "run", sometimes)
    done = cli("run", ".", "--jobs", "1")
    assert done.code == 3
    assert "ZeroDivisionError: by us" in done.out
    assert "✓ good" in done.out
    assert "Traceback" not in done.out
    assert "Traceback" in cli("run", ".", "--jobs", "1", "-v").out
