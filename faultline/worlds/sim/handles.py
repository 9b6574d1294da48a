"""What the simulated loop schedules: tasks and futures with a hash that repeats, and handles that cost little.

Tasks and futures hash by the order in which they were first hashed, not by address, so that a set of them (the ``done``
of ``asyncio.wait``, ``asyncio.all_tasks``) iterates alike in every process. Each client process counts for itself: how
a client's sets iterate must not hang on how many tasks the venue made, or removing a fault would move others.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from faultline.worlds.context import INCARNATION
from faultline.worlds.sim.active import running
from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.patches import Patches

if TYPE_CHECKING:
    from faultline.worlds.sim.loop import SimLoop

T = TypeVar("T")


class _OrderedHash:
    """Hashes by order of first use within its loop and its client process."""

    _loop: Any
    _ordinal = 0

    def _owner(self) -> int | None:
        return INCARNATION.get()

    def __hash__(self) -> int:
        if not self._ordinal:
            loop = self._loop
            # Another thread's loop may get one too, while the classes are replaced.
            self._ordinal = loop.next_ordinal(self._owner()) if hasattr(loop, "next_ordinal") else id(self)
        return self._ordinal


class SimFuture(_OrderedHash, asyncio.Future[T]):
    """A future whose place in a set does not depend on its address."""

    __hash__ = _OrderedHash.__hash__


class SimTask(_OrderedHash, asyncio.Task[T]):
    """A task whose place in a set and whose name repeat, and that knows whose it is."""

    __hash__ = _OrderedHash.__hash__

    def __init__(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        name: str | None = None,
        context: Context | None = None,
        **options: Any,
    ) -> None:
        self.incarnation = INCARNATION.get()
        if context is not None:
            if self.incarnation is not None and context.get(INCARNATION) is None:
                # create_task(context=Context()) must not escape the fence
                context.run(INCARNATION.set, self.incarnation)
                context.run(HOST.set, HOST.get())
            self.incarnation = context.get(INCARNATION)
        if name is None and loop is not None and hasattr(loop, "next_task_name"):
            name = loop.next_task_name()
        super().__init__(coro, loop=loop, name=name, context=context, **options)

    def _owner(self) -> int | None:
        return self.incarnation


class Handle(events.Handle):
    """asyncio's handle without its debug mode, which costs a call each: a run makes a thousand of them."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], loop: SimLoop, context: Context | None
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class _Real:
    """asyncio's own, out of reach of the replacement of aliases."""

    all_tasks = staticmethod(asyncio.tasks.all_tasks)


def every_task(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    """The unfinished tasks of ``loop``, those of crashed processes too: process by process, oldest first."""
    return sorted(_Real.all_tasks(loop), key=hash)


def add_to(patches: Patches) -> None:
    """Declare asyncio's tasks and futures for the time of a run.

    Some libraries make them without asking the loop (aiohttp does, from Python 3.12 on). ``all_tasks`` gives a set that
    iterates alike in every run (asyncio's has one source for the whole process), and shows a client its own tasks
    only, and nobody those of crashed processes: a client that cancels all tasks when it stops ends itself, and not
    the venue.
    """

    def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
        if running() is None:
            return _Real.all_tasks(loop)
        loop = loop or asyncio.get_running_loop()
        mine, fenced = INCARNATION.get(), getattr(loop, "fenced", ())
        owners = ((getattr(task, "incarnation", None), task) for task in every_task(loop))
        return {task for owner, task in owners if (owner not in fenced if mine is None else owner == mine)}

    patches.add(asyncio.tasks, "all_tasks", all_tasks)
    patches.add_class(asyncio.tasks, "Task", SimTask)
    patches.add_class(asyncio.futures, "Future", SimFuture)


class Arrival(Handle):
    """A handle in the timer heap without the rest of a TimerHandle."""

    __slots__ = ("_scheduled",)


class Timer(events.TimerHandle):
    """asyncio's timer, likewise."""

    __slots__ = ()

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], loop: SimLoop,
        context: Context | None,
    ) -> None:  # fmt: skip
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = True

    def cancel(self) -> None:
        """See asyncio."""
        if not self._cancelled:
            self._cancelled = True
            self._loop._timer_handle_cancelled(self)
            self._callback = self._args = None  # type: ignore[assignment]
