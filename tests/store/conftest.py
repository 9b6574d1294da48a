"""Stores to test with: SQLite in a folder, and PostgreSQL where a server is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faultline.store.address import Address, address
from faultline.store.results import Results


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Address:
    """A store that is not there yet, in the current folder."""
    monkeypatch.chdir(tmp_path)
    found = address(".faultline/results.db")
    assert found is not None
    return found


@pytest.fixture
def results(sqlite: Address) -> Results:
    return Results(sqlite)


def _binaries() -> Path | None:
    """PostgreSQL's server programs. Debian keeps them off the PATH."""
    on_path = shutil.which("initdb")
    places = [Path(on_path).parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """A server of our own on a socket in a folder. It refuses to run as root, so root lends it another user."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (initdb, postgres)")
    user = "nobody" if os.geteuid() == 0 else None
    place = Path(tempfile.mkdtemp(prefix="fl-pg-", dir="/tmp"))
    if user is not None:
        shutil.chown(place, user)
    data, quiet = place / "data", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        initdb = [binaries / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-N", "--locale=C", "-E", "UTF8"]
        subprocess.run(initdb, user=user, check=True, cwd=place, **quiet)
        options = ["-c", "fsync=off", "-c", "listen_addresses=", "-c", "max_connections=20", "-k", place]
        server = subprocess.Popen([binaries / "postgres", "-D", data, *options], user=user, cwd=place, **quiet)
        try:
            _wait_for(server, place)
            yield place
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _wait_for(server: subprocess.Popen[bytes], place: Path) -> None:
    import psycopg

    while True:
        assert server.poll() is None, "the PostgreSQL server ended"
        try:
            psycopg.connect(f"host={place} user=tester dbname=postgres").close()
            return
        except psycopg.OperationalError:
            continue


@pytest.fixture
def postgres(postgres_server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Address:
    """An empty database of its own."""
    import psycopg

    monkeypatch.chdir(tmp_path)
    with psycopg.connect(f"host={postgres_server} user=tester dbname=postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS store WITH (FORCE)")
        connection.execute("CREATE DATABASE store")
    found = address(f"postgresql://tester:s3cret@/store?host={postgres_server}")
    assert found is not None
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest) -> Address:
    """Each kind of store, one after the other."""
    found: Address = request.getfixturevalue(request.param)
    return found
