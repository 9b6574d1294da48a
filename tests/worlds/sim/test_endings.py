"""A run that cannot end by itself ends with an error that names what waits, and says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from faultline.errors import SimDeadlock, SimHang, SimLivelock, SimTimeLimit
from faultline.worlds.real import REAL
from faultline.worlds.sim import loop
from tests.worlds.sim.kit import as_client, new_simulation

ROOT = Path(__file__).parents[3]


async def wait_for_nothing() -> None:
    await asyncio.get_running_loop().create_future()


def test_a_deadlock_names_the_waiting_tasks_and_where_they_wait() -> None:
    simulation = new_simulation()

    async def main() -> None:
        as_client(simulation, wait_for_nothing, 3).set_name("client")
        await asyncio.sleep(5)
        await wait_for_nothing()

    with pytest.raises(SimDeadlock) as caught:
        simulation.run(main)
    text = str(caught.value)
    assert "at 5 s nothing is ready" in text
    assert "client [incarnation 3]: wait_for_nothing at test_endings.py:" in text
    assert text.count("wait_for_nothing") == 2
    assert "timeout" in text


def test_a_deadlock_shows_no_more_tasks_than_one_can_read() -> None:
    async def main() -> None:
        await asyncio.gather(*(wait_for_nothing() for _ in range(100)))

    with pytest.raises(SimDeadlock, match="and 81 more"):
        new_simulation().run(main)


def test_polling_without_a_pause_is_a_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "IDLE_TURNS_MAX", 30_000)

    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(SimLivelock, match=r"main at test_endings\.py:\d+.*\n.*asyncio\.sleep\(0\.1\)"):
        new_simulation().run(main)


def test_a_run_that_goes_on_for_ever_meets_its_time_limit() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(60)

    simulation = new_simulation(time_limit_s=3600)
    with pytest.raises(SimTimeLimit, match=r"3600 s of virtual time.*\n.*main at .*\n.*time_limit_s"):
        simulation.run(main)
    assert simulation.now_s() <= 3600


def hang() -> None:
    while True:
        pass


def test_a_hang_ends_with_the_line_that_hangs() -> None:
    async def main() -> None:
        hang()

    started = REAL.perf_counter_s()
    with pytest.raises(SimHang, match=r"test_endings\.py:\d+.*wall_limit_s"):
        new_simulation(wall_limit_s=0.2).run(main)
    assert REAL.perf_counter_s() - started < 10


def test_a_hang_that_swallows_everything_ends_too() -> None:
    async def main() -> None:
        for _ in range(3):
            with contextlib.suppress(BaseException):
                hang()

    with pytest.raises(SimHang):
        new_simulation(wall_limit_s=0.1).run(main)


def test_a_hang_in_a_callback_ends_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(hang)
        await asyncio.sleep(1)
        return

    with pytest.raises(SimHang):
        new_simulation(wall_limit_s=0.1).run(main)


def test_a_hang_swallowed_in_the_very_last_step_is_raised_too() -> None:
    async def main() -> str:
        with contextlib.suppress(BaseException):
            hang()
        return "result"

    with pytest.raises(SimHang):
        new_simulation(wall_limit_s=0.1).run(main)


def test_a_long_run_of_short_steps_is_no_hang() -> None:
    async def main() -> None:
        until = REAL.perf_counter_s() + 0.5
        while REAL.perf_counter_s() < until:  # noqa: ASYNC110
            await asyncio.sleep(1)

    new_simulation(wall_limit_s=0.1).run(main)


def test_the_watchdog_gives_the_timer_and_the_handler_back() -> None:
    def mine(number: int, frame: object) -> None:
        raise AssertionError("too early")

    async def main() -> None:
        await asyncio.sleep(1)

    before = signal.signal(signal.SIGALRM, mine)
    left_before = signal.setitimer(signal.ITIMER_REAL, 50, 7)
    try:
        new_simulation().run(main)
        left_s, every_s = signal.setitimer(signal.ITIMER_REAL, 0)
        assert 40 < left_s <= 50
        assert every_s == 7
        assert signal.getsignal(signal.SIGALRM) is mine
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left_before)


def test_somebody_elses_timeout_fires_inside_a_run_even_when_the_client_swallows_it() -> None:
    class Timeout(Exception):
        pass

    def mine(number: int, frame: object) -> None:
        raise Timeout

    async def main() -> None:
        with contextlib.suppress(Timeout):
            hang()
        await wait_for_nothing()

    before = signal.signal(signal.SIGALRM, mine)
    left_before = signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(Timeout):
            new_simulation(wall_limit_s=30).run(main)
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left_before)


def test_pytest_timeout_still_ends_a_test_that_hangs_in_a_simulation(tmp_path: Path) -> None:
    test = tmp_path / "test_hangs.py"
    test.write_text(
        "import pytest\n"
        "from faultline.worlds.sim.simulation import Simulation\n"
        "async def main():\n    while True: pass\n"
        "@pytest.mark.timeout(0.5, method='signal')\n"
        "def test_hangs():\n    Simulation().run(main)\n"
        "def test_next():\n    pass\n"
    )
    options = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(test)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Timeout" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_a_run_in_another_thread_works_without_a_watchdog() -> None:
    async def main() -> float:
        await asyncio.sleep(60)
        return time.monotonic()

    results: list[float] = []
    thread = threading.Thread(target=lambda: results.append(new_simulation().run(main)))
    thread.start()
    thread.join()
    assert results == pytest.approx([1060.0])


def test_a_failing_run_leaves_no_task_behind() -> None:
    ended: list[str] = []

    async def background() -> None:
        try:
            await wait_for_nothing()
        finally:
            ended.append("background")

    async def main() -> None:
        task = asyncio.create_task(background())
        await asyncio.sleep(1)
        assert not task.done()
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        new_simulation().run(main)
    assert ended == ["background"]


def test_a_task_that_will_not_be_cancelled_is_named_and_hides_nothing() -> None:
    async def stubborn() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await wait_for_nothing()

    async def main() -> str:
        tasks.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(1)
        return "result"

    tasks: list[asyncio.Task[None]] = []
    simulation = new_simulation()
    assert simulation.run(main) == "result"
    assert len(simulation.stuck_tasks) == 1
    assert "stubborn" in simulation.stuck_tasks[0]


def test_a_host_can_drive_the_loop_itself() -> None:
    simulation = new_simulation()

    async def step(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return time.monotonic()

    with simulation.active() as loop_:
        assert loop_ is simulation.loop
        assert loop_.run_until_complete(step(60)) == pytest.approx(1060)
        assert loop_.run_until_complete(step(60)) == pytest.approx(1120)
    assert loop_.is_closed()
    assert time.monotonic() != pytest.approx(1120)


def test_a_runner_can_own_and_close_the_loop() -> None:
    simulation = new_simulation()
    ended: list[str] = []

    async def background() -> None:
        try:
            await wait_for_nothing()
        finally:
            ended.append("cancelled by the runner")

    async def main() -> float:
        tasks.append(asyncio.create_task(background()))
        as_client(simulation, wait_for_nothing, 1)
        await asyncio.sleep(60)
        simulation.crash(1)
        return simulation.now_s()

    tasks: list[asyncio.Task[None]] = []
    with simulation.active(), asyncio.Runner(loop_factory=lambda: simulation.loop) as runner:
        assert runner.run(main()) == pytest.approx(60)
    assert ended == ["cancelled by the runner"]
