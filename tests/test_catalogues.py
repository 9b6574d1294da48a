"""The catalogues in docs/ say what the code says."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: page() for name, page in module.PAGES.items()}


@pytest.mark.parametrize("name", ["faults.md", "oracles.md", "scenario-reference.md", "mutants.md"])
def test_a_catalogue_is_in_step_with_the_code(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "run: python docs/generate.py"


def test_every_fault_has_an_example_that_strikes_or_says_where_it_can() -> None:
    spec = importlib.util.spec_from_file_location("docs_traces", DOCS / "traces.py")
    assert spec is not None
    assert spec.loader is not None
    traces = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(traces)
    assert traces.unshown() == set()
