"""One night at a time: a lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faultline.errors import FaultlineError, HarnessError


class LockedError(FaultlineError):
    """Another night is still going on."""

    exit_code = 75


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock at ``path`` within the block. Raises LockedError with the holder's number.

    The kernel lets go of it when the process ends, however it ends, so a lock is never stale. The file stays: to remove
    it would let two processes hold two locks of the same name.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HarnessError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            raise LockedError(f"another night is still going on (process {holder or 'unknown'} holds {path})") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
