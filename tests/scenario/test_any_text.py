"""Whatever a file holds, the loader answers with scenarios or with problems, never with anything else."""

from __future__ import annotations

import re

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from faultline.errors import ScenarioError
from faultline.faults import FAULTS
from faultline.oracles import ORACLES
from faultline.scenario.build import SECTIONS
from faultline.scenario.load import loads
from faultline.scenario.tables import Tables

WORDS = [
    *SECTIONS, *FAULTS, *ORACLES, "name", "about", "tags", "seeds", "time_limit", "on", "at", "for", "during", "every",
    "jitter", "probability", "nth", "first", "status", "retry_after", "phase", "profile", "generic", "fails",
    "may_fail", "rate_limit", "weights", "within", "p99", "t.py:T", "5s", "50%", "20/s", "64KiB/s", "${p}", "p",
    "1e999s", "no_loss", "9" * 400 + "B",
]  # fmt: skip

scalars = st.one_of(st.sampled_from(WORDS), st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=25,
)
NEEDED = {"name": "n", "target": "t.py:T", "venue": "generic", "expect": ["no_loss"]}
near_scenarios = st.fixed_dictionaries(
    {key: st.just(value) | trees for key, value in NEEDED.items()},
    optional={key: trees for key in (*SECTIONS, "seeds", "tags", "version", "time_limit") if key not in NEEDED},
)


def survives(text: str, path: str = "s.yaml") -> None:
    places: list[tuple[int, int]] = []
    try:
        assert loads(text, path, tables=SHIPPED)
    except ScenarioError as error:
        places = [(problem.line, problem.column) for problem in error.problems]
        assert places, "an error without a problem"  # either is right
    lines = len(re.split(r"[\n\r\x85\u2028\u2029]", text))
    assert all(1 <= line <= lines + 1 and column >= 1 for line, column in places)


SHIPPED = Tables.shipped()
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(st.text())
@example("\ud800")
@example("a: &a [*a]")
@example("? : ? : ?")
@example("\x00")
@example("%YAML 1.1\n---\na: 1")
def test_any_text_is_read_or_refused(text: str) -> None:
    survives(text)
    survives(text, "s.toml")


@QUICK
@given(trees)
def test_any_tree_is_read_or_refused(tree: object) -> None:
    survives(written(tree))


@QUICK
@given(near_scenarios)
def test_anything_near_a_scenario_is_read_or_refused(tree: dict[str, object]) -> None:
    survives(written(tree))


@QUICK
@given(
    st.sampled_from(sorted(FAULTS)),
    st.dictionaries(st.sampled_from(WORDS), scalars | st.lists(scalars, max_size=3), max_size=4),
)
def test_any_settings_of_a_fault_are_read_or_refused(kind: str, tree: dict[str, object]) -> None:
    survives(written({**NEEDED, "faults": [{kind: tree}]}))


def written(tree: object) -> str:
    """The tree as flow-style YAML. Text is quoted only when it must be, so that scalars are resolved too."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"? {written(key)} : {written(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(written, tree)) + "]"
    if tree is None:
        return "null"
    if isinstance(tree, str) and (tree not in WORDS or tree == "${p}"):
        return '"' + "".join(f"\\U{ord(character):08X}" for character in str(tree)) + '"'
    return str(tree)
