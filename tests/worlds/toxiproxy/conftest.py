"""Runs through a Toxiproxy server: the embedded one, or one that is not ours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from faultline.faults.base import Fault
from faultline.plan import Plan, make_plan
from faultline.targets import TargetRef
from faultline.worlds.live.proxy import ControlApi, ProxyServer
from faultline.worlds.live.proxy.bodies import ProxyInput

from ..live.conftest import left, live, short_tails  # noqa: F401

Make = Callable[..., Plan]


@pytest.fixture
def through(live: Make) -> Make:  # noqa: F811
    """Plans a run of three orders through a Toxiproxy server: the one at ``url``, or the embedded one."""

    def make(*faults: Fault, url: str | None = None, **settings: Any) -> Plan:
        plan = live(**settings)
        scenario = replace(plan.scenario, world="toxiproxy", faults=faults, toxiproxy=url)
        return make_plan(scenario, TargetRef("it", plan.target.spec))

    return make


class Server(NamedTuple):
    """A server that is not ours: it runs in a thread, with an event loop of its own."""

    url: str
    proxies: Callable[[], list[str]]
    populate: Callable[..., None]


@contextmanager
def elsewhere(*, leases: bool) -> Iterator[Server]:
    """A control API. Without ``leases`` it knows none, like Toxiproxy's own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="elsewhere")
    thread.start()

    def there(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    async def start() -> ControlApi:
        control = ControlApi(ProxyServer(seed=1))
        if not leases:
            control._routes = {path: each for path, each in control._routes.items() if path[0] != "lease"}
        await control.start("127.0.0.1", 0)
        return control

    async def names() -> list[str]:
        return sorted(control.server.proxies)

    control: ControlApi = there(start())
    try:
        yield Server(
            f"http://{control.listen}",
            lambda: list(there(names())),
            lambda *called: there(
                control.server.populate([ProxyInput(name=name, upstream="127.0.0.1:9") for name in called])
            ),
        )
    finally:
        there(control.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def stock() -> Iterator[Server]:
    with elsewhere(leases=False) as server:
        yield server


@pytest.fixture
def leasing() -> Iterator[Server]:
    with elsewhere(leases=True) as server:
        yield server
