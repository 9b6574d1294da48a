"""The reference layer broken in every way of the table: what was killed stays killed, for the right reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultline.mutants import Mutant, Result, load_table, try_mutant

FOLDER = Path(__file__).parents[2] / "targets" / "mutants"
TABLE = load_table(FOLDER)
MUTANTS = [mutant for mutant in TABLE.mutants.values() if mutant.witness is not None]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutant_that_was_killed_is_killed_for_the_right_reason(mutant: Mutant) -> None:
    result = Result(mutant, try_mutant(str(FOLDER), mutant.id, [0]))
    assert not result.mistagged, result.why
    if mutant.id in TABLE.recorded:
        assert result.outcome == "killed", result.why
        assert set(TABLE.recorded[mutant.id]) >= set(result.killed_by)
    else:
        assert result.outcome in ("survived", "misjudged"), f"{result.outcome}: record it"
        assert mutant.note, "a survivor is listed with why"
