"""The fixture in a stranger's test suite, with and without pytest-asyncio."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import faultline as fl

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent

CLIENT = """
import aiohttp

async def buy(venue, price, key=None):
    async with aiohttp.ClientSession(venue.url, timeout=aiohttp.ClientTimeout(total=2)) as session:
        body = {"client_id": venue.client_id, "client_secret": venue.client_secret}
        async with session.post("/auth/token", json=body) as response:
            session.headers["Authorization"] = "Bearer " + (await response.json())["access_token"]
        order = {"symbol": "NQ", "side": "buy", "type": "limit", "quantity": "1", "price": str(price)}
        while True:
            try:
                async with session.post("/orders", json={**order, "client_order_id": key}) as response:
                    return response.status
            except (aiohttp.ClientError, TimeoutError):
                pass
"""

TEST = """
import asyncio, time
import faultline as fl
from the_client import buy

async def test_in_the_world(faultline):
    began = time.monotonic()
    await asyncio.sleep(3600)
    assert 3600 <= time.monotonic() - began < 3601
    venue = await faultline.venue()
    with faultline.inject(fl.faults.LostResponse(on="POST /orders", nth=1)):
        with faultline.intent("buy", quantity=1, price=100, symbol="NQ"):
            await buy(venue, 100, "one")
    await faultline.settle()
    faultline.check(fl.oracles.NoDuplicates())
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A host suite in which every warning is an error."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{pytester.path}")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.path.joinpath("the_client.py").write_text(CLIENT)
    return pytester


