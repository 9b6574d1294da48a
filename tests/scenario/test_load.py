"""What a good file becomes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from faultline.errors import ScenarioError, UsageError
from faultline.history.contract import ClientPolicy
from faultline.scenario.load import find, load, load_all
from faultline.scenario.model import Expectation, OrdersWorkload, Scenario
from faultline.scenario.tables import Tables
from faultline.worlds.effect_rule import EffectRule

Read = Callable[..., tuple[Scenario, ...]]

FULL = """\
# a comment
version: 1
name: orders survive
about: >
  Two lines
  of text.
tags: [orders, nightly]
targets:
  careful: targets/order_flow.py:OrderFlow
  naive: targets/naive_flow.py:NaiveFlow
venue: {profile: plain, lag: 250ms, fee: 0.1, resting: 10%, limits: [{count: 3, window: 1min}]}
client: {key_survives: false, watermark: tag}
world: sim
seeds: 20
time_limit: 2h
workload: {orders: 1000, rate: 20/s, cancels: 5%, linger: 3s, tail: 60s, order_type: mixed}
faults:
  - lost
  - lost: {on: POST /orders, probability: 50%, during: [0s, 40s]}
  - lost: {every: 5s, jitter: 1s, after: fill, delay: never, rate: 64KiB/s, after_bytes: 5B, status: 429}
  - lost:
  - lost: {nth: [1, 3]}
expect:
  - all_there
  - soon: {within: 90s}
expect_for:
  naive: {fails: {whole: a fresh key per retry}, may_fail: [all_there], seeds: 5}
"""


@pytest.fixture
def full(read: Read) -> Scenario:
    (scenario,) = read(FULL)
    return scenario


def test_the_head(full: Scenario) -> None:
    assert (full.path, full.name, full.about) == ("s.yaml", "orders survive", "Two lines of text.")
    assert (full.tags, full.world, full.seeds, full.time_limit_s) == (("orders", "nightly"), "sim", 20, 7200.0)
    assert list(full.targets) == ["careful", "naive"]
    assert full.policy == ClientPolicy(key_survives=False, watermark="tag")


def test_the_venue(full: Scenario) -> None:
    settings = full.venue.settings
    assert full.venue.profile == "plain"
    assert (settings.lag_s, settings.fee, settings.resting, settings.strict) == (0.25, Decimal("0.1"), 0.1, True)
    assert [(limit.count, limit.window_s) for limit in settings.limits] == [(3, 60.0)]


def test_the_workload(full: Scenario) -> None:
    assert full.workload == OrdersWorkload(
        orders=1000, rate_per_s=20.0, cancels=0.05, linger_s=3.0, tail_s=60.0, order_type="mixed"
    )


def test_the_faults_in_their_order(full: Scenario) -> None:
    plain, often, third, empty, listed = full.faults
    assert plain == empty == type(plain)()
    assert (often.on, often.probability, often.during_s) == ("POST /orders", 0.5, (0.0, 40.0))
    assert (third.every_s, third.every_jitter_s, third.after) == (5.0, 1.0, "fill")
    assert listed.nth == (1, 3)
    assert (third.delay_s, third.rate_bytes_per_s, third.after_bytes, third.status) == ("never", 65536.0, 5, 429)


def test_a_group_becomes_its_oracles(full: Scenario) -> None:
    assert [oracle.name for oracle in full.expect] == ["whole", "acked", "soon"]
    assert full.expect[2].within_s == 90.0


def test_what_is_known_of_a_target(full: Scenario) -> None:
    assert full.expectation("naive").fails == {"whole": "a fresh key per retry"}
    assert full.expectation("naive").may_fail == ("acked",)
    assert full.expectation("naive").seeds == 5
    assert full.expectation("careful") == Expectation()


def test_where_each_part_stands(full: Scenario) -> None:
    assert full.where("faults", 1) == (19, 5)
    assert full.where("faults", 1, "lost", "probability") == (19, 43)
    assert full.where("seeds") == (14, 8)
    assert str(full.problem("no", "venue", "lag")) == "s.yaml:11:30: no"


def test_a_scenario_can_be_sent_to_another_process(full: Scenario) -> None:
    assert pickle.loads(pickle.dumps(full)).name == full.name


def test_the_least_that_a_scenario_needs(read: Read) -> None:
    (scenario,) = read("{name: n, target: 't.py:T', venue: plain, expect: [whole], faults: }")
    assert scenario.targets == {"default": "t.py:T"}
    assert scenario.faults == ()
    assert scenario.seeds == 10


def test_failures_without_reasons(read: Read) -> None:
    text = "{name: n, target: 't.py:T', venue: plain, expect: [whole], expect_for: {default: {fails: [whole]}}}"
    assert read(text)[0].expectation("default").fails == {"whole": ""}


def test_folders_are_searched_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b/two.yaml", "a/one.yml", "c.toml", "a/.hidden/x.yaml", "a/notes.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert find([tmp_path, tmp_path / "c.toml"]) == [
        tmp_path / "a/one.yml",
        tmp_path / "b/two.yaml",
        tmp_path / "c.toml",
    ]


def test_a_path_that_is_not_there_and_a_folder_without_scenarios(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        find([tmp_path / "missing"])
    with pytest.raises(UsageError, match="no scenario files"):
        find([tmp_path])


def test_the_problems_of_all_files_are_told_at_once(tmp_path: Path, tables: Tables) -> None:
    (tmp_path / "a.yaml").write_text("nam: x\n")
    (tmp_path / "b.yaml").write_bytes(b"name: x\nabout: \xff\n")
    with pytest.raises(ScenarioError) as caught:
        load_all([tmp_path / "a.yaml", tmp_path / "b.yaml"], tables=tables)
    assert {Path(problem.path).name for problem in caught.value.problems} == {"a.yaml", "b.yaml"}
    assert f"{tmp_path / 'b.yaml'}:2:8: not UTF-8 text" in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path, tables: Tables) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path, tables=tables)
    (tmp_path / "big.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(UsageError, match="this is not a scenario"):
        load(tmp_path / "big.yaml", tables=tables)


def test_the_shipped_tables_are_complete() -> None:
    shipped = Tables.shipped()
    assert {"lost_response", "crash"} <= set(shipped.faults)
    assert {"no_duplicates", "reconciled"} <= set(shipped.oracles)
    assert "no_loss" in shipped.groups
    assert "generic" in shipped.settings


def test_effects_are_read_with_their_places(read: Read) -> None:
    text = "name: n\ntarget: t.py:T\nvenue: plain\nexpect: [whole]\nparams: {header: X-Key}\neffects:\n"
    (scenario,) = read(
        text + '  - POST /orders: {key: "header ${header}", id: json data.0.id, statuses: [201]}\n  - "PUT /a*"\n'
    )
    placed, other = scenario.effects
    assert placed == EffectRule("POST /orders", key="header X-Key", id="json data.0.id", statuses=(201,))
    assert other == EffectRule("PUT /a*")
