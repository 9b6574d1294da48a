"""One Toxiproxy server, driven through toxiproxy-python.

That package is synchronous, keeps host and port in an attribute of a class, has no timeouts, and takes an answer of 500
for a proxy. So each server here

* has a copy of the package to itself, loaded under a name of its own: several servers in one process do not meet, and
  what the client under test does with the package is its own affair;
* has one thread, in which all calls run in the order in which they were asked for;
* has a session with timeouts and without the machine's HTTP proxies, which turns every error into one that says what
  to do.

Proxies carry the name of the run that made them (:class:`RunName`): a later run finds those of a run that was killed,
and removes them. A server that knows leases (docs/proxy.md) removes them by itself.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import itertools
import json
import os
import secrets
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar

from faultline.errors import HarnessError
from faultline.worlds.live.proxy.address import address
from faultline.worlds.live.proxy.control import LEASE_HEADER
from faultline.worlds.toxiproxy.kept_lease import KeptLease
from faultline.worlds.toxiproxy.toxics import ToxicSpec

T = TypeVar("T")

TIMEOUT_S: Final = 5.0
"""How long one call may take: all of them are small, and the server is on this machine."""
MAJOR: Final = 2
LACKING: Final = "the toxiproxy world drives its server with toxiproxy-python; pip install toxiproxy-python"

_PREFIX: Final = "faultline"
_copies = itertools.count(1)


def is_installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("toxiproxy") is not None


class RunName(NamedTuple):
    """Whose a proxy is: the machine and the process of a run, and the run among those of the process."""

    machine: str
    process: int
    run: str

    @classmethod
    def new(cls) -> RunName:
        """A run of this process."""
        return cls(socket.gethostname().replace(".", "_").replace("/", "_"), os.getpid(), secrets.token_hex(4))

    def proxy(self, label: str) -> str:
        """The name of its proxy ``label``."""
        return f"{_PREFIX}.{self.machine}.{self.process}.{self.run}.{label}"

    def owns(self, proxy: str) -> bool:
        """Whether a proxy is this run's, or of a run on this machine whose process is gone."""
        parts = proxy.split(".")
        if len(parts) != 5 or parts[:2] != [_PREFIX, self.machine] or not parts[2].isdigit():
            return False
        return parts[3] == self.run or not _is_alive(int(parts[2]))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


