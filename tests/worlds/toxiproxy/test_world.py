"""Runs whose stream-plane faults are toxics: what strikes, what is told, what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from faultline.errors import HarnessError
from faultline.faults import (
    Bandwidth,
    CutAfter,
    Fault,
    HalfOpen,
    Latency,
    LimitData,
    LostResponse,
    Partition,
    Refuse,
    ResetPeer,
    Slicer,
    StoreError,
    Timeout,
    Truncate,
)
from faultline.faults.chance import Chance
from faultline.history.event import Answer, Contracted
from faultline.oracles import NoDuplicates, NoLostIntent
from faultline.plan import Plan
from faultline.runner import Run, run
from faultline.venues.settings import GenericSettings
from faultline.worlds.toxiproxy.server import RunName

from ...playing import CAREFUL
from .conftest import Server, elsewhere

Make = Callable[..., Plan]
BOTH = [NoDuplicates(), NoLostIntent()]


def verdicts(done: Run) -> dict[str, str]:
    assert done.error is None, done.error
    return {verdict.oracle: verdict.verdict for verdict in done.verdicts}


def fired(done: Run) -> set[str]:
    return {receipt.fault for receipt in done.receipts}


def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """The other server's ends of connections are in this process too, and close a moment later."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s
        time.sleep(0.01)


# What strikes

SLOW = Latency(on="rest", delay_s=0.2, during_s=(0.0, 1.0))
CASES: list[tuple[Fault, ...]] = [
    (SLOW, Slicer(on="rest", piece_bytes=40, direction="down"), Bandwidth(on="rest", rate_bytes_per_s=50_000)),
    (Partition(on="*", at_s=0.1, for_s=0.6), HalfOpen(on="rest", at_s=0.9)),
    (Timeout(on="rest", direction="down", during_s=(0.1, 0.6)), Truncate(on="rest", at_s=0.8)),
    (Refuse(on="rest", during_s=(0.0, 0.5)), CutAfter(on="rest", age_s=0.05, how="rst")),
    (ResetPeer(on="rest", at_s=0.15), LimitData(on="rest", limit_bytes=250, direction="down", during_s=(0.0, 0.6))),
]


@pytest.mark.parametrize("faults", CASES, ids=lambda faults: "+".join(fault.kind for fault in faults))
def test_it_says_what_the_live_world_says(live: Make, through: Make, faults: tuple[Fault, ...]) -> None:
    settings = {"target": CAREFUL, "expect": BOTH, "rate_per_s": 4.0, "linger_s": 1.0}
    one, other = run(live(*faults, **settings), 3), run(through(*faults, **settings), 3)
    assert verdicts(one) == verdicts(other) == {"no_duplicates": "pass", "no_lost_intent": "pass"}
    assert fired(other) == {fault.kind for fault in faults}
    assert fired(one) <= fired(other)


def test_what_fails_in_the_live_world_fails_here(live: Make, through: Make) -> None:
    forgetful = {"settings": GenericSettings(idempotency="none"), "expect": [NoDuplicates()]}
    silent = Timeout(on="rest", direction="down", during_s=(0.05, 1.3))
    for make in (live, through):
        done = run(make(silent, **forgetful), 0)
        assert verdicts(done) == {"no_duplicates": "fail"}
        assert fired(done) == {"timeout"}


def test_the_other_planes_strike_as_in_the_live_world(through: Make) -> None:
    faults = (SLOW, LostResponse(on="POST /orders", nth=1), StoreError(error="full", nth=3))
    done = run(through(*faults, target=CAREFUL, expect=BOTH), 0)
    assert set(verdicts(done).values()) == {"pass"}
    assert fired(done) == {"latency", "lost_response", "store_error"}
    (first,) = done.history.of(Contracted)
    assert first.world == "toxiproxy"
    assert not done.plan.repeatable


def test_bytes_are_late_and_only_while_it_lasts(through: Make) -> None:
    done = run(through(SLOW, rate_per_s=2.0), 0)
    assert done.error is None
    answers = {answer.intent: answer.t for answer in done.history.of(Answer)}
    assert answers["I1"] >= 0.8, "a login and an order, each with the latency both ways"
    assert answers["I3"] - 1.0 < 0.2


@pytest.mark.parametrize("hit", [True, False])
def test_a_receipt_is_for_a_connection_that_the_toxicity_hits(through: Make, hit: bool) -> None:
    def hits(seed: int, ordinal: int) -> bool:
        return Chance(seed, "rest", "latency.downstream").child("connection", ordinal).random() < 0.5

    seed = next(seed for seed in range(100) if hits(seed, 1) == hit)
    done = run(through(Latency(on="rest", delay_s=0.01, direction="down", probability=0.5)), seed)
    assert done.error is None
    struck = {int(receipt.entity) for receipt in done.receipts}
    assert (1 in struck) == hit
    assert all(hits(seed, ordinal) for ordinal in struck)


