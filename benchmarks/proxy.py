"""The fault proxy next to direct loopback: bulk, ping-pong, connections, memory, and how exact faults are.

The load comes from ``load/load.c``, compiled here, so that Python is measured only where it is the proxy. The proxy
runs as its users run it: ``faultline proxy`` in a process of its own, driven over its control API. The aims are
Toxiproxy 2.12's figures times what a good data path in Python may reach; a direct figure of the same run says how
fast the machine was just then, so a ratio between two runs is taken over it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.figure import Figure

SOURCE: Final = Path(__file__).parent / "load" / "load.c"
SECONDS: Final = 2.0
REPETITIONS: Final = 3
HELD: Final = 1000
_PROXY: Final = "import sys; from faultline.cli import main; sys.exit(main())"


class Bench:
    """The load tool, its server, and a proxy in front of it."""

    def __init__(self, tool: Path, upstream: int, url: str, pid: int) -> None:
        self._tool = tool
        self._url = url
        self._pid = pid
        self.upstream = upstream
        made = self.api("POST", "/proxies", {"name": "bench", "upstream": f"127.0.0.1:{upstream}"})
        self.port = int(str(made["listen"]).rpartition(":")[2])

    def api(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """One request to the control API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        found: dict[str, object] = json.loads(text) if text else {}
        return found

    def toxics(self, *toxics: object) -> None:
        """Only these from now on."""
        self.api("POST", "/reset")
        for toxic in toxics:
            self.api("POST", "/proxies/bench/toxics", toxic)

    def load(self, *arguments: object) -> dict[str, float]:
        """What the tool prints."""
        command = [str(self._tool), *map(str, arguments)]
        printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        return {name: float(value) for name, value in (line.split() for line in printed.splitlines())}

    def medians(self, name: str, *arguments: object) -> float:
        """One value, the middle of a few runs."""
        return median(self.load(*arguments)[name] for _ in range(REPETITIONS))

    def memory_mib(self) -> float:
        """Resident memory of the proxy's process."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    def memory_holding_mib(self, count: int) -> float:
        """The same with ``count`` open connections."""
        holding = subprocess.Popen(
            [str(self._tool), "hold", str(self.port), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert holding.stdout is not None
            assert holding.stdout.readline().startswith(b"held")
            return self.memory_mib()
        finally:
            holding.communicate()


@contextmanager
def _process(command: Sequence[str], pattern: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(pattern, process.stdout.readline())
        assert found is not None, command
        yield process, found[1]
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def _pinned(processors: Iterable[int]) -> Iterator[None]:
    """This process, and those that it starts meanwhile, run only there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _bench(proxy_on: Iterable[int] = ()) -> Iterator[Bench]:
    """``proxy_on``: the processors that the proxy runs on, where they are not everybody's."""
    with TemporaryDirectory() as folder:
        tool = Path(folder) / "load"
        subprocess.run(["cc", "-O2", "-pthread", "-o", str(tool), str(SOURCE)], check=True)
        serve = [str(tool), "serve"]
        proxy = [sys.executable, "-c", _PROXY, "proxy", "--port", "0"]
        with _process(serve, r"port (\d+)") as (_, port), _process(proxy, r"(http://\S+)") as (process, url):
            placed = set(proxy_on)
            if placed:
                os.sched_setaffinity(process.pid, placed)
            yield Bench(tool, int(port), url, process.pid)


def _latency(delay_ms: int, stream: str = "downstream") -> dict[str, object]:
    return {"type": "latency", "name": f"latency_{stream}", "stream": stream, "attributes": {"latency": delay_ms}}


def _plain(it: Bench) -> Iterator[Figure]:
    for way in ("up", "down"):
        direct = it.medians("mb_per_s", "bulk", way, it.upstream, SECONDS)
        proxied = it.medians("mb_per_s", "bulk", way, it.port, SECONDS)
        yield Figure(f"proxy.bulk_{way}.direct", direct, "MB/s")
        yield Figure(f"proxy.bulk_{way}", proxied, "MB/s", f">= {1640 if way == 'up' else 1590}")
        yield Figure(f"proxy.bulk_{way}.of_direct", proxied / direct, "x", ">= 0.44")
    for threads, aim in ((1, 5080), (8, 10_500)):
        yield from _connections(it, "", threads, f">= {aim}")


