"""The simulated world as a run sees it: processes, hosts, what it reports, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from faultline.errors import HarnessError, SimDeadlock
from faultline.faults.actions import Action, Cut, Delay
from faultline.faults.injector import Decision, Injector
from faultline.faults.points import Moment, Plane
from faultline.history import Aliases, ClientPolicy, History
from faultline.history.attribution import Attribution
from faultline.history.event import Resolved, Struck
from faultline.venues import PROFILES
from faultline.venues.interceptor import Interceptor
from faultline.venues.settings import GenericSettings
from faultline.worlds.base import Addresses
from faultline.worlds.context import INCARNATION
from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.world import SimWorld
from faultline.worlds.store import memory_folder


def new_world(**options: Any) -> SimWorld:
    return SimWorld(1, **({"time_limit_s": 1000.0} | options))


def leftovers() -> list[str]:
    """Folders of this process on the memory file system."""
    folder = memory_folder()
    folder.rmdir()
    return sorted(path.name for path in folder.parent.glob(f"faultline-{os.getpid()}-*"))


class Decider:
    """Strikes every point of an endpoint, and asks for no others."""

    def __init__(self, endpoint: str = "", *actions: Action, planes: frozenset[Plane] = frozenset(Plane)) -> None:
        self.endpoint = endpoint
        self.actions = actions
        self.planes = planes
        self.seen: list[tuple[Moment, Any]] = []

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        self.seen.append((moment, INCARNATION.get()))
        if moment.point.endpoint != self.endpoint:
            return ()
        return tuple(Decision("test", action) for action in self.actions)


async def open_venue(world: SimWorld, decider: Decider | None = None) -> tuple[Addresses, History]:
    """A generic venue on the wire of ``world``."""
    history = History()
    injector = Injector(decider or Decider(), history, world.now_s)
    injector.armed = True
    attribution = Attribution(ClientPolicy())
    venue = PROFILES["generic"].build(GenericSettings(), world.context(), history, attribution, injector, Aliases())
    interceptor = Interceptor(injector, history, attribution, now_s=world.now_s, wall_s=world.context().wall_s, upon={})
    world.arm(injector, lambda action: None)
    return await world.listen(venue, interceptor), history


async def get_time(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/time") as response:
        return response.status


# The wire


@pytest.mark.parametrize("front", ["raw", "aiohttp"])
def test_a_venue_is_reached_by_the_client_on_either_front(front: Any) -> None:
    world = new_world(front=front)

    async def main() -> int:
        addresses, _ = await open_venue(world)
        assert addresses.rest_url == "http://api.venue.test:80"
        assert addresses.stream_url.startswith("ws://stream.venue.test:80")
        return await world.spawn(get_time(addresses.rest_url), 1)

    assert world.run(main) == 200


def test_points_are_asked_outside_of_the_client_and_resolved_as_unknown() -> None:
    world = new_world()
    decider = Decider("rest", Delay(0.5))

    async def main() -> History:
        addresses, history = await open_venue(world, decider)
        await world.spawn(get_time(addresses.rest_url), 1)
        return history

    history = world.run(main)
    stream = [(moment, who) for moment, who in decider.seen if moment.point.plane is Plane.STREAM]
    assert {moment.point.phase for moment, _ in stream} >= {"resolve", "connect", "up", "down"}
    assert {who for _, who in stream} == {None}
    assert {event.effect for event in history.of(Resolved)} == {"unknown"}
    assert len(history.of(Resolved)) == len(history.of(Struck)) > 3
    assert world.now_s() > 1.5


def test_segments_are_not_asked_about_where_nothing_can_strike_them() -> None:
    world = new_world()
    decider = Decider(planes=frozenset({Plane.MESSAGE}))

    async def main() -> None:
        addresses, _ = await open_venue(world, decider)
        await world.spawn(get_time(addresses.rest_url), 1)

    world.run(main)
    assert {moment.point.plane for moment, _ in decider.seen} == {Plane.MESSAGE}


def test_open_connections_are_cut_by_host_and_counted() -> None:
    world = new_world()
    found: list[int] = []

    async def main() -> None:
        addresses, _ = await open_venue(world)
        reader, writer = await world.spawn(asyncio.open_connection("api.venue.test", 80), 1)
        await asyncio.sleep(1)
        assert addresses
        found.append(world.cut("stream", Cut(how="rst")))
        found.append(world.cut("rest", Cut(how="rst")))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await asyncio.sleep(1)
        found.append(world.cut("*", Cut(how="rst")))
        writer.close()

    world.run(main)
    assert found == [0, 1, 0]


def test_a_request_in_work_keeps_the_world_from_being_idle() -> None:
    world = new_world()

    async def main() -> None:
        addresses, _ = await open_venue(world, Decider("GET /time", Delay(5.0)))
        assert world.idle()
        task = world.spawn(get_time(addresses.rest_url), 1)
        await asyncio.sleep(2)
        assert not world.idle()
        await task
        assert world.idle()

    world.run(main)


# Processes


def test_a_process_runs_on_the_clients_host_under_its_number() -> None:
    world = new_world()

    async def who() -> tuple[int | None, bool]:
        return INCARNATION.get(), HOST.get() is not None

    async def main() -> None:
        assert await world.spawn(who(), 3) == (3, True)
        assert world.enter(4, lambda: INCARNATION.get()) == 4
        assert await asyncio.ensure_future(who()) == (None, False)

    world.run(main)


def test_a_client_sees_and_cancels_only_its_own_tasks() -> None:
    world = new_world()

    async def wait() -> None:
        await asyncio.sleep(100)

    async def stop_everything() -> int:
        asyncio.create_task(wait())  # noqa: RUF006 -- found again by all_tasks
        await asyncio.sleep(1)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        return len(others)

    async def main() -> None:
        other, ours = world.spawn(wait(), 2), asyncio.ensure_future(wait())
        mine = world.spawn(wait(), 1)
        assert await world.spawn(stop_everything(), 1) == 2
        assert mine.cancelled()
        assert not other.done()
        assert not ours.done()
        assert {other, ours} <= asyncio.all_tasks()

    world.run(main)


def test_how_a_clients_sets_iterate_hangs_on_nothing_that_others_make() -> None:
    def order(others: int) -> list[list[str]]:
        world = new_world()

        async def client() -> list[list[str]]:
            loop = asyncio.get_running_loop()
            names = {loop.create_future(): f"f{number}" for number in range(5)}
            tasks = {asyncio.create_task(asyncio.sleep(0), name=f"t{number}") for number in range(5)}
            return [[names[future] for future in set(names)], [task.get_name() for task in tasks]]

        async def main() -> list[list[str]]:
            loop = asyncio.get_running_loop()
            hash(loop.create_future())
            work = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(others)]
            await asyncio.sleep(1)
            assert len({loop.create_future() for _ in work}) == others
            return await world.spawn(client(), 1)

        return world.run(main)

    assert all(order(others) == order(0) for others in range(1, 12))


def test_a_crashed_process_is_gone_and_its_store_is_a_copy() -> None:
    world = new_world()

    async def main() -> None:
        first = world.store_path()
        first.write_text("state")
        task = world.spawn(asyncio.sleep(5), 1)
        await asyncio.sleep(1)
        assert not world.crashed(1)
        world.crash(1, "fin")
        world.crash(1, "fin")
        assert world.crashed(1)
        second = world.store_path()
        assert second != first
        assert second.read_text() == "state"
        assert second.parent.name == "2", "crashing it again does nothing"
        first.write_text("the dead wrote this")
        await asyncio.sleep(10)
        assert not task.done()
        assert second.read_text() == "state"

    world.run(main)


def test_unfinished_tasks_are_told_by_the_place_where_they_wait() -> None:
    world = new_world()

    async def wait_here() -> None:
        await asyncio.sleep(100)

    async def main() -> list[str]:
        world.spawn(wait_here(), 1)
        done = world.spawn(asyncio.sleep(0.1), 1)
        world.spawn(wait_here(), 2)
        await done
        return world.left_running(1)

    (left,) = world.run(main)
    assert left.startswith(
        "test_unfinished_tasks_are_told_by_the_place_where_they_wait.<locals>.wait_here at test_world"
    )


# What it saw


def complaints_of(*clients: Callable[[], Awaitable[object]], keep: bool = False) -> list[tuple[str, int]]:
    """What is complained about when each client runs as a process of its own, and as (text, process)."""
    world = new_world()
    kept: list[Any] = []

    async def run(client: Callable[[], Awaitable[object]]) -> object:
        return await client()

    async def main() -> list[Any]:
        for number, client in enumerate(clients, 1):
            task = world.spawn(run(client), number)
            if keep:
                kept.append(task)
            del task
        await asyncio.sleep(1)
        gc.collect()
        return world.complaints()

    return [(f"{complaint.what}: {complaint.detail}", complaint.incarnation) for complaint in world.run(main)]


async def fail() -> None:
    raise LookupError("lost")


async def fail_in_a_callback() -> None:
    def callback() -> None:
        raise LookupError("called")

    asyncio.get_running_loop().call_soon(callback)


async def forget_a_future() -> None:
    asyncio.get_running_loop().create_future().set_exception(LookupError("forgotten"))


async def sleep_for_real() -> None:
    time.sleep(2)  # noqa: ASYNC251 -- that is what is to be noticed


def test_each_complaint_names_the_process_that_it_is_about() -> None:
    found = complaints_of(fail, fail_in_a_callback, sleep_for_real)
    texts = [text for text, _ in found]
    assert any(text == "unhandled: Task exception was never retrieved: LookupError: lost" for text in texts)
    assert any("LookupError: called" in text for text in texts)
    assert any(text.startswith("blocking: time.sleep(2) at test_world.py:") for text in texts)
    assert {process for text, process in found if text.startswith("unhandled")} == {1, 2}


def test_what_nobody_owns_is_not_complained_about() -> None:
    world = new_world()

    async def main() -> list[Any]:
        await forget_a_future()
        gc.collect()
        asyncio.get_running_loop().call_exception_handler({"message": "Unclosed client session"})
        return world.complaints()

    assert world.run(main) == []


def test_an_error_of_the_harness_is_nobodys_process() -> None:
    world = new_world()

    async def main() -> list[Any]:
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(1)
        del task
        gc.collect()
        return world.complaints()

    (complaint,) = world.run(main)
    assert (complaint.what, complaint.incarnation) == ("unhandled", 0)


def test_complaints_are_told_once() -> None:
    world = new_world()

    async def main() -> tuple[int, int]:
        world.spawn(sleep_for_real(), 1)
        await asyncio.sleep(1)
        return len(world.complaints()), len(world.complaints())

    assert world.run(main) == (1, 0)


def test_a_task_that_died_and_is_still_held_is_told_once_and_not_again_by_asyncio() -> None:
    world = new_world()

    async def main() -> None:
        task = world.spawn(fail(), 1)
        looked_at = world.spawn(fail(), 1)
        await asyncio.wait({looked_at})
        assert looked_at.exception()
        await asyncio.sleep(1)
        assert world.died(1) == ["fail: LookupError: lost"]
        assert world.died(1) == world.died(2) == []
        del task, looked_at
        gc.collect()
        assert world.complaints() == []

    world.run(main)


# The end


def test_ended_comes_before_anything_is_torn_down() -> None:
    world = new_world()
    order: list[str] = []

    async def stay() -> None:
        try:
            await asyncio.sleep(500)
        finally:
            order.append("torn down")

    async def main() -> str:
        world.spawn(stay(), 1)
        await asyncio.sleep(1)
        return "done"

    assert world.run(main, lambda: order.append("ended")) == "done"
    assert order[0] == "ended"
    assert "torn down" in order


def test_ended_comes_also_when_the_loop_gives_up() -> None:
    world = new_world()
    order: list[str] = []

    async def main() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            order.append("torn down")

    with pytest.raises(SimDeadlock):
        world.run(main, lambda: order.append("ended"))
    assert order[:2] == ["ended", "torn down"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_no_folder_is_left_behind_whatever_happened(error: type[BaseException]) -> None:
    before = leftovers()
    world = new_world()

    async def main() -> None:
        path = world.store_path()
        path.write_text("x")
        world.crash(1, "fin")
        assert len(leftovers()) == len(before) + 1
        raise error

    with pytest.raises(error):
        world.run(main)
    assert leftovers() == before


def test_a_world_that_never_runs_makes_no_folder() -> None:
    before = leftovers()
    new_world()
    assert leftovers() == before


def test_a_world_that_never_runs_is_nothing_to_warn_of() -> None:
    gc.collect()  # what other tests left is theirs
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        new_world()
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_the_store_lies_on_a_memory_file_system_where_there_is_one() -> None:
    world = new_world()

    async def main() -> Path:
        return world.store_path()

    path = world.run(main)
    assert path.is_relative_to("/dev/shm") or not os.access("/dev/shm", os.W_OK)


def test_a_world_is_used_once() -> None:
    world = new_world()

    async def main() -> None:
        world.store_path()

    before = leftovers()
    world.run(main)
    with pytest.raises(HarnessError, match="used once"):
        world.run(main)
    assert leftovers() == before


def test_ids_count_by_kind_and_chance_hangs_on_the_seed() -> None:
    one, same, other = (SimWorld(seed, time_limit_s=10.0).context() for seed in (1, 1, 2))
    assert [one.new_id("order"), one.new_id("fill"), one.new_id("order")] == ["order1", "fill1", "order2"]
    assert one.chance("a").random() == same.chance("a").random() != other.chance("a").random()
    assert one.wall_s() == 1_767_225_600.0