@pytest.fixture
def alone(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The same without any other plugin: faster, where they do not matter."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "faultline.pytest_plugin")
    return suite


def run(suite: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    suite.path.joinpath("test_it.py").write_text(text)
    return suite.runpytest_subprocess("-p", "no:cacheprovider", *options)


NO_ASYNCIO = ("-p", "no:asyncio")
LOOP_SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")
MODES = {"none": NO_ASYNCIO, "auto": ("-o", "asyncio_mode=auto", *LOOP_SCOPE), "strict": LOOP_SCOPE}

HOST = """
import asyncio
import pytest

@pytest.fixture
def price():
    return 7

@pytest.mark.parametrize("quantity", [1, 2], ids=["one", "two"])
async def test_parameters(faultline, price, quantity, tmp_path, default=3):
    await asyncio.sleep(quantity)
    assert (price, default) == (7, 3) and tmp_path.exists()
    assert quantity <= faultline.now_s() < quantity + 0.1

def test_by_hand(faultline):
    async def main():
        await asyncio.sleep(100)
        return faultline.now_s()
    assert faultline.run(main) >= 100

class TestOrders:
    def setup_method(self):
        self.ready = True

    async def test_method(self, faultline):
        assert self.ready
        await asyncio.sleep(1000)
        assert faultline.now_s() >= 1000

    @staticmethod
    async def test_static(faultline):
        await asyncio.sleep(1000)
        assert faultline.now_s() >= 1000

    @classmethod
    async def test_class(cls, faultline):
        await asyncio.sleep(1000)
        assert faultline.now_s() >= 1000 and issubclass(cls, TestOrders)

class TestMoreOrders(TestOrders):
    async def test_own(self, faultline):
        assert self.ready
        await asyncio.sleep(1000)
        assert faultline.now_s() >= 1000
"""

MARKED = """
import asyncio, time
import pytest
pytestmark = pytest.mark.asyncio

async def test_marked_by_the_module(faultline):
    await asyncio.sleep(1000)
    assert faultline.now_s() >= 1000

@pytest.mark.asyncio
async def test_marked_itself(faultline):
    await asyncio.sleep(1000)
    assert faultline.now_s() >= 1000

class TestMarked:
    pytestmark = [pytest.mark.asyncio]

    async def test_marked_by_the_class(self, faultline):
        await asyncio.sleep(1000)
        assert faultline.now_s() >= 1000

@pytest.fixture
def twice():
    return 2

async def test_the_hosts_own(twice):
    assert "Sim" not in type(asyncio.get_running_loop()).__name__
    assert twice == 2
    began = time.monotonic()
    await asyncio.sleep(0.01)
    assert 0.005 < time.monotonic() - began < 30
"""


@pytest.mark.parametrize("mode", MODES)
def test_coroutines_that_ask_for_the_fixture_run_in_the_world(suite: pytest.Pytester, mode: str) -> None:
    suite.path.joinpath("test_host.py").write_text(HOST)
    if mode != "none":
        suite.path.joinpath("test_marked.py").write_text(MARKED)
    run(suite, TEST, *MODES[mode]).assert_outcomes(passed=11 if mode == "none" else 15)


FAILING = """
import socket
import pytest
import faultline as fl
from the_client import buy

@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
async def test_is_expected_to_fail(faultline):
    1 / 0

@pytest.mark.skip(reason="not now")
async def test_is_skipped(faultline):
    1 / 0

async def test_skips_itself(faultline):
    pytest.skip("later")

async def test_fails_itself(faultline):
    pytest.fail("as told")

async def test_escapes(faultline):
    try:
        socket.create_connection(("127.0.0.1", 9))
    except Exception:
        pass

async def test_buys_twice(faultline):
    venue = await faultline.venue()
    with faultline.inject(fl.faults.LostResponse(on="POST /orders", nth=1)):
        with faultline.intent("buy", quantity=1, price=100, symbol="NQ"):
            await buy(venue, 100)
    await faultline.settle()
    faultline.check(fl.oracles.NoDuplicates())

@pytest.fixture
def broken():
    raise LookupError("the host's own")

async def test_never_runs(faultline, broken): ...

def test_nothing_is_left():
    import os
    from pathlib import Path
    assert not list(Path("/dev/shm").glob(f"faultline-{os.getpid()}-*"))
"""


def test_failures_are_shown_as_pytest_shows_them(alone: pytest.Pytester) -> None:
    result = run(alone, FAILING)
    result.assert_outcomes(xfailed=1, skipped=2, failed=3, errors=1, passed=1)
    shown = result.stdout.str()
    assert "as told" in shown
    assert "SimEscape: a real name look-up" in shown
    assert "no_duplicates: fail: intent I1 (buy 1 NQ at 100) became 2 orders (order1 at " in shown
    assert "seed 0: pytest --faultline-seed=0, or Session(seed=0)" in shown
    # An explanation, and not the code that raised it; what it stands on is kept, and how to repeat it is said.
    explained = shown[shown.index("_ test_buys_twice _") : shown.index("short test summary")]
    assert "def test_buys_twice" not in explained
    for told in ("  1 fault struck:", "I1   buy 1 NQ at 100", "at test_it.py:", "--faultline-seed=0"):
        assert told in explained
    assert "repeat   pytest 'test_it.py::test_buys_twice' --faultline-seed=0" in explained
    (kept,) = re.findall(r"^history  (\S+)$", explained, re.MULTILINE)
    assert fl.History.load(alone.path / kept).ledger.by_intent["I1"][1].order == "order2"
    escaped = shown[shown.index("_ test_escapes _") : shown.index("_ test_buys_twice _")]
    assert "faultline/session.py" not in escaped
    # What fails by itself keeps its traceback, and is told beside it what struck.
    others = shown[shown.index("_ test_fails_itself _") : shown.index("_ test_escapes _")]
    assert "as told" in others
    assert "no fault struck" in others


# The seed

SEEDED = """
import random
async def test_it(faultline):
    print("seed", faultline.seed, random.random())
"""


def draws(result: pytest.RunResult) -> list[str]:
    return [line[line.index("seed ") :] for line in result.outlines if "seed " in line and "faultline" not in line]


def test_the_seed_is_an_option_and_an_ini_value(alone: pytest.Pytester) -> None:
    given = run(alone, SEEDED, "-s", "--faultline-seed=7")
    given.stdout.fnmatch_lines(["faultline: seed 7"])
    assert draws(given)[0].startswith("seed 7 ")
    assert draws(run(alone, SEEDED, "-s", "-o", "faultline_seed=7")) == draws(given)
    both = run(alone, SEEDED, "-s", "-o", "faultline_seed=7", "--faultline-seed=0")
    assert draws(both)[0].startswith("seed 0 ")
    assert "faultline: seed" not in both.stdout.str()
    assert draws(both)[0].split()[2] != draws(given)[0].split()[2]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("-ofaultline_seed=seven", "faultline_seed is 'seven'"),
        ("--faultline-seeds=0", "faultline_seeds is 0; it is at least 1"),
        ("--faultline-report=no/such/folder.json", "there is no folder no/such"),
        ("--faultline-report=jason=file", "did you mean 'json'?"),
    ],
)
def test_a_value_that_cannot_be_is_a_usage_error(alone: pytest.Pytester, option: str, said: str) -> None:
    result = run(alone, SEEDED, option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()


# Everything at once, in a host suite with plugins and a loop of its own

EVERYTHING = {
    "conftest.py": """
import asyncio

class HostLoop(asyncio.SelectorEventLoop): ...

def pytest_asyncio_loop_factories(config, item):
    return {"host": HostLoop}
""",
    "test_host.py": """
import asyncio
import anyio
import pytest
from hypothesis import given, settings, strategies as st
import faultline as fl

loop_name = lambda: type(asyncio.get_running_loop()).__name__

@pytest.mark.asyncio
async def test_the_hosts_loop_is_the_hosts():
    assert loop_name() == "HostLoop"

@pytest.mark.anyio
async def test_anyio_is_left_alone(anyio_backend_name):
    await anyio.sleep(0)
    assert loop_name() != "SimLoop"

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_a_world_beside_anyio(faultline):
    await asyncio.sleep(1000)
    assert loop_name() == "SimLoop"

@given(st.integers(0, 9))
@settings(max_examples=5, deadline=None)
def test_given(seed):
    with fl.Session(seed) as faultline:
        async def main():
            await asyncio.sleep(1000)
            return faultline.seed
        assert faultline.run(main) == seed

@pytest.mark.faultline(seeds=3)
async def test_seeds(faultline, record_property):
    record_property("seed", faultline.seed)
    fl.sometimes(faultline.seed % 3 == 1, "one of three")

@pytest.mark.faultline(world="live")
async def test_marked_live(faultline):
    assert faultline.world == "live"

async def test_live(faultline_live):
    assert faultline_live.world == "live" and loop_name() != "SimLoop"
    venue = await faultline_live.venue()
    assert venue.url.startswith("http://127.0.0.1:")

@pytest.mark.faultline(scenario="scenarios/good.yaml", seeds=2)
def test_a_scenario(faultline_result):
    assert (faultline_result.status, len(faultline_result.runs)) == ("pass", 2)

@pytest.mark.asyncio
@pytest.mark.faultline(scenario=["scenarios/good.yaml"], seeds=[5])
async def test_a_scenario_before_a_coroutine():
    assert loop_name() == "HostLoop"
""",
    "scenarios/good.yaml": f"""
version: 1
name: careful orders
tags: [smoke]
target: {ROOT}/targets/order_flow.py:OrderFlow
venue: {{profile: generic, idempotency: unique_forever}}
seeds: 3
workload: {{orders: 4}}
faults: [lost_response: {{on: POST /orders, nth: 1}}]
expect: [no_duplicates]
""",
}
NAIVE = EVERYTHING["scenarios/good.yaml"].replace("order_flow.py:OrderFlow", "naive_flow.py:NaiveFlow")


def written(suite: pytest.Pytester, **more: str) -> None:
    for name, text in {**EVERYTHING, **more}.items():
        file = suite.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_everything_works_beside_a_host_suites_own_plugins_and_loops(suite: pytest.Pytester, mode: str) -> None:
    # The page's own examples run beside, once.
    page = (ROOT / "docs" / "pytest.md").read_text()
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    orders = EVERYTHING["scenarios/good.yaml"].replace("careful", "more")
    written(suite, **({"test_page.py": examples, "scenarios/orders.yaml": orders} if mode == "auto" else {}))
    more = ["-n", "2", "--faultline-seed=random", "--faultline-scenarios=scenarios"] if mode == "strict" else []
    result = suite.runpytest_subprocess(
        "-p",
        "no:cacheprovider",
        *MODES[mode],
        *more,
        "--junitxml=out.xml",
        "-ojunit_family=legacy",
        "--faultline-report=report.json",
    )
    result.assert_outcomes(passed=12 if mode == "strict" else 11 + 7)
    seeds = sorted(map(int, re.findall(r'name="seed" value="(\d+)"', suite.path.joinpath("out.xml").read_text())))
    first = seeds[0]
    assert seeds == [first, first + 1, first + 2]
    # Chosen once: the header's, in every worker.
    assert first == 0 if mode == "auto" else f"faultline: seed {first}" in result.stdout.str()
    report = json.loads(suite.path.joinpath("report.json").read_text())
    names = [found["scenario"] for found in report["results"]]
    assert sorted(names) == ["careful orders"] * (3 if mode == "strict" else 2) + ["more orders"] * (mode == "auto")


BAD_SUITE = {
    "scenarios/naive.yaml": NAIVE.replace("careful", "naive"),
    "scenarios/idle.yaml": EVERYTHING["scenarios/good.yaml"].replace("nth: 1", "nth: 99").replace("careful", "idle"),
    "scenarios/wrong.yaml": "version: 1",
    "test_bad.py": """
import pytest, faultline as fl

@pytest.mark.faultline(scenario="scenarios/naive.yaml", seeds=1)
def test_naive():
    raise AssertionError("the body is not reached")

async def test_sometimes(faultline):
    fl.sometimes(False, "the moon is full")
""",
    "test_colour.py": """
import pytest

@pytest.mark.faultline(colour="red")
def test_colour(faultline): ...
""",
    "none.py": "",
    "test_two.py": "async def test_two(faultline, faultline_live): ...",
    "conftest.py": "",
    "test_host.py": "",
}


def test_what_is_not_as_expected_is_explained(alone: pytest.Pytester) -> None:
    written(alone, **BAD_SUITE)
    result = alone.runpytest_subprocess(
        "-p", "no:cacheprovider", "-o", "faultline_scenarios=scenarios", "--continue-on-collection-errors"
    )
    # good passes, and test_sometimes by itself; naive fails twice, idle proves nothing.
    result.assert_outcomes(passed=2, failed=3, errors=3)
    shown = result.stdout.str()
    for told in (
        "FAIL  naive orders · NaiveFlow · no_duplicates · seed 0",
        "1 of 1 fault is enough",
        "repeat    faultline replay .faultline/naive-NaiveFlow-no_duplicates-seed0.json",
        "fault lost_response never fired in 3 runs",
        "scenarios/wrong.yaml:1:1: 'target' is missing",
        "@pytest.mark.faultline takes seeds=, world=, scenario= and target=, and not colour",
        "test_two asks for faultline and faultline_live; a test runs in one world",
        "sometimes: the moon is full: it never held in any of these tests",
    ):
        assert told in shown, told
    assert "the body is not reached" not in shown
    assert "Traceback" not in shown
    assert alone.path.joinpath(".faultline/naive-NaiveFlow-no_duplicates-seed0.json").is_file()
    alone.path.joinpath("pyproject.toml").write_text(
        '[[tool.faultline.known-failures]]\noracle = "no_duplicates"\nreason = "later"\nexpires = 9999-01-01\n'
    )
    again = alone.runpytest_subprocess(
        "-p", "no:cacheprovider", "--faultline-scenarios=scenarios/naive.yaml", "none.py"
    )
    again.assert_outcomes(passed=1)


# What it costs those who do not use it

UNUSED = """
import sys

def test_nothing():
    heavy = sorted(name for name in ("aiohttp", "pydantic", "websockets", "msgspec", "yaml") if name in sys.modules)
    assert not heavy, heavy
    loaded = sorted(name for name in sys.modules if name.startswith("faultline."))
    assert loaded == ["faultline.pytest_plugin", "faultline.pytest_plugin.settings"], loaded
"""


def test_the_unused_plugin_imports_nothing(alone: pytest.Pytester) -> None:
    run(alone, UNUSED).assert_outcomes(passed=1)


def in_a_fresh_process(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_faultline_imports_and_patches_nothing() -> None:
    in_a_fresh_process(
        "import sys, time, sqlite3; before = time.time, time.sleep, sqlite3.connect\n"
        "import faultline\n"
        "assert not [name for name in ('aiohttp', 'pydantic', 'websockets', 'yaml') if name in sys.modules]\n"
        "assert before == (time.time, time.sleep, sqlite3.connect)\n"
        "assert set(faultline.__all__) <= set(dir(faultline)) | set(faultline.__all__)\n"
    )


def test_every_public_name_is_there() -> None:
    in_a_fresh_process(
        "import faultline\n"
        "for name in faultline.__all__:\n"
        "    assert getattr(faultline, name) is not None, name\n"
        "try:\n"
        "    faultline.nothing_of_this_name\n"
        "except AttributeError as error:\n"
        "    assert 'nothing_of_this_name' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
