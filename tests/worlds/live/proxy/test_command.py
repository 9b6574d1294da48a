"""``faultline proxy`` as a process: it starts, serves, refuses bad input, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

START = [sys.executable, "-c", "import sys; from faultline.cli import main; sys.exit(main())", "proxy"]


@asynccontextmanager
async def started(*arguments: str, **env: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *START, *arguments, stdout=PIPE, stderr=PIPE, env={**os.environ, **env}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(*arguments: str) -> tuple[int | None, str]:
    async with started(*arguments) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode, errors.decode()


async def test_it_serves_the_proxies_of_its_file_until_it_is_told_to_stop(tmp_path: Path) -> None:
    config = tmp_path / "proxies.json"
    toxic = {"type": "latency", "attributes": {"latency": 10}}
    config.write_text(json.dumps([{"name": "db", "upstream": "127.0.0.1:9", "toxics": [toxic]}]))
    async with started("--port", "0", "--config", str(config), "--seed", "5", FAULTLINE_TOKEN="sesame") as process:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        url = line.split()[3]
        assert line == f"control API at {url} (seed 5)\n"
        assert (await process.stdout.readline()).startswith(b"db: 127.0.0.1:")
        headers = {"Authorization": "Bearer sesame"}
        async with aiohttp.ClientSession(url, headers=headers) as session, session.get("/proxies") as answer:
            assert (await answer.json())["db"]["toxics"][0]["attributes"] == {"latency": 10, "jitter": 0}
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 15)
        assert (process.returncode, errors) == (0, b"")


async def test_bad_input_is_an_error_and_nothing_keeps_running(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{")
    (tmp_path / "toxic.json").write_text(
        json.dumps([{"name": "db", "upstream": "127.0.0.1:9", "toxics": [{"type": "x"}]}])
    )
    (tmp_path / "empty").write_text("\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cases = {
            ("--port", str(taken.getsockname()[1])): "Address already in use; another --port",
            ("--port", "0", "--config", str(tmp_path / "none.json")): "cannot be read: No such file",
            ("--port", "0", "--config", str(tmp_path / "no.json")): "no.json: not a list of proxies: ",
            ("--port", "0", "--config", str(tmp_path / "toxic.json")): "invalid toxic type at proxy 1",
            ("--port", "0", "--token-file", str(tmp_path / "empty")): "holds no token",
            ("--port", "0", "--host", "0.0.0.0"): "give a token",
        }
        results = await asyncio.gather(*(ended(*arguments) for arguments in cases))
    for (code, errors), (arguments, says) in zip(results, cases.items(), strict=True):
        assert code == 2, (arguments, errors)
        assert says in errors, arguments
        assert "Traceback" not in errors


@pytest.mark.parametrize("port", ["70000", "x"])
async def test_a_port_that_is_none_is_refused(port: str) -> None:
    code, errors = await ended("--port", port)
    assert code == 2
    assert "--port" in errors
