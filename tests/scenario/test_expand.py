"""Parameters, and one file that is several scenarios."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from faultline.errors import UsageError
from faultline.scenario.load import load_all
from faultline.scenario.model import Scenario
from faultline.scenario.tables import Tables

Read = Callable[..., tuple[Scenario, ...]]

TEXT = """
name: "p is ${p}"
params: {p: 50%, n: 3}
matrix: {strict: [true, false], phase: [before, after]}
target: t.py:T
venue: {profile: plain, strict: "${strict}"}
workload: {orders: "${n}"}
faults:
  - lost: {probability: "${p}", phase: "${phase}", header: "x: $${p}-${p}"}
expect: [whole]
"""


def test_a_matrix_is_one_scenario_for_each_combination(read: Read) -> None:
    scenarios = read(TEXT)
    assert [scenario.name for scenario in scenarios] == [
        "p is 50% [strict=true, phase=before]",
        "p is 50% [strict=true, phase=after]",
        "p is 50% [strict=false, phase=before]",
        "p is 50% [strict=false, phase=after]",
    ]
    assert scenarios[3].params == {"strict": "false", "phase": "after"}
    assert [scenario.venue.settings.strict for scenario in scenarios] == [True, True, False, False]


def test_a_whole_value_keeps_the_type_and_a_part_is_text(read: Read) -> None:
    fault = read(TEXT)[0].faults[0]
    assert read(TEXT)[0].workload.orders == 3
    assert fault.probability == 0.5
    assert fault.header == "x: ${p}-50%"


def test_the_command_line_overrides_a_parameter_and_picks_from_a_matrix(read: Read) -> None:
    scenarios = read(TEXT, p="10%", n="7", phase="before")
    assert [scenario.name for scenario in scenarios] == [
        "p is 10% [strict=true, phase=before]",
        "p is 10% [strict=false, phase=before]",
    ]
    assert scenarios[0].workload.orders == 7


def test_an_override_that_no_file_knows_is_an_error(tmp_path: Path, tables: Tables) -> None:
    (tmp_path / "a.yaml").write_text(TEXT)
    (tmp_path / "b.yaml").write_text("{name: n, target: 't.py:T', venue: plain, expect: [whole]}")
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    assert len(load_all(files, params={"p": "10%"}, tables=tables)) == 5
    with pytest.raises(UsageError, match=r"no scenario has a parameter 'pp'; did you mean 'p'\?"):
        load_all(files, params={"pp": "10%", "p": "1%"}, tables=tables)


ROWS = """
name: rows
matrix:
  at:
    mild: {p: 10%, n: 3}
    rough: {p: 90%, n: 5}
  phase: [before, after]
target: t.py:T
venue: plain
workload: {orders: "${at.n}"}
faults:
  - lost: {probability: "${at.p}", phase: "${phase}"}
expect: [whole]
"""


def test_values_that_belong_together_are_rows_of_the_matrix(read: Read) -> None:
    scenarios = read(ROWS)
    assert [scenario.name for scenario in scenarios] == [
        "rows [at=mild, phase=before]",
        "rows [at=mild, phase=after]",
        "rows [at=rough, phase=before]",
        "rows [at=rough, phase=after]",
    ]
    found = [(scenario.workload.orders, scenario.faults[0].probability) for scenario in scenarios]
    assert found == [(3, 0.1), (3, 0.1), (5, 0.9), (5, 0.9)]
    assert [scenario.name for scenario in read(ROWS, at="rough", phase="after")] == ["rows [at=rough, phase=after]"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (ROWS.replace("n: 5", "m: 5"), "one of its rows has at.n and another has not"),
        (ROWS.replace("n: 5", "n: [5]"), "expected a single value"),
        (ROWS.replace("{p: 90%, n: 5}", "9"), "expected a mapping of names to values"),
        (ROWS.replace('"${at.n}"', "3"), "nothing uses ${at.n}; use it or remove it"),
    ],
)
def test_rows_that_do_not_fit_are_told(read: Read, wrong: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        read(wrong)


def test_a_row_that_is_not_there_is_told(read: Read) -> None:
    with pytest.raises(UsageError, match="has no row 'wild'; it has mild, rough"):
        read(ROWS, at="wild")
