"""Faults, oracles, venues and reports of an installed package: a stranger's distribution, made up on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faultline.cli.app import invoke
from faultline.errors import UsageError
from faultline.faults import FAULTS, codec
from faultline.faults.points import Plane
from faultline.faults.schedule import Schedule, ScheduledCondition
from faultline.oracles import ORACLES
from faultline.reports.table import REPORTS
from faultline.scenario.load import loads
from faultline.venues import PROFILES

TABLES = (FAULTS, ORACLES, PROFILES, REPORTS)

PACKAGE = '''
from dataclasses import dataclass, replace
from typing import ClassVar

from faultline.faults.actions import Cut
from faultline.faults.families import RequestFault
from faultline.oracles import Verdict, verdict
from faultline.history.event import Struck
from faultline.venues import PROFILES


@dataclass(frozen=True, kw_only=True)
class SolarFlare(RequestFault):
    """Answers are lost while the sun is up."""

    kind = "solar_flare"
    phases = frozenset({"after"})

    def actions(self, moment, chance):
        return (Cut(how="rst"),)


@dataclass(frozen=True)
class Sunny:
    """The sun shone: something struck."""

    name: ClassVar[str] = "sunny"
    checks: ClassVar[tuple[str, ...]] = ("S1",)

    strikes: int = 1

    def judge(self, history):
        """Unknown without a strike."""
        return verdict(self.name, len(history.of(Struck)), ())


exchange = replace(PROFILES["generic"], name="moon_exchange")


def haiku(campaign, code, meaning):
    """Three lines."""
    return f"{len(campaign.results)} results\\n{code}\\n{meaning}\\n"
'''

ENTRY_POINTS = """
[faultline.faults]
solar_flare = the_sun:SolarFlare
[faultline.oracles]
sunny = the_sun:Sunny
[faultline.venues]
moon_exchange = the_sun:exchange
[faultline.reports]
haiku = the_sun:haiku
"""

SCENARIO = """
version: 1
name: orders survive the sun
target: {target}
venue: {{profile: moon_exchange, idempotency: unique_forever}}
seeds: 1
workload: {{orders: 3}}
faults: [solar_flare: {{on: POST /orders, nth: 1}}]
expect: [sunny: {{strikes: 1}}, no_duplicates]
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution with these entry points where Python finds it, for this test."""

    def put(entry_points: str, code: str = "", name: str = "the_sun") -> None:
        folder = tmp_path / name
        info = folder / f"{name}-1.5.dist-info"
        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        info.joinpath("entry_points.txt").write_text(entry_points)
        folder.joinpath(f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)

    for table in TABLES:
        table.forget()
    yield put
    for table in TABLES:
        table.forget()


def test_a_package_adds_names_that_scenarios_use_like_our_own(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(ENTRY_POINTS, PACKAGE)
    target = Path(__file__).parent.parent / "targets" / "order_flow.py"
    file = tmp_path / "sun.yaml"
    file.write_text(SCENARIO.format(target=f"{target}:OrderFlow"))

    code = invoke(["run", str(file), "--json", "--report", f"haiku={tmp_path / 'haiku.txt'}"])

    document = json.loads(capsys.readouterr().out)
    assert code == 0, document
    (run,) = document["runs"]
    assert list(run["verdicts"]) == ["sunny", "no_duplicates"]
    assert [receipt["fault"] for receipt in run["receipts"]] == ["solar_flare"]
    assert (tmp_path / "haiku.txt").read_text() == "1 results\n0\nevery verdict as expected\n"
    for report, said in (("haiku", "write NAME=FILE"), ("haikuu=x", "did you mean 'haiku'?")):
        assert invoke(["run", str(file), "--report", report]) == 2
        assert said in capsys.readouterr().err
    for option, shown in (
        ("faults", "solar_flare"),
        ("oracles", "sunny"),
        ("venues", "moon_exchange"),
        ("reports", "haiku"),
    ):
        assert invoke(["list", f"--{option}"]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(shown))
        assert line.endswith("[the_sun 1.5]")


def test_a_saved_schedule_finds_a_fault_of_a_package_again(install: Install, tmp_path: Path) -> None:
    install(ENTRY_POINTS, PACKAGE)
    fault = FAULTS["solar_flare"](probability=0.5)
    path = tmp_path / "schedule.json"

    codec.dump(Schedule((ScheduledCondition("solar_flare", "solar_flare", fault),)), path)

    (entry,) = codec.load(path).schedule.entries
    assert isinstance(entry, ScheduledCondition)
    assert entry.spec == fault
    assert fault.about(Plane.MESSAGE, "POST /x", "after")


def test_nobody_is_asked_for_a_name_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(**_: object) -> None:
        raise AssertionError("the metadata of installed packages were read")

    for table in TABLES:
        table.forget()
    monkeypatch.setattr("importlib.metadata.entry_points", read)
    assert loads(SCENARIO.format(target="a.py:B").replace("moon_exchange", "generic")
                 .replace("solar_flare", "lost_response").replace("sunny: {strikes: 1}", "no_loss"))  # fmt: skip


@pytest.mark.parametrize(
    ("entry_points", "said"),
    [
        ("[faultline.faults]\nlost_response = the_sun:SolarFlare", "faultline itself has that name already"),
        ("[faultline.faults]\nflare = the_sun:SolarFlare", "calls itself 'solar_flare'"),
        ("[faultline.faults]\nflare = the_sun:Sunny", "is no subclass of faultline.faults.Fault"),
        ("[faultline.faults]\nflare = the_sun:Nothing", "does not import: AttributeError"),
        ("[faultline.faults]\nflare = the_moon:Nothing", "does not import: ModuleNotFoundError"),
        ("[faultline.oracles]\nflare = the_sun:SolarFlare", "is no dataclass with a method judge"),
        ("[faultline.oracles]\nflare = the_sun:Sunny", "calls itself 'sunny'"),
        ("[faultline.venues]\nflare = the_sun:Sunny", "is no faultline.venues.Profile"),
        ("[faultline.venues]\nflare = the_sun:exchange", "calls itself 'moon_exchange'"),
        ("[faultline.reports]\nflare = the_sun:__name__", "cannot be called with"),
    ],
)
def test_a_broken_entry_point_says_what_is_wrong_and_whose_it_is(
    install: Install, entry_points: str, said: str
) -> None:
    install(entry_points, PACKAGE)
    table = next(table for table in TABLES if table.group in entry_points)

    with pytest.raises(UsageError) as raised:
        dict(table)["flare"]

    assert said in str(raised.value)
    assert "package the_sun 1.5" in str(raised.value)


def test_two_packages_cannot_have_one_name(install: Install) -> None:
    install("[faultline.oracles]\nsunny = the_sun:Sunny", PACKAGE)
    install("[faultline.oracles]\nsunny = the_star:Sunny", PACKAGE, "the_star")

    with pytest.raises(UsageError, match=r"package the_sun 1\.5\): the_star 1\.5 has that name already"):
        ORACLES["sunny"]
