"""Whose task is it? Every task carries the client process that started it, for whoever asks after the fact."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from faultline.worlds.context import INCARNATION


class OwnedTask(asyncio.Task[Any]):
    """A task that knows its ``incarnation``: the client process that started it, None for the harness and the venue.

    asyncio tells a task's context only since Python 3.12.
    """

    incarnation: int | None = None


def owned_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> OwnedTask:
    """A task factory (``loop.set_task_factory``) that makes :class:`OwnedTask`."""
    task = OwnedTask(work, loop=loop, **options)
    context = options.get("context")
    task.incarnation = INCARNATION.get() if context is None else context.get(INCARNATION)
    return task


def known_tasks() -> list[Any]:
    """Every task that is still referred to, done or not: asyncio keeps them in a weak set, under one of two names."""
    known = getattr(asyncio.tasks, "_scheduled_tasks", None)  # its name since Python 3.12
    return list(getattr(asyncio.tasks, "_all_tasks", ()) if known is None else known)


def died_of(incarnation: int, loop: asyncio.AbstractEventLoop) -> list[str]:
    """The tasks of a client process that ended in an exception at which nobody has looked yet; each is told once."""
    told = []
    for task in sorted(known_tasks(), key=hash):
        if getattr(task, "incarnation", None) != incarnation or not task.done() or task.cancelled():
            continue
        if task.get_loop() is loop and task._log_traceback:
            error = task.exception()  # which counts as having looked: asyncio does not tell it again
            told.append(f"{task.get_coro().__qualname__}: {type(error).__name__}: {error}")
    return told


def owner_of(context: dict[str, Any]) -> int | None:
    """The client process that an asyncio error context is about, whoever is running when it is reported."""
    task = context.get("task") or context.get("future")
    if isinstance(task, asyncio.Task):
        return getattr(task, "incarnation", None)
    handle = context.get("handle")
    if handle is not None:
        return cast("int | None", handle._context.get(INCARNATION))
    return INCARNATION.get()


def tells_its_owner(context: dict[str, Any]) -> bool:
    """Whether :func:`owner_of` can know: a bare future that was forgotten has no owner."""
    forgotten = context.get("future")
    return forgotten is None or isinstance(forgotten, asyncio.Task)
