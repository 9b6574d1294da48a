"""Time is the simulation's inside of a run, by every name it has, and the real one outside."""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from faultline.errors import HarnessError
from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim import aliases
from tests.worlds.sim.kit import new_simulation

START_S = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def read_all() -> dict[str, float]:
    """Every way to ask for the time that a client has, in seconds."""
    return {
        "time.time": time.time(),
        "time.time_ns": time.time_ns() / 1e9,
        "time.clock_gettime": time.clock_gettime(time.CLOCK_REALTIME),
        "alias time": aliases.time(),
        "alias time_ns": aliases.time_ns() / 1e9,
        "datetime.now": datetime.datetime.now(datetime.UTC).timestamp(),
        "datetime.now naive": datetime.datetime.now().timestamp(),
        "datetime.utcnow": datetime.datetime.utcnow().replace(tzinfo=datetime.UTC).timestamp(),
        "datetime.today": datetime.datetime.today().timestamp(),
        "alias datetime.now": aliases.datetime.now(datetime.UTC).timestamp(),
        "gmtime": float(__import__("calendar").timegm(time.gmtime())),
        "alias gmtime": float(__import__("calendar").timegm(aliases.gmtime())),
        "localtime": time.mktime(time.localtime()),
        "alias localtime": time.mktime(aliases.localtime()),
        "strftime": float(time.strftime("%s")),
        "alias strftime": float(aliases.strftime("%s")),
        "ctime": time.mktime(time.strptime(time.ctime())),
        "asctime": time.mktime(time.strptime(time.asctime())),
    }


def read_monotonic() -> dict[str, float]:
    return {
        "time.monotonic": time.monotonic(),
        "time.monotonic_ns": time.monotonic_ns() / 1e9,
        "time.perf_counter": time.perf_counter(),
        "time.process_time": time.process_time(),
        "clock_gettime": time.clock_gettime(time.CLOCK_MONOTONIC),
        "alias monotonic": aliases.monotonic(),
        "alias perf_counter": aliases.perf_counter(),
        "loop.time": asyncio.get_running_loop().time(),
    }


def test_every_clock_is_virtual_inside_and_they_agree() -> None:
    async def main() -> tuple[dict[str, float], dict[str, float]]:
        await asyncio.sleep(3600)
        return read_all(), read_monotonic()

    wall, monotonic = new_simulation().run(main)
    assert wall == pytest.approx(dict.fromkeys(wall, START_S + 3600), abs=1.0)
    assert {name: wall[name] for name in ("time.time", "alias time", "datetime.now")} == pytest.approx(
        dict.fromkeys(("time.time", "alias time", "datetime.now"), START_S + 3600), abs=1e-4
    )
    assert monotonic == pytest.approx(dict.fromkeys(monotonic, 1000.0 + 3600), abs=1e-4)


@pytest.mark.parametrize("fails", [False, True])
def test_every_clock_is_real_before_and_after_a_run_even_one_that_failed(fails: bool) -> None:
    async def main() -> None:
        await asyncio.sleep(3600)
        if fails:
            raise RuntimeError("the client broke")

    real = float(subprocess.check_output(["date", "+%s.%N"]))
    try:
        new_simulation().run(main)
    except RuntimeError:
        assert fails
    outside = read_all()
    assert outside == pytest.approx(dict.fromkeys(outside, real), abs=30)
    before = time.monotonic()
    time.sleep(0.01)
    assert 0.01 <= time.monotonic() - before < 10


def test_datetime_stays_the_type_it_was() -> None:
    async def main() -> tuple[bool, bool, datetime.datetime, datetime.date]:
        class Stamp(datetime.datetime):
            pass

        now = Stamp.now(datetime.UTC)
        return isinstance(now, datetime.datetime), type(now) is Stamp, now, aliases.date.today()

    is_datetime, is_stamp, now, today = new_simulation().run(main)
    assert is_datetime
    assert is_stamp
    assert now == datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert abs((today - datetime.date(2026, 1, 1)).days) <= 1  # local time


def test_another_thread_keeps_the_real_time() -> None:
    seen: list[float] = []
    go, done = threading.Event(), threading.Event()

    def watch() -> None:
        go.wait()
        seen.append(time.time())
        done.set()

    thread = threading.Thread(target=watch)
    thread.start()

    async def main() -> None:
        await asyncio.sleep(10)
        go.set()
        done.wait()

    new_simulation(start_wall_s=0.0).run(main)
    thread.join()
    assert seen[0] > START_S


def test_the_start_of_the_wall_clock_can_be_chosen() -> None:
    async def main() -> float:
        return time.time()

    assert Simulation(start_wall_s=100.0).run(main) == 100.0


def test_timers_fire_a_little_late_as_real_ones_do() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        due = loop.time() + 15
        fired: asyncio.Future[float] = loop.create_future()
        loop.call_at(due, lambda: fired.set_result(loop.time()))
        return await fired - due

    assert 0 < new_simulation().run(main) < 1e-4


