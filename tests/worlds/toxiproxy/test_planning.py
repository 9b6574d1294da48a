"""What no toxic can say is refused before anything runs, and where a server may be."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faultline import faults
from faultline.cli import main
from faultline.errors import ScenarioError, UnsupportedFault
from faultline.faults import FAULTS, Fault
from faultline.faults.points import Plane
from faultline.plan import Plan, make_plan
from faultline.scenario import load_scenarios
from faultline.worlds.toxiproxy.address import server_url
from faultline.worlds.toxiproxy.toxics import CARRIED, refuses, toxics_of

ROOT = Path(__file__).parents[3]
URL = "http://127.0.0.1:8474"
Make = Callable[..., Plan]

NEVER: list[tuple[Fault, str]] = [
    (faults.Latency(connection=2), "number of a connection"),
    (faults.ResetPeer(nth=3), "counts nothing"),
    (faults.HalfOpen(offset_bytes=100), "strikes at no byte"),
    (faults.Truncate(nth=1), "counts nothing"),
    (faults.Truncate(), "just one connection"),
    (faults.Truncate(probability=0.5, how="rst"), "orderly way"),
    (faults.LimitData(how="rst"), "orderly way"),
    (faults.Latency(probability=0.5), "each direction by itself"),
    (faults.Latency(delay_s=0.0014), "too far from"),
    (faults.Bandwidth(rate_bytes_per_s=400.0), "rate in KB/s"),
    (faults.CutAfter(during_s=(0.0, 5.0)), "leave out its times"),
]
ONLY_OURS: list[tuple[Fault, str]] = [
    (faults.Loss(), "embedded server has loss"),
    (faults.Corrupt(), "embedded server has corrupt"),
    (faults.Refuse(), "embedded server has refuse"),
    (faults.CutAfter(), "embedded server has cut_after"),
    (faults.HalfOpen(at_s=1.0), "embedded server has half_open"),
    (faults.ResetPeer(every_s=1.0), "older than the toxic"),
    (faults.Truncate(at_s=1.0, how="rst"), "older than the toxic"),
    (faults.Latency(direction="up", probability=0.5), "which connections its toxicity hits"),
]
EVERYWHERE: list[Fault] = [
    faults.Latency(jitter_s=0.05),
    faults.Bandwidth(rate_bytes_per_s=16384.0),
    faults.Slicer(gap_s=0.0005),
    faults.SlowClose(),
    faults.Timeout(at_s=1.0, for_s=2.0),
    faults.Partition(every_s=4.0, for_s=1.0),
    faults.LimitData(direction="down"),
    faults.Truncate(during_s=(0.0, 3.0)),
    faults.Truncate(at_s=3.0),
]


def test_each_kind_of_fault_is_carried_or_refused_with_the_reason() -> None:
    for fault, why in NEVER:
        assert why in refuses(fault, stock=False), fault
        assert refuses(fault, stock=True), fault
    for fault, why in ONLY_OURS:
        assert not refuses(fault, stock=False), fault
        assert why in refuses(fault, stock=True), fault
    for fault in EVERYWHERE:
        assert not refuses(fault, stock=True), fault
        assert not refuses(fault, stock=False), fault
    covered = {fault.kind for fault in [*EVERYWHERE, *(each for each, _ in NEVER + ONLY_OURS)]}
    there = {name for name, kind in FAULTS.items() if kind.plane is Plane.STREAM}
    assert covered == there - {"dns_failure"}


def test_the_toxics_of_a_fault() -> None:
    up, down = toxics_of(faults.Latency(delay_s=0.25, jitter_s=0.01))
    assert (up.type, up.stream, up.attributes) == ("latency", "upstream", {"latency": 250, "jitter": 10})
    assert (down.stream, down.attributes) == ("downstream", up.attributes)
    (held,) = toxics_of(faults.Timeout(direction="down"))
    assert (held.type, held.stream, held.attributes) == ("bandwidth", "downstream", {"rate": 0})
    (refused,) = toxics_of(faults.Refuse())
    assert refused.type == "refuse"
    (share,) = toxics_of(faults.Truncate(offset_bytes=7, probability=0.25, during_s=(0, 1)))
    assert (share.type, share.attributes, share.toxicity) == ("limit_data", {"bytes": 7}, 0.25)
    assert toxics_of(faults.ResetPeer(at_s=1.0)) == ()


def test_the_document_names_every_fault_that_is_carried() -> None:
    page = (ROOT / "docs" / "toxiproxy.md").read_text()
    for kind in CARRIED:
        assert f"`{kind.kind}`" in page


def test_a_refusal_names_its_place(through: Make) -> None:
    with pytest.raises(UnsupportedFault, match=r"^test\.yaml:\d+:\d+: loss: Toxiproxy has no toxic"):
        through(faults.Loss(), url=URL)
    with pytest.raises(UnsupportedFault, match="crash: the toxiproxy world cannot kill"):
        through(faults.Crash(at_s=1.0))
    assert through(faults.Loss()).faults


def test_without_the_package_it_says_what_to_install(through: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = through()
    found = importlib.util.find_spec

    def hidden(name: str, *rest: Any) -> Any:
        return None if name == "toxiproxy" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    with pytest.raises(ScenarioError, match="pip install toxiproxy-python"):
        make_plan(plan.scenario, plan.target)


# Where the server is


def test_a_server_is_on_this_machine() -> None:
    assert server_url("http://localhost:8474/") == "http://localhost:8474"
    assert server_url("127.0.0.1:99") == "http://127.0.0.1:99"
    assert server_url("http://[::1]") == "http://[::1]:8474"
    for wrong, why in {
        "http://example.com:8474": "not on this machine",
        "http://0.0.0.0:8474": "not on this machine",
        "https://127.0.0.1:8474": "not the URL of a control API",
        "http://127.0.0.1:8474/proxies": "not the URL of a control API",
        "http://user:secret@127.0.0.1": "not the URL of a control API",
        "http://127.0.0.1:x": "write it like",
        "": "not the URL",
    }.items():
        with pytest.raises(ValueError, match=why):
            server_url(wrong)


SCENARIO = """\
name: slow
target: {target}
venue: generic
world: toxiproxy
toxiproxy: {url}
faults: [loss]
expect: [no_duplicates]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[[str], Path]:
    def write(url: str) -> Path:
        path = tmp_path / "s.yaml"
        path.write_text(SCENARIO.format(target=ROOT / "targets/naive_flow.py:NaiveFlow", url=url))
        return path

    return write


def test_a_scenario_says_where_the_server_is(
    scenario: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = scenario("127.0.0.1:9999")
    (loaded,) = load_scenarios(good)
    assert (loaded.world, loaded.toxiproxy) == ("toxiproxy", "http://127.0.0.1:9999")
    assert main(["run", str(good), "--dry-run"]) == 2
    assert f"{good}:6:10: loss: Toxiproxy has no toxic" in capsys.readouterr().err
    bad = scenario("http://example.com")
    assert main(["run", str(bad), "--dry-run"]) == 2
    assert f"{bad}:5:12: toxiproxy 'http://example.com' is not on this machine" in capsys.readouterr().err
    own = scenario("~")
    assert main(["run", str(own), "--dry-run"]) == 0
    assert main(["run", str(own), "--dry-run", "--toxiproxy-url", "ftp://x"]) == 2
    assert "--toxiproxy-url: toxiproxy 'ftp://x'" in capsys.readouterr().err
    monkeypatch.setenv("TOXIPROXY_URL", URL)
    assert main(["run", str(own), "--dry-run"]) == 2
    assert "loss: Toxiproxy has no toxic" in capsys.readouterr().err
