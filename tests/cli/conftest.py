"""A small project to run the command line in: clients, scenarios, and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from faultline.cli import main

ROOT = Path(__file__).parents[2]

CLIENTS = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from targets.naive_flow import NaiveFlow
from targets.order_flow import OrderFlow as Careful

class Naive(NaiveFlow): pass

class Talks(Careful):
    async def start(self):
        print("hello from the client")
        await super().start()

class NoStart(Careful):
    async def start(self):
        raise RuntimeError("no database")

class NoCancel:
    def __init__(self, **surroundings): pass
    async def start(self): pass
    async def stop(self): pass
    async def place(self, intent_id, **order): return "unknown"
    def snapshot(self): return {{}}

KEPT = []

class ByAddress(NaiveFlow):
    "Waits as long as the order of a set of objects tells it to."
    async def place(self, intent_id, **order):
        waits = {{object(): n / 1000 for n in range(50)}}
        KEPT.append(waits)
        await asyncio.sleep(waits[next(iter(set(waits)))])
        return await super().place(intent_id, **order)
"""

SCENARIO = """\
name: {name}
tags: [{tag}]
{targets}
venue: generic
seeds: {seeds}
workload: {{orders: 4, rate: 20/s}}
faults:
  - {fault}
expect: [{expect}]
{more}
"""


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes scenario files into a folder that is the current one, with ``clients.py`` beside them."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FAULTLINE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "clients.py").write_text(CLIENTS)

    def write(
        file: str = "s.yaml", *, name: str = "orders", tag: str = "smoke", target: str = "Careful", seeds: int = 2,
        fault: str = "lost_response: {on: POST /orders, probability: 70%, during: [0s, 5s]}", more: str = "",
        targets: str = "", expect: str = "no_duplicates, no_lost_intent",
    ) -> Path:  # fmt: skip
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        targets = targets or f"target: clients.py:{target}"
        text = SCENARIO.format(name=name, tag=tag, targets=targets, seeds=seeds, fault=fault, more=more, expect=expect)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command line in this process."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main([*arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the command line as a process of its own, in the project's folder."""

    def start(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        script = "import sys; from faultline.cli import main; sys.exit(main())"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("FAULTLINE_", "COV_"))}
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            cwd=tmp_path,
            env={**inherited, "PYTHONPATH": str(ROOT), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