def _connections(it: Bench, placement: str, threads: int, aim: str) -> Iterator[Figure]:
    name = f"proxy.connections_{threads}{placement and '_' + placement}"
    direct = it.medians("per_s", "connect", it.upstream, SECONDS, threads)
    proxied = it.medians("per_s", "connect", it.port, SECONDS, threads)
    yield Figure(f"{name}.direct", direct, "/s")
    yield Figure(name, proxied, "/s", aim)
    yield Figure(f"{name}.of_direct", proxied / direct, "x", "" if placement else ">= 0.33")


def _pingpong(it: Bench, placement: str, aim: str, ratio_aim: str) -> Iterator[Figure]:
    name = f"proxy.pingpong_{placement}"
    direct = [it.load("pingpong", it.upstream, 10_000) for _ in range(REPETITIONS)]
    proxied = [it.load("pingpong", it.port, 10_000) for _ in range(REPETITIONS)]
    for value, aimed in (("p50_us", aim), ("p99_us", "")):
        yield Figure(f"{name}.{value[:3]}.direct", median(run[value] for run in direct), "us")
        yield Figure(f"{name}.{value[:3]}", median(run[value] for run in proxied), "us", aimed)
    ratio = median(run["p50_us"] for run in proxied) / median(run["p50_us"] for run in direct)
    yield Figure(f"{name}.of_direct", ratio, "x", ratio_aim)


def _bare_sleep_ms(delay_s: float, count: int) -> float:
    """The second longest of ``count`` sleeps in this process: what the machine itself makes of a delay."""
    took_s = []
    for _ in range(count):
        began_s = time.perf_counter()
        time.sleep(delay_s)
        took_s.append(time.perf_counter() - began_s)
    return sorted(took_s)[-2] * 1000


def _faults(it: Bench) -> Iterator[Figure]:
    it.toxics(_latency(50))
    run = it.load("pingpong", it.port, 100)
    yield Figure("proxy.latency_50ms.p50", run["p50_us"] / 1000, "ms", "<= 50.6")
    yield Figure("proxy.latency_50ms.p99", run["p99_us"] / 1000, "ms", "<= 51.3")
    yield Figure("proxy.latency_50ms.p99.bare_sleep", _bare_sleep_ms(0.05, 100), "ms")
    for way, stream, aim in (("up", "upstream", 650), ("down", "downstream", 584)):
        it.toxics(_latency(50, stream))
        yield Figure(
            f"proxy.latency_50ms.bulk_{way}", it.medians("mb_per_s", "bulk", way, it.port, SECONDS), "MB/s", f">= {aim}"
        )
    for rate in (1000, 10_000):
        it.toxics({"type": "bandwidth", "attributes": {"rate": rate}})
        got = it.load("bulk", "down", it.port, 3)["mb_per_s"] * 1000
        yield Figure(f"proxy.bandwidth_{rate}", got / rate, "x", "0.99 to 1.01")
    it.toxics()


def figures() -> Iterator[Figure]:
    """All figures. Needs ``cc``; without it there are none.

    Ping-pong and connections are measured with everything on one processor, and with the proxy on one of its own, as
    well: unpinned they hang on how the system places three processes, and on what waking an idle processor costs.
    """
    if shutil.which("cc") is None:
        return
    with _bench() as it:
        yield Figure("proxy.memory_idle", it.memory_mib(), "MiB")
        yield Figure("proxy.memory_1000_connections", it.memory_holding_mib(HELD), "MiB", "< 60")
        yield from _plain(it)
        yield Figure("proxy.memory_1000_connections_after_bulk", it.memory_holding_mib(HELD), "MiB", "< 60")
        yield from _pingpong(it, "unpinned", "<= 128", "<= 1.9")
        yield from _faults(it)
    allowed = sorted(os.sched_getaffinity(0))
    with _pinned(allowed[:1]), _bench() as it:
        yield from _pingpong(it, "one_cpu", "<= 14.8", "<= 3.4")
        yield from _connections(it, "one_cpu", 8, ">= 13010")
    if len(allowed) > 1:
        with _pinned(allowed[:1]), _bench(allowed[1:2]) as it:
            yield from _pingpong(it, "split", "<= 133", "")
            yield from _connections(it, "split", 8, ">= 14860")
