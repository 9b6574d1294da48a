"""What can be wrong with the surroundings, each looked at in one small function that explains what it found.

A look never changes anything and never leaves the machine. What a look itself trips over is a finding too.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from faultline import __version__

Level = Literal["good", "note", "bad"]
PYTHON_MIN: Final = (3, 11)
FREE_MIN_BYTES: Final = 64 * 1024 * 1024
DISTRIBUTION: Final = "faultline-chaos"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``advice`` says what to do, empty where nothing has to be done."""

    level: Level
    what: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything, one finding after the other."""
    for look in LOOKS:
        try:
            yield from look()
        except Exception as error:
            yield Finding(
                "bad", f"{look.__name__.strip('_')}: {type(error).__name__}: {error}", "that is a bug: report it"
            )


def _interpreter() -> Iterator[Finding]:
    shown = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    if sys.version_info < PYTHON_MIN:
        yield Finding("bad", shown, "faultline needs Python 3.11 or later")
    elif platform.python_implementation() != "CPython":
        yield Finding("bad", shown, "the simulated world needs CPython: it replaces parts of its event loop")
    else:
        yield Finding("good", shown)
    if sys.flags.optimize:
        yield Finding(
            "note", "python -O: assert statements are gone", "a test that asserts checks nothing; run without -O"
        )


def _packages() -> Iterator[Finding]:
    yield Finding("good", f"faultline {__version__}")
    wanted = [line for line in metadata.requires(DISTRIBUTION) or [] if "extra ==" not in line]
    lacking = []
    for line in wanted:
        name = line.split(">")[0].split("=")[0].split(";")[0].strip()
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            lacking.append(name)
    if lacking:
        yield Finding("bad", f"not installed: {', '.join(lacking)}", f"pip install {' '.join(lacking)}")
    else:
        yield Finding("good", f"{len(wanted)} required packages")
    try:
        other = metadata.version("faultline")
    except metadata.PackageNotFoundError:
        return
    yield Finding("bad", f"another project called faultline ({other}) is installed beside this one",
                  "both own the package name: pip uninstall faultline, then reinstall faultline-chaos")  # fmt: skip


def _clocks() -> Iterator[Finding]:
    preloaded = os.environ.get("LD_PRELOAD", "") + os.environ.get("DYLD_INSERT_LIBRARIES", "")
    if "faketime" in preloaded:
        yield Finding("bad", "libfaketime is preloaded", "it fights with virtual time: unset LD_PRELOAD for faultline")
    for name in ("freezegun", "time_machine"):
        if name in sys.modules:
            yield Finding("note", f"{name} is loaded", "do not freeze time while a simulated run goes on")
    if os.environ.get("PYTHONASYNCIODEBUG"):
        yield Finding("note", "asyncio's debug mode is on", "runs are several times slower; unset PYTHONASYNCIODEBUG")


def _loop() -> Iterator[Finding]:
    try:
        version = metadata.version("uvloop")
    except metadata.PackageNotFoundError:
        yield Finding("note", "uvloop is not installed", "proxy and gateway are faster with it: faultline-chaos[speed]")
    else:
        yield Finding("good", f"uvloop {version} for proxy and gateway")


def _results() -> Iterator[Finding]:
    try:
        version = metadata.version("sqlalchemy")
    except metadata.PackageNotFoundError:
        yield Finding("note", "SQLAlchemy is not installed", "it lists the runs that are kept: faultline-chaos[store]")
    else:
        yield Finding("good", f"SQLAlchemy {version} for results over time")


def _network() -> Iterator[Finding]:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((host, 0))
                probe.listen()
        except OSError as error:
            worst: Level = "bad" if family == socket.AF_INET else "note"
            yield Finding(worst, f"no port can be opened on {host}: {error.strerror}", "the live world needs 127.0.0.1")
        else:
            yield Finding("good", f"ports can be opened on {host}")
    proxies = sorted(name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy"))
    if proxies:
        advice = "a client that trusts the environment sends loopback traffic there: set NO_PROXY=127.0.0.1,localhost"
        yield Finding("note", f"{', '.join(proxies)} set", advice)


def _files() -> Iterator[Finding]:
    soft = _files_limit()
    if soft is not None and soft < 1024:
        yield Finding("note", f"only {soft} open files are allowed", "raise it for many connections: ulimit -n 4096")
    for folder, why in (
        (Path.cwd(), "results go to .faultline/ here"),
        (_stores(), "stores of clients are kept there"),
    ):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"\0" * 4096)
                file.flush()
        except OSError as error:
            yield Finding("bad", f"{folder} cannot be written: {error.strerror}", why)
            continue
        free = shutil.disk_usage(folder).free
        if free < FREE_MIN_BYTES:
            yield Finding("note", f"{folder} has {free // 2**20} MiB left", why)
        else:
            yield Finding("good", f"{folder} can be written")


def _files_limit() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _stores() -> Path:
    from faultline.worlds.store import memory_folder

    folder = memory_folder()
    folder.rmdir()
    return folder.parent


def _simulation() -> Iterator[Finding]:
    import asyncio

    from faultline.worlds.sim.simulation import Simulation

    async def sleep() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    digests = []
    for _ in range(2):
        simulation = Simulation(seed=1)
        simulation.run(sleep)
        digests.append((simulation.trace_digest(), simulation.now_s()))
    if digests[0] != digests[1]:
        yield Finding(
            "bad", "two simulated runs under one seed differ", "something else patches asyncio, time or random"
        )
    else:
        yield Finding("good", "a simulated day repeats itself")


LOOKS: Final[tuple[Callable[[], Iterator[Finding]], ...]] = (
    _interpreter, _packages, _clocks, _loop, _results, _network, _files, _simulation,
)  # fmt: skip
