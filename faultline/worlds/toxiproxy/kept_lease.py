"""A lease on a fault proxy that is kept from a thread, whatever the event loop of the run is busy with.

The client under test shares that loop and may block it for longer than a lease lasts. When the process is killed the
thread dies with it, and the server takes out what was held under the lease.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Final

_LENGTH_S: Final = 5.0
_PERIOD_S: Final = 1.5
_TIMEOUT_S: Final = 1.0


class KeptLease:
    """A lease by its ``ident``, renewed until :meth:`stop`. ``session`` is a session of requests of its own."""

    def __init__(self, url: str, ident: str, session: Any, errors: type[Exception]) -> None:
        self.ident = ident
        self._url = f"{url}/lease/{ident}"
        self._session = session
        self._errors = errors
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="faultline-lease", daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, url: str, requests: Any) -> KeptLease | None:
        """A lease on the server at ``url``; None where it knows none, as Toxiproxy itself."""
        session = requests.Session()
        session.trust_env = False
        answer = session.post(f"{url}/lease", json={"seconds": _LENGTH_S}, timeout=_TIMEOUT_S)
        if answer.status_code != 201:
            session.close()
            return None
        return cls(url, answer.json()["lease"], session, requests.RequestException)

    def _keep(self) -> None:
        while not self._stopped.wait(_PERIOD_S):
            with suppress(self._errors):  # the next one may get through
                self._session.post(self._url, timeout=_TIMEOUT_S)

    def stop(self) -> None:
        """Give it back, with what is left under it."""
        self._stopped.set()
        self._thread.join()
        with suppress(self._errors):
            self._session.delete(self._url, timeout=_TIMEOUT_S)
        self._session.close()
