"""Virtual time for code that never heard of it.

Handing a clock to the event loop is not enough: clients do ``from time import monotonic`` and keep the function. So
for the time of a run each function of ``time`` and every alias of it is replaced by one that asks which simulation is
running (see :mod:`~faultline.worlds.sim.patches`).

``datetime`` is not replaced: a subclass in its place breaks ``isinstance``, pickles, and Cython modules that check
the size of the type. Two entries of the type's own dictionary are changed instead (``now`` and ``utcnow``); ``today``
asks ``time.time`` by itself.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import sys
import time
from collections.abc import Callable
from operator import methodcaller
from threading import get_ident
from types import BuiltinFunctionType
from typing import Any, Final

from faultline.errors import HarnessError
from faultline.worlds.sim.active import STATE, Running, running
from faultline.worlds.sim.patches import Patches

_EPOCH_CLOCKS: Final = frozenset({getattr(time, "CLOCK_REALTIME", None)})


def _dispatcher(real: Callable[..., Any], virtual: Callable[..., Any]) -> Callable[..., Any]:
    def dispatch(*args: Any) -> Any:
        sim = STATE.sim
        if sim is None or get_ident() != STATE.thread_id:
            return real(*args)
        return virtual(sim, *args)

    return dispatch


def _with_default_now(real: Callable[..., Any]) -> Callable[..., Any]:
    """``gmtime()`` and its like: the missing argument means now."""

    def virtual(sim: Running, seconds: float | None = None) -> Any:
        return real(sim.read_wall_s() if seconds is None else seconds)

    return virtual


def _formatted(real: Callable[..., str], localtime: Callable[[float], Any]) -> Callable[..., str]:
    """``strftime`` and ``asctime``: a missing last argument means now, in local time."""

    def virtual(sim: Running, *args: Any) -> str:
        complete = len(args) == (2 if real.__name__ == "strftime" else 1)
        return real(*args) if complete else real(*args, localtime(sim.read_wall_s()))

    return virtual


def _clock_gettime_s(sim: Running, clock: int) -> float:
    return sim.read_wall_s() if clock in _EPOCH_CLOCKS else sim.read_monotonic_s()


def _virtual_functions() -> dict[str, Callable[..., Any]]:
    """What each function of ``time`` does inside a simulation."""
    functions: dict[str, Callable[..., Any]] = {
        "time": methodcaller("read_wall_s"),
        "time_ns": lambda sim: round(sim.read_wall_s() * 1e6) * 1000,
        "sleep": lambda sim, seconds: sim.blocking_sleep(seconds),
        "clock_gettime": _clock_gettime_s,
        "clock_gettime_ns": lambda sim, clock: int(_clock_gettime_s(sim, clock) * 1e9),
        "strftime": _formatted(time.strftime, time.localtime),
        "asctime": _formatted(time.asctime, time.localtime),
    }
    for name in ("monotonic", "perf_counter", "process_time", "thread_time"):
        functions[name] = methodcaller("read_monotonic_s")
        functions[f"{name}_ns"] = lambda sim: int(sim.read_monotonic_s() * 1e9)
    for name in ("gmtime", "localtime", "ctime"):
        functions[name] = _with_default_now(getattr(time, name))
    return functions


class _DatetimeNow:
    """The two methods of the C type ``datetime`` that read the clock in C."""

    def __init__(self) -> None:
        # The type's own dictionary, not the read-only view of it.
        self._namespace: dict[str, Any] = gc.get_referents(datetime.datetime.__dict__)[0]
        self._real = {name: self._namespace[name] for name in ("now", "utcnow")}
        real_now, real_utcnow = self._real["now"], self._real["utcnow"]

        def now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
            sim = running()
            if sim is None:
                return real_now.__get__(None, cls)(tz)  # type: ignore[no-any-return]
            return cls.fromtimestamp(sim.read_wall_s(), tz)

        def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
            sim = running()
            if sim is None:
                return real_utcnow.__get__(None, cls)()  # type: ignore[no-any-return]
            return cls.fromtimestamp(sim.read_wall_s(), datetime.UTC).replace(tzinfo=None)

        self._virtual = {"now": classmethod(now), "utcnow": classmethod(utcnow)}

    def put_in_place(self) -> None:
        """Make them virtual."""
        self._set(self._virtual)

    def take_out(self) -> None:
        """Make them real."""
        self._set(self._real)

    def _set(self, methods: dict[str, Any]) -> None:
        self._namespace.update(methods)
        # Without this the interpreter goes on using the methods it has cached for the type.
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))


def add_to(patches: Patches) -> None:
    """Declare the replacements of the clock."""
    for name, virtual in _virtual_functions().items():
        if hasattr(time, name):
            patches.add(time, name, _dispatcher(getattr(time, name), virtual))
    patches.add_other(_DatetimeNow())


def refuse_other_time_patches() -> None:
    """Raises HarnessError while something else holds the clock: two masters of time cannot both be right."""
    freezegun, time_machine = sys.modules.get("freezegun.api"), sys.modules.get("time_machine")
    holder = ""
    if freezegun is not None and freezegun.freeze_factories:
        holder = "freezegun"
    elif time_machine is not None and time_machine.escape_hatch.is_travelling():
        holder = "time-machine"
    elif not isinstance(time.time, BuiltinFunctionType):
        holder = f"whatever put {time.time!r} in the place of time.time"
    if holder:
        raise HarnessError(
            f"{holder} is active: a simulation brings its own clock. Leave it before the simulation starts, and set "
            "the start of the virtual clock with start_wall_s instead."
        )
