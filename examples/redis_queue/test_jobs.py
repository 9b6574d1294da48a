"""A real redis-server behind the fault proxy, which loses the reply to one command."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import faultline as fl
from faultline.worlds.live.proxy import FaultProxy

pytest.importorskip("redis", reason="redis is not installed")
from jobs import QUEUE, connect, enqueue, enqueue_once
from redis.asyncio import Redis

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]
JOBS = ["mail-1", "mail-2", "mail-3"]
LOST_REPLY = fl.faults.LimitData(connection=1, direction="down", limit_bytes=0)
LOST_COMMAND = fl.faults.LimitData(connection=1, direction="up", limit_bytes=0)
SILENCE = fl.faults.Timeout(connection=1, direction="down")


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[str]:
    """The address of a server that keeps nothing on disk."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = await asyncio.create_subprocess_exec("redis-server", *options, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    try:
        async with asyncio.timeout(10):
            while b"Ready to accept" not in (line := await server.stdout.readline()):
                assert line, "redis-server ended; is the port in use?"
        yield f"127.0.0.1:{port}"
    finally:
        if server.returncode is None:
            server.terminate()
        await server.communicate()


async def queue_through(put: Callable[[Redis, str], Awaitable[None]], fault: Any, folder: Path) -> str:
    """Queue the jobs while ``fault`` strikes. What the oracles find in what was wanted and what is in the queue."""
    async with (
        redis_server(folder) as address,
        FaultProxy(address) as proxy,
        connect("127.0.0.1", proxy.listen_port) as redis,
    ):
        await redis.ping()  # connection 1 is there
        with proxy.inject(fault):
            for job in JOBS:
                await put(redis, job)
        queued = [entry.decode() for entry in await redis.lrange(QUEUE, 0, -1)]
    assert proxy.accepted > 1, "the fault broke connection 1, and the client came back"
    told = fl.HistoryBuilder()
    for job in JOBS:
        told.intent(job, quantity=1, symbol=QUEUE).answer(job)
    for place, job in enumerate(reversed(queued), 1):
        told.order(f"entry {place}", job, symbol=QUEUE)
    verdicts = [oracle.judge(told.sealed()) for oracle in (fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())]
    return "\n".join(f"{verdict.oracle}: {verdict.why}" for verdict in verdicts if verdict.verdict != "pass")


@pytest.mark.parametrize("fault", [LOST_REPLY, LOST_COMMAND, SILENCE], ids=["reply", "command", "silence"])
async def test_each_job_is_queued_once(fault: Any, tmp_path: Path) -> None:
    assert await queue_through(enqueue_once, fault, tmp_path) == ""


@pytest.mark.parametrize("fault", [LOST_REPLY, SILENCE], ids=["reply", "silence"])
async def test_a_command_whose_reply_is_lost_is_carried_out_twice(fault: Any, tmp_path: Path) -> None:
    wrong = await queue_through(enqueue, fault, tmp_path)
    assert re.search(r"no_duplicates: intent mail-1 \(buy 1 jobs\) became \d orders \(entry 1 .*, entry 2", wrong)