class ToxiproxyServer:
    """The server at ``url`` (``http://host:port``). Methods that are not ``async`` are for :meth:`call` and
    :meth:`submit`, which run them in the server's thread. Raises HarnessError for whatever the server does wrong.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._package = _own_copy()
        self._requests: Any = importlib.import_module("requests")
        self._session = self._requests.Session()
        self._session.trust_env = False
        self._session.request = partial(self._session.request, timeout=TIMEOUT_S)
        self._session.hooks["response"].append(self._check)
        api = importlib.import_module(f"{self._package}.api")
        api.requests = self._session  # type: ignore[attr-defined]
        self._wrong: Any = importlib.import_module(f"{self._package}.exceptions")
        self._toxiproxy: Any = importlib.import_module(f"{self._package}.server").Toxiproxy()
        host, port = address(url.removeprefix("http://"))
        self._toxiproxy.update_api_consumer(f"[{host}]" if ":" in host else host, port)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="faultline-toxiproxy")
        self._proxies: dict[str, Any] = {}
        self._lease: KeptLease | None = None

    # Running calls

    async def call(self, job: Callable[[], T]) -> T:
        """Run ``job`` in the server's thread, after those before it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._telling, job)

    def submit(self, job: Callable[[], object]) -> Future[object]:
        """As :meth:`call`, without waiting for it."""
        return self._thread.submit(self._telling, job)

    def _telling(self, job: Callable[[], T]) -> T:
        """``job``, with the package's errors as ours."""
        wrong = self._wrong
        try:
            return job()
        except self._requests.RequestException as error:
            raise HarnessError(f"Toxiproxy at {self.url} does not answer: {_reason(error)}") from error
        except (wrong.NotFound, wrong.ProxyExists, wrong.InvalidToxic) as error:
            raise HarnessError(f"Toxiproxy at {self.url} refuses: {_message(error.args[0])}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HarnessError(f"what answers at {self.url} is not Toxiproxy: {error!r}") from error

    def _check(self, response: Any, **options: object) -> None:
        if response.status_code >= 500 or response.status_code in (401, 403):
            raise HarnessError(f"Toxiproxy at {self.url} answers {response.status_code}: {_message(response.content)}")

    def close(self) -> None:
        """Wait for the calls that were asked for, and end the thread."""
        self._thread.shutdown(wait=True)
        if self._lease is not None:
            self._lease.stop()
        self._session.close()
        for name in [each for each in sys.modules if each.partition(".")[0] == self._package]:
            del sys.modules[name]

    # What it is asked for

    def check(self) -> str:
        """Its version. Raises HarnessError for a server that is not there, not Toxiproxy, or too old."""
        answer = self._toxiproxy.version()
        if answer is None:
            raise HarnessError(
                f"nothing listens at {self.url}; start toxiproxy-server or faultline proxy there, or leave the "
                "address out: then faultline starts its own"
            )
        try:
            version = json.loads(answer)["version"]
            major = int(str(version).lstrip("v").partition(".")[0])
        except (ValueError, KeyError, TypeError) as error:
            raise HarnessError(f"what answers at {self.url} is not Toxiproxy: GET /version gives no version") from error
        if major != MAJOR:
            raise HarnessError(f"Toxiproxy at {self.url} is version {version}; {MAJOR} is needed")
        return str(version)

    def take_lease(self) -> None:
        """Hold what is made from now on under a lease, where the server knows leases."""
        self._lease = KeptLease.take(self.url, self._requests)
        if self._lease is not None:
            self._session.headers[LEASE_HEADER] = self._lease.ident

    def create(self, name: str, upstream: str) -> str:
        """A proxy for ``upstream`` on a free port of this machine. Returns where clients connect, ``host:port``."""
        proxy = self._toxiproxy.create(upstream=upstream, name=name, listen="127.0.0.1:0")
        self._proxies[name] = proxy
        if not address(proxy.listen).is_loopback or not address(proxy.listen).port:
            raise HarnessError(
                f"Toxiproxy at {self.url} listens at {proxy.listen} where it was asked for 127.0.0.1: it would be "
                "open to others"
            )
        return str(proxy.listen)

    def add(self, proxy: str, name: str, toxic: ToxicSpec) -> None:
        """Put a toxic in."""
        self._proxies[proxy].add_toxic(
            name=name, type=toxic.type, stream=toxic.stream, toxicity=toxic.toxicity, attributes=dict(toxic.attributes)
        )

    def remove(self, proxy: str, toxic: str) -> None:
        """Take a toxic out."""
        self._proxies[proxy].destroy_toxic(toxic)

    def bounce(self, proxy: str) -> None:
        """End all connections of a proxy, and listen again."""
        self._proxies[proxy].disable()
        self._proxies[proxy].enable()

    def remove_proxy(self, name: str) -> None:
        """Take one out that was created here."""
        self._proxies.pop(name).destroy()

    def remove_proxies(self, run: RunName) -> None:
        """Take out every proxy that ``run`` owns: its own, and those of runs that were killed."""
        for name, proxy in self._toxiproxy.proxies().items():
            if run.owns(name):
                try:
                    proxy.destroy()
                except self._wrong.NotFound:
                    continue  # another run was faster
                finally:
                    self._proxies.pop(name, None)


def _own_copy() -> str:
    """Load the package once more, under a name that it gets here."""
    found = importlib.util.find_spec("toxiproxy")
    if found is None or found.origin is None or found.loader is None:
        raise HarnessError(LACKING)
    name = f"faultline_toxiproxy_{next(_copies)}"
    spec = importlib.util.spec_from_file_location(
        name, found.origin, submodule_search_locations=list(found.submodule_search_locations or ())
    )
    assert spec is not None
    assert spec.loader is not None
    package: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return name


def _message(body: object) -> str:
    """What an answer of the control API says: its ``error``, or the beginning of it."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200].strip()


def _reason(error: BaseException) -> str:
    cause: BaseException = error
    while cause.__context__ is not None or cause.__cause__ is not None:
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    return str(cause) or type(cause).__name__