def test_what_met_nothing_has_no_receipt(through: Make) -> None:
    quiet = Latency(on="rest", during_s=(1.0, 1.1))
    full = LimitData(on="rest", limit_bytes=10_000_000)
    done = run(through(quiet, full, rate_per_s=20.0), 0)
    assert done.error is None
    assert done.receipts == []


# Through a server that is not ours


def test_another_server_carries_it_and_nothing_is_left_there(
    through: Make, stock: Server, left: Callable[[], list[str]]
) -> None:
    stale = RunName("x", 0, "dead")._replace(machine=RunName.new().machine, process=2**22 + 1).proxy("rest")
    running = RunName.new().proxy("rest")
    stock.populate("somebody", stale, running)
    before = set(left())
    faults = (SLOW, Partition(on="*", at_s=1.2, for_s=0.6), Truncate(on="rest", at_s=0.5))
    plan = through(*faults, url=stock.url, target=CAREFUL, expect=BOTH, rate_per_s=2.0)
    done = run(plan, 0)
    assert set(verdicts(done).values()) == {"pass"}
    assert fired(done) == {"latency", "partition", "truncate"}
    (first,) = done.history.of(Contracted)
    assert first.world == f"toxiproxy at {stock.url}"
    assert not plan.repeatable
    assert stock.proxies() == sorted([running, "somebody"])
    until(lambda: set(left()) < before)


@pytest.mark.parametrize("how", ["ctrl-c", "a client that dies"])
def test_nothing_is_left_whatever_ends_the_run(
    through: Make, stock: Server, left: Callable[[], list[str]], how: str
) -> None:
    what = "os.kill(os.getpid(), signal.SIGINT)" if how == "ctrl-c" else "sys.exit(1)"
    code = f"""
import os, signal
class It(Tiny):
    async def place(self, intent_id, **order):
        {what}
        await asyncio.sleep(3600)
"""
    plan = through(SLOW, url=stock.url, code=code)
    if how == "ctrl-c":
        with pytest.raises(KeyboardInterrupt):
            run(plan, 0)
    else:
        assert run(plan, 0).error is not None
    assert stock.proxies() == []
    until(lambda: left() == [])


KILLED = """
import asyncio, sys
from faultline.worlds.toxiproxy.server import RunName, ToxiproxyServer

server = ToxiproxyServer(sys.argv[1])
for job in (server.check, server.take_lease, lambda: server.create(RunName.new().proxy("rest"), "127.0.0.1:9")):
    server.submit(job).result()
print("there", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_run_held_under_a_lease_goes_by_itself(leasing: Server) -> None:
    command = [sys.executable, "-c", KILLED, leasing.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        assert len(leasing.proxies()) == 1
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    until(lambda: leasing.proxies() == [], within_s=6.0)


def test_a_server_that_dies_ends_the_run(through: Make) -> None:
    with elsewhere(leases=False) as server:
        code = f"""
import urllib.request
class It(Tiny):
    async def place(self, intent_id, **order):
        for name in {server.proxies()!r} or await asyncio.to_thread(names):
            await asyncio.to_thread(delete, name)
        await asyncio.sleep(3600)

def names():
    import json
    with urllib.request.urlopen("{server.url}/proxies") as answer:
        return list(json.load(answer))

def delete(name):
    urllib.request.urlopen(urllib.request.Request("{server.url}/proxies/" + name, method="DELETE")).close()
"""
        late = Latency(on="rest", during_s=(0.5, 0.6))
        done = run(through(late, url=server.url, code=code, time_limit_s=20.0), 0)
    assert isinstance(done.error, HarnessError)
    assert str(done.error) == f"Toxiproxy at {server.url} refuses: proxy not found"


def test_a_name_tells_whose_a_proxy_is() -> None:
    mine = RunName.new()
    other = mine._replace(run="ffffffff")
    dead = mine._replace(process=2**22 + 1, run="ffffffff")
    elsewhere = dead._replace(machine="another")
    assert mine.owns(mine.proxy("rest"))
    assert mine.owns(dead.proxy("stream"))
    assert not mine.owns(other.proxy("rest")), "another run of this process"
    assert not mine.owns(elsewhere.proxy("rest"))
    assert not any(mine.owns(name) for name in ("rest", "faultline.x", f"faultline.{mine.machine}.x.y.rest"))
    assert mine.process == os.getpid()
