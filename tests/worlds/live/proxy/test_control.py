"""Every row of Toxiproxy's API: status, body, headers; and what it does better."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from faultline.errors import UsageError
from faultline.worlds.live.proxy import ControlApi, ProxyServer
from tests.worlds.live.proxy.api import Api, serving
from tests.worlds.live.proxy.kit import HOST, until

UP = "127.0.0.1:9"
DB = {"name": "db", "listen": "127.0.0.1:0", "upstream": UP}
SLOW = {"type": "latency", "name": "slow", "attributes": {"latency": 1000, "jitter": 5}}

ROWS: list[tuple[str, str, Any, int, Any]] = [
    ("GET", "/version", None, 200, {"version": "2.12.0"}),
    ("POST", "/proxies", b"", 400, "bad request body: EOF"),
    ("POST", "/proxies", b"{", 400, "bad request body: "),
    ("POST", "/proxies", {"name": 5}, 400, "bad request body: "),
    ("POST", "/proxies", {"upstream": UP}, 400, "missing required field: name"),
    ("POST", "/proxies", {"name": "x"}, 400, "missing required field: upstream"),
    ("POST", "/proxies", {"name": "x", "upstream": "nowhere"}, 400, "missing port in address"),
    ("POST", "/proxies", {"name": "a/b", "upstream": UP}, 400, "could never be addressed"),
    ("POST", "/proxies", DB, 409, "proxy already exists"),
    ("POST", "/proxies", {"name": "x", "upstream": UP, "toxics": [{"type": "no"}]}, 400, "invalid toxic type"),
    ("GET", "/proxies/none", None, 404, "proxy not found"),
    ("PATCH", "/proxies/none", {}, 404, "proxy not found"),
    ("DELETE", "/proxies/none", None, 404, "proxy not found"),
    ("PATCH", "/proxies/db", b"no", 400, "bad request body: "),
    ("PATCH", "/proxies/db", {"listen": "nonsense"}, 500, "missing port in address"),
    ("GET", "/proxies/none/toxics", None, 404, "proxy not found"),
    ("POST", "/proxies/none/toxics", SLOW, 404, "proxy not found"),
    ("POST", "/proxies/db/toxics", {"type": "no", "stream": "side"}, 400,
     "stream was invalid, can be either upstream or downstream"),
    ("POST", "/proxies/db/toxics", {"type": "no"}, 400, "invalid toxic type"),
    ("POST", "/proxies/db/toxics", {}, 400, "invalid toxic type"),
    ("POST", "/proxies/db/toxics", SLOW, 409, "toxic already exists"),
    ("POST", "/proxies/db/toxics", {**SLOW, "stream": "upstream"}, 409, "toxic already exists"),
    ("GET", "/proxies/db/toxics/none", None, 404, "toxic not found"),
    ("GET", "/proxies/none/toxics/slow", None, 404, "proxy not found"),
    ("PATCH", "/proxies/db/toxics/none", {}, 404, "toxic not found"),
    ("DELETE", "/proxies/db/toxics/none", None, 404, "toxic not found"),
    ("POST", "/populate", [{"name": "x"}], 400, "missing required field: upstream at proxy 1"),
    ("POST", "/populate", {"name": "x"}, 400, "bad request body: "),
    ("POST", "/lease", {"seconds": 9}, 400, "not above 5"),
    ("POST", "/lease/none", None, 404, "lease not found"),
    ("DELETE", "/lease/none", None, 404, "lease not found"),
]  # fmt: skip


async def prepared(api: Api) -> None:
    assert (await api("POST", "/proxies", DB)).status == 201
    assert (await api("POST", "/proxies/db/toxics", SLOW)).status == 200


async def test_every_row_of_the_table() -> None:
    async with serving() as api:
        await prepared(api)
        before = await api("GET", "/proxies")
        for method, path, body, status, says in ROWS:
            answer = await api(method, path, body)
            where = (method, path, body, answer.text)
            assert answer.status == status, where
            assert answer.headers["X-Toxiproxy-Request-Id"], where
            if status == 200:
                assert answer.body == says, where
                continue
            assert says in answer.body["error"], where
            assert answer.body["status"] == status, where
            assert answer.text.endswith("}\n"), where
            plain = "application/json" if path == "/populate" else "text/plain; charset=utf-8"
            assert answer.headers["Content-Type"] == plain, where
        after = await api("GET", "/proxies")
        assert after.body == before.body, "what was refused changed nothing"


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/proxies/", "/proxies/db/", "/metrics", "/proxies/a/b", "/version/"]
)
async def test_an_unknown_path_is_a_plain_404(path: str) -> None:
    async with serving() as api:
        answer = await api("GET", path)
        assert (answer.status, answer.text) == (404, "404 page not found\n")
        assert "X-Toxiproxy-Request-Id" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/proxies"), ("HEAD", "/version"), ("GET", "/reset"), ("DELETE", "/proxies")]
)
async def test_a_wrong_method_is_an_empty_405(method: str, path: str) -> None:
    async with serving() as api:
        answer = await api(method, path)
        assert (answer.status, answer.text, answer.headers.get("Allow")) == (405, "", None)


async def test_a_proxy_and_its_toxics_are_shown_as_toxiproxy_shows_them() -> None:
    async with serving() as api:
        made = await api("POST", "/proxies", DB)
        assert made.headers["Content-Type"] == "application/json"
        assert made.body == {
            "name": "db", "listen": made.body["listen"], "upstream": UP, "enabled": True, "Logger": {}, "toxics": [],
        }  # fmt: skip
        assert made.body["listen"].startswith("127.0.0.1:")
        assert not made.body["listen"].endswith(":0")
        toxic = await api("POST", "/proxies/db/toxics", {"type": "latency", "stream": "UPSTREAM"})
        assert toxic.body == {
            "attributes": {"latency": 0, "jitter": 0}, "name": "latency_UPSTREAM", "type": "latency",
            "stream": "UPSTREAM", "toxicity": 1.0,
        }  # fmt: skip
        await api("POST", "/proxies/db/toxics", SLOW)
        shown = await api("GET", "/proxies/db")
        assert [each["name"] for each in shown.body["toxics"]] == ["latency_UPSTREAM", "slow"]
        assert (await api("GET", "/proxies")).body == {"db": shown.body}
        assert (await api("GET", "/proxies/db/toxics")).body == shown.body["toxics"]
        assert (await api("GET", "/proxies/db/toxics/slow")).body == shown.body["toxics"][1]


@pytest.mark.parametrize("method", ["PATCH", "POST"])
async def test_a_toxic_is_changed_field_by_field(method: str) -> None:
    async with serving() as api:
        await prepared(api)
        answer = await api(method, "/proxies/db/toxics/slow", {"attributes": {"latency": 7}, "name": "x", "type": "y"})
        assert (answer.status, answer.body["name"], answer.body["type"]) == (200, "slow", "latency")
        assert answer.body["attributes"] == {"latency": 7, "jitter": 5}
        answer = await api(method, "/proxies/db/toxics/slow", {"toxicity": 0.25})
        assert answer.body["toxicity"] == 0.25
        assert (await api("DELETE", "/proxies/db/toxics/slow")).status == 204
        assert (await api("GET", "/proxies/db/toxics")).body == []


@pytest.mark.parametrize("method", ["PATCH", "POST"])
async def test_a_proxy_is_disabled_enabled_and_moved(method: str) -> None:
    async with serving() as api:
        await prepared(api)
        assert (await api(method, "/proxies/db", {"enabled": False})).body["enabled"] is False
        port = api.control.server.get("db").proxy.listen_port
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)
        answer = await api(method, "/proxies/db", {"enabled": True, "upstream": "127.0.0.1:10"})
        assert (answer.body["enabled"], answer.body["upstream"]) == (True, "127.0.0.1:10")
        assert answer.body["listen"].endswith(f":{port}")
        assert len(answer.body["toxics"]) == 1
        assert (await api("DELETE", "/proxies/db")).status == 204
        assert (await api("GET", "/proxies")).body == {}


async def test_a_port_in_use_is_a_500_and_nothing_is_made_or_moved() -> None:
    async with serving() as api:
        await prepared(api)
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            at = f"{HOST}:{taken.getsockname()[1]}"
            answer = await api("POST", "/proxies", {"name": "x", "listen": at, "upstream": UP})
            assert answer.status == 500
            assert answer.body["error"] == f"listen tcp {at}: bind: address already in use"
            before = (await api("GET", "/proxies/db")).body
            assert (await api("PATCH", "/proxies/db", {"listen": at})).status == 500
            assert (await api("GET", "/proxies")).body == {"db": before}


BAD = [
    ("latency", {"latency": -1}, "latency is -1; it is a whole number from 0 to"),
    ("latency", {"jitter": 2**62}, "jitter is .*; it is a whole number from 0 to"),
    ("latency", {"latency": 1.5}, "latency is 1.5; it is a whole number"),
    ("latency", {"latency": "10"}, "latency is '10'; it is a whole number"),
    ("latency", {"latency": True}, "latency is True"),
    ("latency", {"wait": 1}, "unknown attribute wait; there are: latency, jitter"),
    ("bandwidth", {"rate": -5}, "rate is -5"),
    ("slicer", {}, "average_size is 0; it is a whole number from 1 to"),
    ("slicer", {"average_size": -3}, "average_size is -3"),
    ("slicer", {"average_size": 3, "size_variation": 3}, "less than average_size"),
    ("loss", {"rate": 1.5}, "rate is 1.5; it is a number from 0 to 1"),
    ("cut_after", {"how": "loudly"}, "how is 'loudly'; it is one of fin, rst, silence"),
]


@pytest.mark.parametrize(("kind", "attributes", "says"), BAD)
async def test_a_bad_attribute_is_a_400_that_names_it_and_its_range(kind: str, attributes: Any, says: str) -> None:
    async with serving() as api:
        await api("POST", "/proxies", DB)
        answer = await api("POST", "/proxies/db/toxics", {"type": kind, "attributes": attributes})
        assert answer.status == 400
        with pytest.raises(ValueError, match=says):
            raise ValueError(answer.body["error"])
        assert (await api("GET", "/proxies/db/toxics")).body == []


async def test_toxicity_out_of_range_is_refused_and_null_is_the_default() -> None:
    async with serving() as api:
        await api("POST", "/proxies", DB)
        for toxicity in (5, -1):
            answer = await api("POST", "/proxies/db/toxics", {"type": "noop", "toxicity": toxicity})
            assert (answer.status, "from 0 to 1" in answer.body["error"]) == (400, True)
        answer = await api("POST", "/proxies/db/toxics", {"type": "noop", "toxicity": None, "attributes": None})
        assert (answer.status, answer.body["toxicity"]) == (200, 1.0)


async def test_reset_enables_every_proxy_and_removes_every_toxic() -> None:
    async with serving() as api:
        await prepared(api)
        await api("PATCH", "/proxies/db", {"enabled": False})
        assert (await api("POST", "/reset")).status == 204
        shown = (await api("GET", "/proxies/db")).body
        assert (shown["enabled"], shown["toxics"]) == (True, [])


async def test_populate_makes_keeps_and_replaces_with_toxics_in_effect() -> None:
    async with serving() as api:
        assert (await api("POST", "/populate", [])).body == {"proxies": None}
        answer = await api(
            "POST", "/populate", [{**DB, "toxics": [SLOW]}, {"name": "off", "upstream": UP, "enabled": False}]
        )
        assert answer.status == 201
        assert [each["enabled"] for each in answer.body["proxies"]] == [True, False]
        assert answer.body["proxies"][0]["toxics"][0]["name"] == "slow"
        listen = answer.body["proxies"][0]["listen"]
        kept = api.control.server.get("db")
        same = {**DB, "listen": listen}
        assert (await api("POST", "/populate", [same])).body["proxies"][0]["toxics"]
        assert api.control.server.get("db") is kept
        assert (await api("POST", "/populate", [{**same, "toxics": []}])).body["proxies"][0]["toxics"] == []
        await api("POST", "/populate", [{**same, "upstream": "127.0.0.1:10"}])
        assert api.control.server.get("db") is not kept


async def test_populate_says_which_were_done_before_one_failed() -> None:
    async with serving() as api:
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            bad = {"name": "x", "listen": f"{HOST}:{taken.getsockname()[1]}", "upstream": UP}
            answer = await api("POST", "/populate", [DB, bad])
        assert (answer.status, answer.headers["Content-Type"]) == (500, "application/json")
        assert answer.body["error"].endswith("address already in use at proxy 2")
        assert [each["name"] for each in answer.body["proxies"]] == ["db"]


async def test_browsers_are_refused() -> None:
    async with serving() as api:
        answer = await api("GET", "/version", headers={"User-Agent": "Mozilla/5.0"})
        assert (answer.status, answer.text) == (403, "User agent not allowed\n")


async def test_a_token_is_asked_for_on_every_request() -> None:
    async with serving(token="sesame") as api:
        assert (await api("GET", "/version")).status == 401
        assert (await api("GET", "/version", headers={"Authorization": "Bearer sesam"})).status == 401
        assert (await api("GET", "/version", headers={"Authorization": "Bearer sesame"})).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1"])
async def test_an_address_that_others_can_reach_needs_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="give a token"):
        await ControlApi(ProxyServer()).start(host, 0)


async def test_metrics_count_the_bytes_of_ended_connections() -> None:
    async with serving(metrics=True) as api:
        server = await asyncio.start_server(lambda r, w: echo_once(r, w), HOST, 0)
        port = server.sockets[0].getsockname()[1]
        await api("POST", "/proxies", {**DB, "upstream": f"{HOST}:{port}"})
        reader, writer = await asyncio.open_connection(HOST, api.control.server.get("db").proxy.listen_port)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello!"
        writer.close()
        await until(lambda: not api.control.server.get("db").proxy.connections)
        text = (await api("GET", "/metrics")).text
        server.close()
    lines = [line for line in text.splitlines() if "bytes_total{" in line]
    shown = {
        (line.split("_")[2], "upstream" if 'direction="up' in line else "down"): line.split()[-1] for line in lines
    }
    assert shown == {
        ("received", "upstream"): "5", ("received", "down"): "6", ("sent", "upstream"): "5", ("sent", "down"): "6",
    }  # fmt: skip
    assert 'proxy="db"' in lines[0]


async def echo_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read() + b"!")
    writer.close()


async def test_names_with_spaces_and_other_letters_can_be_addressed() -> None:
    async with serving() as api:
        assert (await api("POST", "/proxies", {"name": "día 1", "upstream": UP})).status == 201
        assert (await api("GET", "/proxies/d%C3%ADa%201")).body["name"] == "día 1"


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with serving() as api:
        answer = await api("POST", "/proxies", b" " * 2_000_000)
        assert answer.status == 413
        assert json.loads(answer.text)["status"] == 413
