"""Coroutines that begin at once."""

from __future__ import annotations

import asyncio

import pytest

from faultline.venues.eager import begin


async def test_what_waits_for_nothing_is_done_at_once_and_needs_no_task() -> None:
    seen: list[str] = []

    async def inner() -> str:
        return "done"

    async def work() -> None:
        seen.append(await inner())

    tasks: set[asyncio.Task[None]] = set()
    assert begin(work(), tasks) is None
    assert seen == ["done"]
    assert not tasks


async def test_the_rest_runs_in_a_task_and_gets_what_it_waited_for() -> None:
    waited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[object] = []

    async def work() -> None:
        seen.append("begun")
        seen.append(await waited)
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    tasks: set[asyncio.Task[None]] = set()
    task = begin(work(), tasks)
    assert seen == ["begun"]
    assert tasks == {task}
    assert task is not None
    assert "test_the_rest_runs_in_a_task_and_gets_what_it_waited_for.<locals>.work" in repr(task)
    waited.set_result(7)
    await task
    assert seen == ["begun", 7, task]
    await asyncio.sleep(0)
    assert not tasks


@pytest.mark.parametrize("turns", [0, 1])
async def test_a_cancelled_rest_hears_of_it(turns: int) -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("finally")

    task = begin(work(), set())
    assert task is not None
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "finally"]


@pytest.mark.parametrize("fails", [True, False])
async def test_an_error_that_was_waited_for_arrives_where_it_is_awaited(fails: bool) -> None:
    waited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[BaseException] = []

    async def work() -> None:
        try:
            await waited
        except OSError as error:
            seen.append(error)
            if fails:
                raise

    task = begin(work(), set())
    assert task is not None
    error = OSError("gone")
    waited.set_exception(error)
    if fails:
        with pytest.raises(OSError, match="gone"):
            await task
    else:
        await task
    assert seen == [error]


async def test_an_error_before_the_first_wait_is_the_callers() -> None:
    async def work() -> None:
        raise OSError("at once")

    with pytest.raises(OSError, match="at once"):
        begin(work(), set())
