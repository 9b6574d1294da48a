"""Virtual time for code that never heard of it.

Handing a clock to the event loop is not enough: clients do ``from time import monotonic`` and keep the function.
So once per process, on the first run, each function of ``time`` is replaced by a dispatcher that asks whether a
simulation is running, and the aliases in all loaded modules are rebound by identity. Entering and leaving a
simulation is then only a matter of setting one cell. Modules imported later find the dispatcher in ``time``.

``datetime`` is not replaced: a subclass in its place breaks ``isinstance``, pickles, and Cython modules that check
the size of the type. Two entries of the type's own dictionary are changed instead (``now`` and ``utcnow``); ``today``
already asks ``time.time``.

Real time, for the harness, lives in :data:`REAL`: a module-level alias of ours would be rebound like any other.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import get_ident
from types import BuiltinFunctionType, ModuleType
from typing import Any, Final

from faultline.errors import HarnessError
from faultline.worlds.sim.active import STATE, Running, running

_EPOCH_CLOCKS: Final = frozenset({time.CLOCK_REALTIME})


@dataclass(frozen=True, slots=True)
class _Real:
    """The functions of the real clock."""

    perf_counter_s: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


REAL: Final = _Real()

# Their waits are on locks that only another real thread can release, so they go by the real clock.
_NOT_REBOUND: Final = frozenset({"threading", "queue", "time", "_pytest.timing", __name__})
_replacements: dict[int, object] = {}
_kept_real: list[object] = []  # keeps the ids in _replacements from being used again


def replace(module: ModuleType, name: str, replacement: Callable[..., Any]) -> None:
    """Put ``replacement`` in the place of ``module.name``, and of its aliases at :func:`rebind_aliases`."""
    real = getattr(module, name)
    replacement.__name__ = replacement.__qualname__ = name
    replacement.__doc__ = real.__doc__
    replacement.__wrapped__ = real  # type: ignore[attr-defined]
    _kept_real.append(real)
    _replacements[id(real)] = replacement
    setattr(module, name, replacement)


def rebind_aliases() -> None:
    """Rebind ``from time import time`` and its like in every module loaded so far. Later ones import the new one."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name not in _NOT_REBOUND:
            _rebind(vars(module))


def _rebind(namespace: dict[str, object]) -> None:
    for key, value in list(namespace.items()):
        replacement = _replacements.get(id(value))
        if replacement is not None:
            namespace[key] = replacement


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
        "time": lambda sim: sim.read_wall_s(),
        "time_ns": lambda sim: round(sim.read_wall_s() * 1e6) * 1000,
        "sleep": lambda sim, seconds: sim.blocking_sleep(seconds),
        "clock_gettime": _clock_gettime_s,
        "clock_gettime_ns": lambda sim, clock: int(_clock_gettime_s(sim, clock) * 1e9),
        "strftime": _formatted(time.strftime, time.localtime),
        "asctime": _formatted(time.asctime, time.localtime),
    }
    for name in ("monotonic", "perf_counter", "process_time", "thread_time"):
        functions[name] = lambda sim: sim.read_monotonic_s()
        functions[f"{name}_ns"] = lambda sim: int(sim.read_monotonic_s() * 1e9)
    for name in ("gmtime", "localtime", "ctime"):
        functions[name] = _with_default_now(getattr(time, name))
    return functions


def _replace_datetime_now() -> None:
    """Change ``datetime.now`` and ``datetime.utcnow`` in the C type itself."""
    real = datetime.datetime
    namespace: dict[str, Any] = gc.get_referents(real.__dict__)[0]
    real_now, real_utcnow = namespace["now"], namespace["utcnow"]

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

    now.__doc__, utcnow.__doc__ = real.now.__doc__, real.utcnow.__doc__
    namespace["now"] = classmethod(now)
    namespace["utcnow"] = classmethod(utcnow)
    # Without this the interpreter goes on using the methods it has cached for the type.
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(real))


def install() -> None:
    """Put the dispatchers of the clock in place. Called once per process. Raises HarnessError when time is patched."""
    if not isinstance(time.time, BuiltinFunctionType):
        raise HarnessError(
            f"time.time is already replaced (by {time.time!r}): a simulation brings its own clock. "
            "Start the simulation outside of whatever patches time."
        )
    for name, virtual in _virtual_functions().items():
        if hasattr(time, name):
            replace(time, name, _dispatcher(getattr(time, name), virtual))
    _replace_datetime_now()


def refuse_other_time_patches() -> None:
    """Raises HarnessError while freezegun or time-machine hold the clock: two masters of time cannot both be right."""
    for tool, patched in (("freezegun", _freezegun_is_active()), ("time-machine", _time_machine_is_active())):
        if patched:
            raise HarnessError(
                f"{tool} is active: a simulation brings its own clock. Leave {tool} before it starts, and set the "
                "start of the virtual clock with start_wall_s instead."
            )


def _freezegun_is_active() -> bool:
    api = sys.modules.get("freezegun.api")
    return bool(api is not None and getattr(api, "freeze_factories", ()))


def _time_machine_is_active() -> bool:
    modules: Iterable[ModuleType | None] = (sys.modules.get("time_machine"),)
    return any(module is not None and getattr(module, "coordinates_stack", ()) for module in modules)
