"""Coroutines that begin at once: a task only for those that have to wait.

Most requests and messages are struck by nothing and wait for nothing, and a task for each is a good part of what they
cost. What runs here before its first wait has no task of its own: it must not ask for one (``asyncio.timeout`` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


def begin(work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None] | None:
    """Run ``work`` up to its first wait. None when that was all; else the task of the rest, in ``tasks`` until it ends.

    Raises what ``work`` raises before it waits.
    """
    try:
        awaited = work.send(None)
    except StopIteration:
        return None
    task = asyncio.get_running_loop().create_task(_Rest(work, awaited))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


class _Rest(Coroutine[Any, Any, None]):
    """What is left of a coroutine that waits for ``awaited``: its first step hands that to the task, which waits."""

    def __init__(self, work: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._work = work
        self._awaited = [awaited]

    def send(self, value: Any) -> Any:
        return self._awaited.pop() if self._awaited else self._work.send(value)

    def throw(self, *error: Any) -> Any:
        self._awaited.clear()
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._work.__await__()

    def __getattr__(self, name: str) -> Any:
        # Names, frames and lines, for whoever shows the task.
        return getattr(self._work, name)
