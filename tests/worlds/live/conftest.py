"""Live runs for tests: short tails, because they take real time."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faultline.faults.base import Fault
from faultline.plan import Plan, make_plan
from faultline.targets import TargetRef

from ...playing import TINY, planned


@pytest.fixture(autouse=True)
def short_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultline.runner.TAIL_MIN_S", 0.3)
    monkeypatch.setattr("faultline.stage.STILL_S", 0.2)
    monkeypatch.setattr("faultline.stage.POLL_S", 0.05)


@pytest.fixture
def live(tmp_path: Path) -> Callable[..., Plan]:
    """Plans a live run of three orders. ``code`` is a class ``It(Tiny)`` with one change, not the tiny client."""

    def make(*faults: Fault, target: str = TINY, code: str = "", **settings: Any) -> Plan:
        if code:
            (tmp_path / "it.py").write_text(_HEAD + code)
            target = f"{tmp_path}/it.py:It"
        plan = planned(target, *faults, **({"rate_per_s": 10.0, "linger_s": 2.0} | settings))
        scenario = replace(plan.scenario, world="live")
        return make_plan(scenario, TargetRef("it", target))

    return make


@pytest.fixture
def left() -> Iterator[Callable[[], list[str]]]:
    """What there is more of than before: open files and sockets, threads, folders of stores."""

    def things() -> list[str]:
        gc.collect()
        files = []
        for number in os.listdir("/proc/self/fd"):
            try:
                files.append(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
            except OSError:
                continue  # the folder that was being listed
        folders = [str(path) for root in ("/dev/shm", "/tmp") for path in Path(root).glob(f"faultline-{os.getpid()}-*")]
        return sorted([*files, *(f"thread {thread.name}" for thread in threading.enumerate()), *folders])

    before = things()
    return lambda: [thing for thing in things() if thing not in before]


_HEAD = f"""
import asyncio, sqlite3, sys, time
sys.path.insert(0, {str(Path(TINY.partition(":")[0]).parent)!r})
from tiny import Tiny
"""
