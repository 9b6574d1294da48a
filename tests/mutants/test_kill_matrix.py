"""The reference layer broken in every way of the table: what was killed stays killed, for the right reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultline.mutants import Mutant, Result, load_table, try_mutant
from faultline.oracles import ORACLES

FOLDER = Path(__file__).parents[2] / "targets" / "mutants"
TABLE = load_table(FOLDER)
WITNESSED = [mutant for mutant in TABLE.mutants.values() if mutant.witness is not None]
OF_CAMPAIGNS = {"not_vacuous"}
"""It never fails a run."""


@pytest.mark.parametrize("mutant", WITNESSED, ids=lambda mutant: mutant.id)
def test_a_mutant_is_killed_by_an_oracle_that_was_expected_to_see_it(mutant: Mutant) -> None:
    result = Result(mutant, try_mutant(str(FOLDER), mutant.id, [0]))
    assert not result.mistagged, result.why
    if mutant.id in TABLE.recorded:
        assert result.outcome == "killed", result.why
        assert set(result.killed_by) <= set(TABLE.recorded[mutant.id]), "record it: faultline mutants --record"
    else:
        assert result.outcome in ("survived", "misjudged"), f"{result.outcome}: {result.why}"
        assert mutant.note, "a survivor is listed with why"


def test_every_oracle_has_seen_a_bug_that_it_was_expected_to_see() -> None:
    killers = {
        oracle
        for mutant in TABLE.mutants.values()
        for oracle in mutant.expected
        if oracle in TABLE.recorded.get(mutant.id, ())
    }
    assert killers == set(ORACLES) - OF_CAMPAIGNS


def test_the_record_names_mutants_that_are_there() -> None:
    assert set(TABLE.recorded) <= set(TABLE.mutants)
