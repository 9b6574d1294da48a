"""Every line of the table of failures in docs/scenarios.md does what it says, and the careful client survives it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faultline.plan import make_plan
from faultline.runner import run
from faultline.scenario.load import loads
from faultline.targets import TargetRef

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([^|]+) \| `(\w+: \{[^|]*\})` \| (?:`([^`]*)`)? ?\|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "scenarios.md").read_text())
HEAD = "version: 1\nname: by name\nabout: a failure by its name\ntarget: t.py:T\nseeds: 1\n"


def test_the_table_is_found():
    assert len(ROWS) == 15


@pytest.mark.parametrize(("name", "fault", "venue"), ROWS, ids=[row[0] for row in ROWS])
def test_a_failure_by_name_strikes_and_the_careful_client_survives_it(name, fault, venue):
    settings = f"profile: generic, {venue}" if venue else "profile: generic"
    (scenario,) = loads(
        f"{HEAD}venue: {{{settings}}}\nworkload: {{orders: 12, rate: 2/s}}\nfaults:\n  - {fault}\n"
        "expect: [no_duplicates, no_loss, reconciled, token_valid_at_send, recovers]\n"
    )
    done = run(make_plan(scenario, TargetRef("careful", f"{ROOT}/targets/order_flow.py:OrderFlow")), 0)

    assert done.error is None
    assert done.receipts, name
    assert done.failed == ()


def test_the_crash_at_every_commit_is_one_run_for_each_side_of_each_of_them():
    text = re.search(
        r"`(matrix: \{n: [^`]*)` and `(crash: \{on: store, [^`]*)`", (ROOT / "docs/scenarios.md").read_text()
    )
    assert text is not None
    matrix, fault = (" ".join(part.split()) for part in text.groups())

    cells = loads(
        f"{HEAD}venue: generic\nworkload: {{orders: 4, rate: 5/s}}\n{matrix}\nfaults:\n  - {fault}\n"
        "expect: [crash_consistent, no_duplicates]\n"
    )
    runs = [run(make_plan(cell, TargetRef("t", f"{ROOT}/targets/order_flow.py:OrderFlow")), 0) for cell in cells]

    assert [len(done.receipts) for done in runs] == [1] * 16
    assert len({(struck.entity, struck.nth, struck.phase) for done in runs for struck in done.receipts}) == 16
    assert {each.verdict for done in runs for each in done.verdicts} == {"pass"}
