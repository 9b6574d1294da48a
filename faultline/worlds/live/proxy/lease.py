"""Leases: what an owner put in heals itself when the owner is gone.

A lease lasts :data:`LEASE_S` or less, and its owner renews it. When it runs out, everything that was made under it is
undone, newest first: toxics removed, disabled proxies enabled, proxies deleted. Over HTTP:

================================== =================================================================================
``POST /lease {"seconds": 3}``     201 ``{"lease": ID, "seconds": 3}``
``POST /lease/ID``                 200, renewed
``DELETE /lease/ID``               204, everything undone now
``X-Faultline-Lease: ID``          on any request that makes or disables something: it belongs to that lease
``X-Faultline-Lease: 2.5``         a lease of its own, of so many seconds; each later request for the same thing with
                                   this header renews it
================================== =================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from faultline.worlds.live.proxy.bodies import ApiError

LEASE_S: Final = 5.0
"""The longest lease. No fault outlives its owner by more."""
LEASES_MAX: Final = 10_000

Undo = Callable[[], Awaitable[None]]


class Lease:
    """One owner's lease."""

    def __init__(self, ident: str, seconds: float) -> None:
        self.ident = ident
        self.seconds = seconds
        self.undo: dict[str, Undo] = {}
        self.timer: asyncio.TimerHandle | None = None

    def view(self) -> dict[str, object]:
        """As the control API shows it."""
        return {"lease": self.ident, "seconds": self.seconds}


class Leases:
    """The leases of one control API. Raises ApiError for a lease that is not there or too long."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._healing: set[asyncio.Task[None]] = set()

    def open(self, seconds: float | None, ident: str | None = None) -> Lease:
        """A new lease."""
        length_s = LEASE_S if seconds is None else seconds
        if not 0 < length_s <= LEASE_S:
            raise ApiError(400, f"seconds is {length_s:g}; it is a number above 0 and not above {LEASE_S:g}")
        if len(self._leases) >= LEASES_MAX:
            raise ApiError(503, f"there are {LEASES_MAX} leases already")
        lease = Lease(ident or secrets.token_hex(8), length_s)
        self._leases[lease.ident] = lease
        self._restart(lease)
        return lease

    def renew(self, ident: str) -> Lease:
        """It lasts its whole time again, from now."""
        lease = self._get(ident)
        self._restart(lease)
        return lease

    def hold(self, header: str, what: str, undo: Undo) -> None:
        """Put ``what`` under the lease that a request's header names."""
        if header in self._leases:
            self._leases[header].undo[what] = undo
            return
        try:
            seconds = float(header)
        except ValueError:
            self._get(header)
            return
        own = f"own:{what}"
        lease = self._leases.get(own) or self.open(seconds, own)
        lease.undo[what] = undo
        self._restart(lease)

    def check(self, header: str) -> None:
        """Raises ApiError before anything is done for a header that names no lease."""
        if header not in self._leases:
            with contextlib.suppress(ValueError):
                if 0 < float(header) <= LEASE_S:
                    return
                raise ApiError(400, f"X-Faultline-Lease is {header}; seconds are above 0 and not above {LEASE_S:g}")
            self._get(header)

    async def end(self, ident: str) -> None:
        """Undo everything now."""
        await self._heal(self._get(ident))

    def _get(self, ident: str) -> Lease:
        if ident not in self._leases:
            raise ApiError(404, "lease not found: it has run out, or never was")
        return self._leases[ident]

    def _restart(self, lease: Lease) -> None:
        if lease.timer is not None:
            lease.timer.cancel()
        lease.timer = asyncio.get_running_loop().call_later(lease.seconds, self._run_out, lease)

    def _run_out(self, lease: Lease) -> None:
        healing = asyncio.get_running_loop().create_task(self._heal(lease))
        self._healing.add(healing)
        healing.add_done_callback(self._healing.discard)

    async def _heal(self, lease: Lease) -> None:
        self._leases.pop(lease.ident, None)
        if lease.timer is not None:
            lease.timer.cancel()
        for undo in reversed(lease.undo.values()):
            # A port that was taken meanwhile must not keep the other faults from healing.
            with contextlib.suppress(ApiError, OSError):
                await undo()

    def close(self) -> None:
        """Forget all leases; the server goes."""
        for lease in self._leases.values():
            if lease.timer is not None:
                lease.timer.cancel()
        self._leases.clear()
