"""The parts of the nightly job, each alone: memory, shares, proof, what is told, units."""

from __future__ import annotations

import configparser
import multiprocessing
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from faultline.campaign.model import Campaign, Case, CaseResult, Failure, RunRecord
from faultline.errors import HarnessError
from faultline.nightly import Known, Memory, Outcome, Repeated, failure_rate_max, proof, share, tell
from faultline.nightly.install import UNITS
from faultline.nightly.lock import LockedError, held
from faultline.nightly.memory import FIRST_FRESH, key_of

MakeCase = Callable[..., Case]
Record = Callable[..., RunRecord]


def result(of: Case, *runs: RunRecord, failures: tuple[Failure, ...] = ()) -> CaseResult:
    return CaseResult(replace(of, seeds=tuple(run.seed for run in runs)), runs, failures)


# Memory


def test_seeds_are_never_used_twice(case: MakeCase, tmp_path: Path) -> None:
    one, two = case("one"), case("two")
    memory = Memory(tmp_path)
    assert memory.fresh_seeds(one, 3) == (FIRST_FRESH, FIRST_FRESH + 1, FIRST_FRESH + 2)
    memory.save()
    again = Memory(tmp_path)
    assert again.fresh_seeds(one, 1) == (FIRST_FRESH + 3,)
    assert again.fresh_seeds(two, 1) == (FIRST_FRESH,)


def test_what_failed_is_remembered_and_what_passed_proves_more_each_night(
    case: MakeCase,
    record: Record,
    tmp_path: Path,
) -> None:
    memory, one = Memory(tmp_path), case()
    saved = Failure("one", 7, schedule_path="a.json")
    stated = Failure("one", 7, schedule_path="b.json", stated="known")
    bad = result(one, record(6), record(7, "one"), record(8, error="boom"), failures=(saved, stated))
    memory.learn(bad, 3, "digest")
    memory.save()
    known = Memory(tmp_path).of(one)
    assert (known.failed, known.schedules, known.failing) == ([7, 8], ["a.json"], ["one", "broke"])
    assert (known.runs, known.clean_runs, known.digest) == (3, 0, "digest")

    memory.learn(result(one, record(1), record(2)), 2, "digest")
    memory.learn(result(one, record(1), record(2), record(3)), 1, "digest")
    known = memory.of(one)
    assert (known.failed, known.failing, known.runs, known.clean_runs) == ([7, 8], [], 6, 3)


def test_a_failure_that_did_not_happen_as_stated_is_remembered(
    case: MakeCase,
    record: Record,
    tmp_path: Path,
) -> None:
    memory, one = Memory(tmp_path), case(fails={"one": "a known bug"})
    memory.learn(result(one, record(1), record(2)), 2, "")
    assert memory.of(one).failing == ["not one"]


def test_the_oldest_failing_seeds_go_first(case: MakeCase, record: Record, tmp_path: Path) -> None:
    memory, one = Memory(tmp_path), case()
    memory.learn(result(one, *(record(seed, "one") for seed in range(250))), 250, "")
    memory.learn(result(one, record(60, "one")), 1, "")
    failed = memory.of(one).failed
    assert (len(failed), failed[0], failed[-1]) == (200, 50, 60)


