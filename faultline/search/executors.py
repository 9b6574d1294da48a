"""Where the work of many runs is done: in this process, or in several.

A worker that is killed breaks a process pool and takes every unfinished job with it; :class:`Crew` builds the pool
again and hands the jobs out once more, one at a time while the guilty one is not known. A job that has broken the
pool twice is given up, with an error that says so.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from faultline.errors import HarnessError

K = TypeVar("K")

TRIES_MAX: Final = 2


class Inline(Executor):
    """Does each job at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished job."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def executor(jobs: int, log_level: int = 0) -> Executor:
    """An executor with ``jobs`` workers. Workers are fresh processes and leave Ctrl-C to this one."""
    if jobs == 1:
        return Inline()
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare, initargs=(log_level,))


def _prepare(log_level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_logging(log_level)
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed closes nothing: its workers hold each other's ends of the queue, and would wait on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def set_logging(level: int) -> None:
    """Let the clients' log records of at least ``level`` through to stderr; 0 lets none.

    Thousands of runs with faults make thousands of warnings, all of them meant.
    """
    if level:
        logging.basicConfig(level=level, format="%(name)s: %(message)s")
    elif not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())


@dataclass(slots=True)
class _Job(Generic[K]):
    key: K
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    tries: int = 0


class Crew(Generic[K]):
    """Does jobs, each known by a key, and hands back what came out of them as it comes."""

    def __init__(self, jobs: int, make: Callable[[int], Executor] = executor) -> None:
        self._workers = jobs
        self._make = make
        self._executor = make(jobs)
        self._waiting: deque[_Job[K]] = deque()
        self._running: dict[Future[Any], _Job[K]] = {}

    def add(self, key: K, function: Callable[..., Any], *arguments: Any, first: bool = False) -> None:
        """Queue ``function(*arguments)``; before all others when it is ``first``."""
        job = _Job(key, function, arguments)
        if first:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)

    def drop_waiting(self, unwanted: Callable[[K], bool]) -> list[K]:
        """Forget the jobs that have not begun and whose key is unwanted. Returns their keys."""
        dropped = [job.key for job in self._waiting if unwanted(job.key)]
        self._waiting = deque(job for job in self._waiting if not unwanted(job.key))
        return dropped

    def results(self) -> Iterator[tuple[K, Any]]:
        """Key and result of each job until none is left; more may be added meanwhile.

        The result of a job that its worker did not survive is a HarnessError. Whatever else a job raises is raised.
        """
        while self._waiting or self._running:
            self._hand_out()
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            broken = [future for future in done if isinstance(future.exception(), BrokenProcessPool)]
            for future in done:
                if future not in broken:
                    job = self._running.pop(future)
                    yield job.key, future.result()
            if broken:
                yield from self._rebuild()

    def _hand_out(self) -> None:
        # A little more than the workers can hold keeps them busy; one job at a time finds the one that kills them.
        suspects = any(job.tries for job in (*self._waiting, *self._running.values()))
        most = 1 if suspects or self._workers == 1 else 2 * self._workers
        while self._waiting and len(self._running) < most:
            job = self._waiting.popleft()
            self._running[self._executor.submit(job.function, *job.arguments)] = job

    def _rebuild(self) -> Iterator[tuple[K, Any]]:
        alone = len(self._running) == 1
        lost = list(self._running.values())
        self._running.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._make(self._workers)
        for job in reversed(lost):
            job.tries += 1
            if alone and job.tries >= TRIES_MAX:
                yield job.key, HarnessError("its worker process died twice (killed, or out of memory?)")
            else:
                self._waiting.appendleft(job)

    def finished(self) -> Iterator[tuple[K, Any]]:
        """After :meth:`close`: what the workers still brought to an end."""
        for future, job in self._running.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                yield job.key, future.result()

    def close(self, *, now: bool = False) -> None:
        """Let the workers go, after what they are at; ``now`` does not wait for that."""
        if now:
            for child in multiprocessing.active_children():
                child.terminate()
        self._executor.shutdown(wait=not now, cancel_futures=True)
