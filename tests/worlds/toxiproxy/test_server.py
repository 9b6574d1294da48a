"""Servers that are not what they should be, and several in one process."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import toxiproxy.api

from faultline.errors import HarnessError
from faultline.plan import Plan
from faultline.runner import run
from faultline.worlds.toxiproxy.server import ToxiproxyServer
from faultline.worlds.toxiproxy.toxics import ToxicSpec

from .conftest import Server, elsewhere

VERSION = ("GET", "/version")
PROXIES = ("GET", "/proxies")
MAKE = ("POST", "/proxies")
GOOD: dict[tuple[str, str], tuple[int, str]] = {
    VERSION: (200, '{"version": "2.12.0"}'),
    PROXIES: (200, "{}"),
}


def made(listen: str) -> str:
    return json.dumps({"name": "x", "upstream": "127.0.0.1:9", "listen": listen, "enabled": True, "toxics": []})


@contextmanager
def answering(answers: dict[tuple[str, str], tuple[int, str]]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers from a table, else 404; and the requests that it got."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            got.append(f"{self.command} {self.path}")
            status, body = answers.get((self.command, self.path), (404, '{"error": "proxy not found", "status": 404}'))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


CASES: list[tuple[dict[tuple[str, str], tuple[int, str]], str]] = [
    ({VERSION: (200, "<html>hello</html>")}, "is not Toxiproxy: GET /version gives no version"),
    ({VERSION: (404, "404 page not found")}, "refuses: 404 page not found"),
    ({VERSION: (200, '{"version": "1.4.0"}')}, "is version 1.4.0; 2 is needed"),
    ({VERSION: (401, '{"error": "a token is needed"}')}, "answers 401: a token is needed"),
    (GOOD | {PROXIES: (200, "[]")}, "is not Toxiproxy: "),
    (GOOD | {MAKE: (500, '{"error": "listen tcp: bind: no more", "status": 500}')}, "answers 500: listen tcp: bind"),
    (GOOD | {MAKE: (201, made("[::]:4711"))}, r"listens at \[::\]:4711 where it was asked for 127.0.0.1"),
    (GOOD | {MAKE: (201, made("127.0.0.1:1"))}, "no connection gets through .*--network host"),
]


@pytest.mark.parametrize(("answers", "told"), CASES, ids=lambda value: value[:30] if isinstance(value, str) else "")
def test_a_server_that_is_not_what_it_should_be_ends_the_run_with_the_reason(
    through: Callable[..., Plan], answers: dict[tuple[str, str], tuple[int, str]], told: str
) -> None:
    with answering(answers) as (url, got):
        done = run(through(url=url), 0)
        if MAKE in answers and answers[MAKE][0] == 201:
            assert any(request.startswith("DELETE /proxies/") for request in got), "what was made is deleted"
    assert isinstance(done.error, HarnessError)
    with pytest.raises(HarnessError, match=told):
        raise done.error
    assert url in str(done.error)


def test_nobody_there_is_told_as_such(through: Callable[..., Plan]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = run(through(url=f"http://127.0.0.1:{free.getsockname()[1]}"), 0)
    assert "nothing listens at" in str(done.error)


async def test_several_servers_in_one_process_do_not_meet(stock: Server) -> None:
    before = toxiproxy.api.APIConsumer.host, toxiproxy.api.APIConsumer.port
    with elsewhere(leases=False) as other:
        servers = [ToxiproxyServer(stock.url), ToxiproxyServer(other.url)]
        for name, server in zip(("one", "two"), servers, strict=True):
            await server.call(lambda server=server, name=name: server.create(name, "127.0.0.1:9"))  # type: ignore[misc]
        assert (stock.proxies(), other.proxies()) == (["one"], ["two"])
        toxic = ToxicSpec("latency", "upstream", {"latency": 1})
        with pytest.raises(HarnessError, match="refuses: toxic already exists"):
            for _ in range(2):
                await servers[0].call(lambda: servers[0].add("one", "x", toxic))
        with pytest.raises(HarnessError, match="attribute latency is -1"):
            await servers[1].call(lambda: servers[1].add("two", "x", ToxicSpec("latency", "upstream", {"latency": -1})))
        for server in servers:
            server.close()
    assert (toxiproxy.api.APIConsumer.host, toxiproxy.api.APIConsumer.port) == before
    assert not [name for name in sys.modules if name.startswith("faultline_toxiproxy")]