@pytest.mark.parametrize("text", ["{", '{"version": "x"}', '{"version": 2}'])
def test_a_memory_that_cannot_be_read_is_not_forgotten_in_silence(text: str, tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text(text)
    with pytest.raises(HarnessError, match=r"memory\.json"):
        Memory(tmp_path)
    assert (tmp_path / "memory.json").read_text() == text


def test_a_full_disk_leaves_the_old_memory(case: MakeCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, one = Memory(tmp_path), case()
    memory.fresh_seeds(one, 3)
    memory.save()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    memory.fresh_seeds(one, 3)
    with pytest.raises(HarnessError, match="No space left"):
        memory.save()
    assert [path.name for path in tmp_path.iterdir()] == ["memory.json"]
    assert Memory(tmp_path).of(one).next_seed == FIRST_FRESH + 3


# The lock


def _hold(path: str, ready: object, done: object) -> None:
    with held(Path(path)):
        ready.set()  # type: ignore[attr-defined]
        done.wait()  # type: ignore[attr-defined]


def test_the_lock_is_held_against_others_and_dies_with_its_holder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path / "lock"), ready, done))
    holder.start()
    assert ready.wait(30)
    with pytest.raises(LockedError, match=f"process {holder.pid} holds"), held(tmp_path / "lock"):
        pass
    holder.kill()
    holder.join()
    with held(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text().strip().isdigit()


# Shares


def test_what_failed_or_changed_gets_more() -> None:
    assert share.weight(Known(failing=["x"], digest="a"), "a") == share.FAILED_WEIGHT
    assert share.weight(Known(digest="a"), "b") == share.CHANGED_WEIGHT
    assert share.weight(Known(failed=[1], digest="a"), "a") == share.EVER_FAILED_WEIGHT
    assert share.weight(Known(digest="a"), "a") == 1.0


def test_time_becomes_seeds_by_what_a_run_costs() -> None:
    assert share.seeds_for([1.0, 1.0, 2.0], [0.1, 1.0, 0.1], time_s=10.0, jobs=2) == [50, 5, 100]
    assert share.seeds_for([1.0], [0.0], time_s=1.0, jobs=1) == [10], "a guess before the first run"
    assert share.seeds_for([1.0, 99.0], [9.0, 1e-9], time_s=1.0, jobs=1) == [1, share.ROUND_SEEDS_MAX]


def test_a_change_of_the_scenario_or_of_the_client_is_seen(case: MakeCase, tmp_path: Path) -> None:
    scenario, client, beside = tmp_path / "s.yaml", tmp_path / "c.py", tmp_path / "helper.py"
    for file in (scenario, client, beside):
        file.write_text("1")
    one = case()
    one = replace(
        one,
        scenario=replace(one.scenario, path=str(scenario)),
        target=replace(one.target, spec=f"{client}:Client"),
    )
    seen = {share.digest_of(one)}
    for file in (scenario, client, beside):
        file.write_text("2")
        seen.add(share.digest_of(one))
    assert len(seen) == 4
    scenario.unlink()
    share.digest_of(one)


# Proof


def test_no_failure_in_3000_runs_is_below_a_tenth_of_a_percent() -> None:
    assert failure_rate_max(3000) == pytest.approx(0.000998, abs=1e-6)
    assert proof.shown_rate(failure_rate_max(3000)) == "0.100 %"
    assert failure_rate_max(0) == failure_rate_max(3, 3) == 1.0


@pytest.mark.parametrize(("runs", "failures", "bound"), [(10, 1, 0.3942), (100, 5, 0.1023), (20, 0, 0.1391)])
def test_the_bound_is_the_one_in_the_tables(runs: int, failures: int, bound: float) -> None:
    assert failure_rate_max(runs, failures) == pytest.approx(bound, abs=1e-4)


@given(st.floats(1e-6, 1.0))
def test_a_rate_is_never_rounded_down(rate: float) -> None:
    assert float(proof.shown_rate(rate).split()[0]) >= rate * 100 - 1e-9


# What is told


def outcome(*results: CaseResult, **more: object) -> Outcome:
    campaign = Campaign(tuple(results), len(results), False, 1.0)
    fields = {"new": (), "fixed": (), "still": (), "replayed": (), "rounds": 2, "ended_by": "its deadline"}
    return Outcome(campaign, **{**fields, **more})  # type: ignore[arg-type]


def test_the_report_says_what_is_new_and_what_is_proven(case: MakeCase, record: Record, tmp_path: Path) -> None:
    good, bad = case("good"), case("bad")
    memory = Memory(tmp_path)
    memory.of(good).clean_runs = 3000
    lines = tell.lines(
        outcome(
            result(good, *(record(seed) for seed in range(60))),
            result(bad, *(record(seed) for seed in range(9)), record(9, "one")),
            new=("bad: one",),
            replayed=(Repeated("a.json", "bad", ""), Repeated("b.json", "bad", "one")),
        ),
        memory,
    )
    assert lines == [
        "ended by its deadline after 2 rounds of fresh seeds",
        "NEW: bad: one",
        "2 saved schedules repeated, 1 failed again",
        "  one: faultline replay b.json",
        "good [it]: 0 failures in 60 runs: below 4.9 % at 95 %; over nights 3000 runs without one: below 0.100 %",
        "bad [it]: 1 failure in 10 runs: below 40 % at 95 %",
    ]


def test_somebody_is_told_only_when_something_changed(case: MakeCase, record: Record) -> None:
    bad = case("bad")
    saved = Failure("one", 1, schedule_path="a.json")
    failing = outcome(result(bad, record(1, "one"), failures=(saved,)), new=(f"{key_of(bad)}: one",))
    told = tell.message(failing, [], 1, "an oracle failed")
    assert told is not None
    assert (told["title"], told["new"], told["repeat"]) == (
        "faultline nightly: 1 thing failing", [f"{key_of(bad)}: one"], ["faultline replay a.json"],
    )  # fmt: skip
    still = outcome(result(bad, record(1, "one"), failures=(saved,)), still=(f"{key_of(bad)}: one",))
    assert tell.message(still, tell.failing_now(failing), 1, "") is None
    well = tell.message(outcome(), tell.failing_now(failing), 0, "")
    assert well is not None
    assert (well["title"], well["fixed"]) == ("faultline nightly: all is well", [f"{key_of(bad)}: one"])


def test_a_night_that_stopped_happening_is_noticed_also_when_the_clocks_change(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    assert tell.freshness(memory, 0.0, 3600) == "no night has ever ended here"
    berlin = ZoneInfo("Europe/Berlin")
    # The night to the last Sunday of March has 23 hours, that to the last Sunday of October 25.
    for last, now, hours in (((2026, 3, 28), (2026, 3, 29), 23), ((2026, 10, 24), (2026, 10, 25), 25)):
        memory.finish(datetime(*last, 4, tzinfo=berlin).timestamp())
        now_s = datetime(*now, 4, tzinfo=berlin).timestamp()
        assert tell.freshness(memory, now_s, hours * 3600) == ""
        assert f"ended {hours}.0 hours ago" in tell.freshness(memory, now_s, hours * 3600 - 1)


# Units


WORDS = ["/opt/my tools/faultline", "nightly", "scenarios/", "--budget", "2h", "--param", "a=50%", "$HOME's"]


def test_a_crontab_line_survives_a_shell() -> None:
    line = UNITS["cron"](WORDS, Path("/srv/my bot"), 7200).splitlines()[1]
    minute, hour, *rest = line.split(maxsplit=5)
    assert (minute, hour, rest[:3]) == ("30", "2", ["*", "*", "*"])
    shell = rest[3].replace("\\%", "%")
    assert "%" not in rest[3].replace("\\%", "")
    assert shlex.split(shell.partition(" && ")[0]) == ["cd", "/srv/my bot"]
    assert shlex.split(shell.partition(" && ")[2].partition(" >>")[0]) == WORDS


def test_a_systemd_unit_gives_a_night_time_to_report() -> None:
    text = UNITS["systemd"](WORDS, Path("/srv/bot"), 7200)
    service, timer = text.split("# ~/.config/systemd/user/faultline-nightly.timer")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(service)
    assert unit["Service"]["TimeoutStartSec"] == "7320"
    assert unit["Service"]["KillMode"] == "mixed"
    assert '"a=50%%"' in unit["Service"]["ExecStart"]
    assert '"$$HOME\'s"' in unit["Service"]["ExecStart"]
    assert "Persistent=true" in timer


def test_a_cronjob_and_a_workflow_are_yaml() -> None:
    job = yaml.safe_load(UNITS["kubernetes"](WORDS, Path("/x"), 7200))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["command"] == ["faultline", *WORDS[1:]]
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == pod["containers"][0]["workingDir"] + "/.faultline", "or every night is the first"
    flow = yaml.safe_load(UNITS["github"](WORDS, Path("/x"), 7200))
    steps = flow["jobs"]["chaos"]["steps"]
    assert shlex.split(steps[4]["run"]) == ["faultline", *WORDS[1:]]
    assert flow["jobs"]["chaos"]["timeout-minutes"] == 130


def test_a_unit_is_printed_without_its_own_option(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faultline", "nightly", "s/", "--install", "cron", "--budget", "1h"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[1].endswith("-m faultline nightly s/ --budget 1h >> .faultline/nightly.log 2>&1")
    assert list(tmp_path.iterdir()) == []
