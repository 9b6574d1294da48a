"""``faultline gateway`` as a process: it serves, strikes, judges, sums up, and refuses bad input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from faultline.history import read_history
from faultline.history.event import Received
from tests.worlds.live.gateway.upstream import serving

START = [sys.executable, "-c", "import sys; from faultline.cli import main; sys.exit(main())", "gateway"]
SCENARIO = """
name: orders
target: a.py:A
venue: generic
faults:
  - lost_response: {on: POST /orders, first: 1, how: rst}
effects:
  - POST /orders: {key: header Idempotency-Key, id: json id}
expect: [no_duplicates, reconciled]
"""


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *START, *arguments, stdout=PIPE, stderr=PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_strikes_judges_and_sums_up(tmp_path: Path) -> None:
    wire, scenario = tmp_path / "wire.jsonl", tmp_path / "orders.yaml"
    scenario.write_text(SCENARIO)
    options = ("--port", "0", "--scenario", str(scenario), "--history", str(wire), "--seed", "3")
    async with serving() as upstream, started("--upstream", upstream.url, *options) as process:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        url = line.split()[2]
        assert line == f"gateway at {url} (seed 3, 1 fault for 3600s)\n"
        async with aiohttp.ClientSession() as client:
            for attempt in range(2):
                try:
                    answer = await client.post(f"{url}/orders", json={"n": 1}, headers={"Idempotency-Key": "k"})
                    assert answer.status == 201
                except aiohttp.ClientError:
                    assert attempt == 0
        process.send_signal(signal.SIGINT)
        out, errors = await asyncio.wait_for(process.communicate(), 15)
        assert out.decode().splitlines() == [
            "2 requests, 1 effect",
            "  lost_response: struck 1, applied",
            "no_duplicates: pass: 1 intent with one order each",
            "reconciled: unknown: needs what the client believes of its orders, and a gateway sees only the wire",
        ]
        assert (process.returncode, errors) == (0, b"")
    assert len(read_history(wire).of(Received)) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--upstream", "http://example.com"), "--allow-host example.com"),
        (
            ("--upstream", "http://127.0.0.1:1", "--fault", "lost_respose: {}"),
            "--fault 'lost_respose: {}': unknown fault",
        ),
        (("--upstream", "http://127.0.0.1:1", "--fault", "latency: {delay: 1s}"), "faultline proxy"),
        (("--upstream", "http://127.0.0.1:1", "--effect", "POST /a: {idd: json id}"), "unknown key 'idd'"),
        (("--upstream", "http://127.0.0.1:1", "--effect", "POST /a: {id: body id}"), "write header NAME"),
        (("--upstream", "http://127.0.0.1:1", "--for", "soon"), "--for: "),
    ],
)
async def test_bad_input_is_told_and_nothing_runs(arguments: tuple[str, ...], told: str) -> None:
    async with started(*arguments) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert told in errors.decode()
    assert process.returncode == 2
