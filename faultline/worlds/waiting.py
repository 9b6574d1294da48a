"""What unfinished tasks are waiting for, in lines for a person."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import CodeType
from typing import Any, Final

_SHOWN_MAX: Final = 20
_LIBRARY: Final = (str(Path(asyncio.__file__).parent), "<frozen")


def place(task: asyncio.Task[Any]) -> str:
    """Where a suspended task waits: its innermost line outside asyncio, as ``function at file:line``."""
    awaited: Any = task.get_coro()
    found = getattr(awaited, "__qualname__", task.get_name())
    while awaited is not None:
        code, line = _position(awaited)
        if code is not None and not code.co_filename.startswith(_LIBRARY):
            found = f"{code.co_qualname} at {Path(code.co_filename).name}:{line}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return str(found)


def _position(awaited: Any) -> tuple[CodeType | None, int]:
    frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
    return (frame.f_code, frame.f_lineno) if frame is not None else (None, 0)


def describe_waiting(loop: asyncio.AbstractEventLoop) -> str:
    """The unfinished tasks of ``loop``, oldest first, one line each."""
    tasks = sorted((task for task in asyncio.all_tasks(loop) if not task.done()), key=hash)
    lines = []
    for task in tasks[:_SHOWN_MAX]:
        incarnation = getattr(task, "incarnation", None)
        whose = "" if incarnation is None else f" [incarnation {incarnation}]"
        lines.append(f"  {task.get_name()}{whose}: {place(task)}")
    if len(tasks) > _SHOWN_MAX:
        lines.append(f"  and {len(tasks) - _SHOWN_MAX} more")
    return "\n".join(lines) or "  (none: only callbacks)"