def test_a_day_of_health_checks_takes_no_time() -> None:
    async def main() -> int:
        checks = 0
        for _ in range(24 * 60):
            await asyncio.sleep(60)
            checks += 1
        return checks

    started = time.perf_counter()
    simulation = new_simulation()
    assert simulation.run(main) == 1440
    assert simulation.now_s() == pytest.approx(86_400, abs=0.01)
    assert time.perf_counter() - started < 5


def test_a_blocking_sleep_stops_the_whole_client_and_is_recorded() -> None:
    async def main() -> tuple[float, float]:
        ticks: list[float] = []

        async def tick() -> None:
            while True:
                ticks.append(time.monotonic())
                await asyncio.sleep(1)

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(1.5)
        before = time.monotonic()
        time.sleep(30)  # noqa: ASYNC251
        after = time.monotonic()
        await asyncio.sleep(0.5)
        ticking.cancel()
        return after - before, max(b - a for a, b in pairwise(ticks))

    simulation = new_simulation()
    slept_s, gap_s = simulation.run(main)
    assert slept_s == pytest.approx(30)
    assert gap_s > 29
    (sleep,) = simulation.blocking_sleeps
    assert sleep.seconds == 30
    assert sleep.t_s == pytest.approx(1.5, abs=1e-4)
    assert __file__ in sleep.where


def test_a_blocking_sleep_in_a_thread_delays_only_its_result() -> None:
    def work() -> float:
        before = aliases.monotonic()
        aliases.sleep(5)
        return aliases.monotonic() - before

    async def main() -> tuple[float, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(1)
                ticks += 1

        ticking = asyncio.create_task(tick())
        slept_s = await asyncio.to_thread(work)
        ticking.cancel()
        return slept_s, ticks

    simulation = new_simulation()
    slept_s, ticks = simulation.run(main)
    assert slept_s == pytest.approx(5)
    assert ticks == 4  # the fifth is due a microsecond after the result
    assert simulation.blocking_sleeps == []


def test_code_that_spins_on_the_clock_gets_there() -> None:
    async def main() -> float:
        started = time.monotonic()
        while time.monotonic() < started + 0.5:
            pass
        while time.monotonic() < started + 1.0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return time.monotonic() - started

    assert 1.0 <= new_simulation().run(main) < 1.1


HOLDERS = {
    "freezegun.api": SimpleNamespace(freeze_factories=[object()]),
    "time_machine": SimpleNamespace(escape_hatch=SimpleNamespace(is_travelling=lambda: True)),
}


@pytest.mark.parametrize("module", HOLDERS)
def test_a_second_master_of_time_is_refused(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, HOLDERS[module])  # type: ignore[misc]

    async def main() -> None:
        pass

    with pytest.raises(HarnessError, match=r"is active.*start_wall_s"):
        new_simulation().run(main)


def test_a_patched_clock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)

    async def main() -> None:
        pass

    with pytest.raises(HarnessError, match=r"in the place of time\.time"):
        new_simulation().run(main)


@pytest.mark.parametrize(
    ("tool", "enter"),
    [("freezegun", "freezegun.freeze_time('2020-01-01')"), ("time_machine", "time_machine.travel(1577836800)")],
)
def test_the_real_tools_are_refused_while_active_and_work_afterwards(tool: str, enter: str) -> None:
    pytest.importorskip(tool)
    code = f"""
import datetime, time, {tool}
from faultline.errors import HarnessError
from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim import aliases
async def main():
    return aliases.time()
for _ in range(2):
    with {enter}:
        assert datetime.datetime.now(datetime.UTC).year == 2020
        assert time.gmtime(aliases.time()).tm_year == 2020
        try:
            Simulation().run(main)
        except HarnessError:
            pass
        else:
            raise SystemExit("not refused")
    assert Simulation(start_wall_s=5.0).run(main) == 5.0
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_nothing_is_left_replaced_after_a_run() -> None:
    modules = [time, datetime, random, os, uuid, aliases]
    before = [dict(vars(module)) for module in modules]
    now = datetime.datetime.__dict__["now"]

    async def main() -> None:
        assert vars(time) != before[0]

    new_simulation().run(main)
    assert [dict(vars(module)) for module in modules] == before
    assert datetime.datetime.__dict__["now"] is now
    assert type(now).__name__ == "classmethod_descriptor"  # the C method


def test_code_that_has_called_datetime_now_often_sees_the_change_at_once() -> None:
    def now() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    async def main() -> int:
        return now().year

    real_year = [now().year for _ in range(1000)][-1]  # the interpreter has cached the method by now
    assert new_simulation(start_wall_s=0.0).run(main) == 1970
    assert now().year == real_year


def test_importing_the_package_patches_nothing() -> None:
    code = (
        "import time, os, datetime\n"
        "before = (time.time, os.urandom, datetime.datetime.__dict__['now'])\n"
        "import faultline.worlds.sim.simulation\n"
        "assert before == (time.time, os.urandom, datetime.datetime.__dict__['now'])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
