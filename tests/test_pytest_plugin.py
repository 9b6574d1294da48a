"""The fixture in a stranger's test suite, with and without pytest-asyncio."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_an_ini_value_that_is_no_number_is_a_usage_error(alone: pytest.Pytester) -> None:
    result = run(alone, SEEDED, "-o", "faultline_seed=seven")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*faultline_seed is 'seven'*"])


# What it costs those who do not use it

UNUSED = """
import sys

def test_nothing():
    heavy = sorted(name for name in ("aiohttp", "pydantic", "websockets", "msgspec", "yaml") if name in sys.modules)
    assert not heavy, heavy
    loaded = sorted(name for name in sys.modules if name.startswith("faultline."))
    assert loaded == ["faultline.pytest_plugin"], loaded
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
