"""The gateway as a proxy, with faults, and as a judge of an upstream that is not ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from faultline.errors import UnsupportedFault, UsageError
from faultline.faults import (
    Disconnect,
    DropMessage,
    DuplicateRequest,
    Latency,
    LateRequest,
    LostRequest,
    LostResponse,
    StatusStorm,
)
from faultline.gateway import Gateway
from faultline.history import read_history
from faultline.history.event import Answered, Delivered, Effect, Received, Resolved
from faultline.oracles import NoDuplicates, NoLostIntent, Reconciled
from faultline.session import CheckFailed
from faultline.worlds.live.gateway import EffectRule
from tests.worlds.live.gateway.upstream import Upstream, serving
from tests.worlds.live.proxy.kit import until

BY_PRICE = EffectRule("POST /orders", key="header Idempotency-Key", price="json price", side="json side")
ORDER = {"side": "buy", "price": "100.25"}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with serving() as upstream:
        yield upstream


@pytest.fixture
async def gateway(upstream: Upstream) -> AsyncIterator[Gateway]:
    async with Gateway(upstream.url, seed=7, effects=[BY_PRICE]) as gateway:
        yield gateway


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as client:
        # Whether a request is sent again is what these tests count.
        client._retry_connection = False
        yield client


async def raw(gateway: Gateway, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    writer.write(data)
    return reader, writer


# A proxy


async def test_requests_and_answers_pass_without_the_headers_of_one_hop(
    upstream: Upstream, gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    headers = {"Connection": "X-Mine", "X-Mine": "1", "X-Kept": "2", "Keep-Alive": "5"}
    async with client.put(URL(f"{gateway.url}/echo?a=%2Fb&a=c", encoded=True), data=b"body", headers=headers) as answer:
        assert await answer.read() == b"body"
        assert answer.headers.getall("X-A") == ["1", "2"]
        assert "X-Gone" not in answer.headers
    seen = upstream.requests[0]
    assert seen.raw_path == "/echo?a=%2Fb&a=c"
    assert seen.headers["X-Kept"] == "2"
    assert not {"X-Mine", "Keep-Alive"} & set(seen.headers)
    assert seen.headers["X-Forwarded-For"] == "127.0.0.1"
    assert seen.headers["X-Forwarded-Host"] == gateway.url.removeprefix("http://")


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_bodies_stream_to_the_upstream(
    upstream: Upstream, gateway: Gateway, client: aiohttp.ClientSession, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    headers = {} if chunked else {"Content-Length": "3000000"}
    async with client.post(f"{gateway.url}/sink", data=pieces(), headers=headers) as answer:
        assert await answer.json() == {"bytes": 3_000_000}


@pytest.mark.parametrize("path", ["/large", "/large?sized"])
async def test_large_answers_stream_to_the_client(gateway: Gateway, client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(gateway.url + path) as answer:
        assert ("Content-Length" in answer.headers) == path.endswith("sized")
        assert len(await answer.read()) == 4_000_000


async def test_a_held_answer_beyond_the_bound_is_whole_too(gateway: Gateway, client: aiohttp.ClientSession) -> None:
    with gateway.inject(LateRequest(on="GET /large", by_s=0.001)):
        async with client.get(f"{gateway.url}/large?sized") as answer:
            assert len(await answer.read()) == 4_000_000


async def test_head_keeps_the_length_and_the_connection(gateway: Gateway) -> None:
    request = b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, writer = await raw(gateway, request + request.replace(b"HEAD", b"GET"))
    first = await reader.readuntil(b"\r\n\r\n")
    second = await reader.readuntil(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert second.startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_a_client_that_expects_to_continue_is_told_so(gateway: Gateway) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
    reader, writer = await raw(gateway, head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"abc")
    assert (await reader.read()).endswith(b"\r\n\r\nabc")
    writer.close()


async def test_an_upstream_that_cannot_be_reached_is_a_502(client: aiohttp.ClientSession) -> None:
    async with serving() as gone:
        url = gone.url
    async with Gateway(url) as gateway, client.get(f"{gateway.url}/x") as answer:
        assert answer.status == 502
        assert "cannot be reached" in await answer.text()


async def test_an_upstream_that_is_silent_is_a_504(upstream: Upstream, client: aiohttp.ClientSession) -> None:
    async with Gateway(upstream.url, answer_s=0.05) as gateway, client.get(f"{gateway.url}/slow") as answer:
        assert answer.status == 504


async def test_an_upstream_that_breaks_off_never_looks_complete(
    gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    async def fetch() -> None:
        async with client.get(f"{gateway.url}/broken") as answer:
            await answer.read()

    with pytest.raises(aiohttp.ClientError):
        await fetch()


async def test_a_client_that_hangs_up_ends_the_upstreams_work(upstream: Upstream, gateway: Gateway) -> None:
    _, writer = await raw(gateway, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: bool(upstream.requests))
    writer.close()
    await until(lambda: upstream.cancelled == ["/slow"])
    await until(lambda: [answered.fate for answered in gateway.history.of(Answered)] == ["lost"])


async def test_a_request_that_a_fault_made_late_arrives_although_its_client_has_gone(
    upstream: Upstream, gateway: Gateway
) -> None:
    with gateway.inject(LateRequest(on="POST /orders", by_s=0.2)):
        body = b'{"side": "buy", "price": "1"}'
        head = b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        _, writer = await raw(gateway, head % len(body) + body)
        await until(lambda: bool(gateway.history.of(Received)))
        writer.close()
        await until(lambda: len(upstream.orders) == 1)


async def test_hanging_up_on_a_late_request_does_not_end_the_upstreams_work(
    upstream: Upstream, gateway: Gateway
) -> None:
    with gateway.inject(LateRequest(on="GET /slow", by_s=0.001)):
        _, writer = await raw(gateway, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: bool(upstream.requests))
        writer.close()
        await until(lambda: gateway._server.connections == 0)
        upstream.let_go.set()
        await until(lambda: bool(gateway.history.of(Answered)))
    assert upstream.cancelled == []
    assert [resolved.effect for resolved in gateway.history.of(Resolved)] == ["applied"]


async def test_a_slow_head_and_idle_connections_are_cut_off(upstream: Upstream) -> None:
    async with Gateway(upstream.url, idle_s=0.1) as gateway:
        slow, one = await raw(gateway, b"GET / HTTP/1.1\r\nX-A: ")
        idle, two = await raw(gateway, b"")
        async with asyncio.timeout(5):
            assert await slow.read() == b""
            assert await idle.read() == b""
        one.close(), two.close()


async def test_a_huge_header_is_refused(gateway: Gateway) -> None:
    reader, writer = await raw(gateway, b"GET / HTTP/1.1\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n")
    assert b" 431 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.com", "--allow-host example.com"),
        ("ftp://127.0.0.1", "is not a URL"),
        ("http://u:p@127.0.0.1", "leave out credentials"),
        ("http://127.0.0.1:99999", "Port out of range"),
    ],
)
def test_an_upstream_that_is_wrong_or_not_allowed_is_refused(url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Gateway(url)


def test_a_host_that_is_allowed_may_be_the_upstream() -> None:
    assert Gateway("https://example.com/api/", allow_hosts=["example.com"]).url == ""


async def test_a_port_in_use_is_an_error_and_leaves_nothing(upstream: Upstream) -> None:
    port = int(upstream.url.rpartition(":")[2])
    with pytest.raises(UsageError, match="cannot listen"):
        async with Gateway(upstream.url, port=port):
            pass


# Faults


async def test_a_lost_response_is_applied_and_a_lost_request_is_not(
    upstream: Upstream, gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    with gateway.inject(LostResponse(on="POST /orders", how="rst")), pytest.raises(aiohttp.ClientError):
        await client.post(f"{gateway.url}/orders", json=ORDER)
    assert len(upstream.orders) == 1
    with gateway.inject(LostRequest(on="POST /orders", how="rst")), pytest.raises(aiohttp.ClientError):
        await client.post(f"{gateway.url}/orders", json=ORDER)
    assert len(upstream.orders) == 1
    assert [resolved.effect for resolved in gateway.history.of(Resolved)] == ["applied", "not_applied"]


async def test_the_effect_of_an_upstream_that_refused_or_was_silent_is_unknown(
    upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    async with Gateway(upstream.url, answer_s=0.05) as gateway:
        with gateway.inject(LostResponse(on="* /*", how="rst")):
            for method, path in (("POST", "/orders"), ("GET", "/slow")):
                with pytest.raises(aiohttp.ClientError):
                    await client.request(method, gateway.url + path, json={"refuse": 1})
        assert [resolved.effect for resolved in gateway.history.of(Resolved)] == ["unknown", "unknown"]


@pytest.mark.parametrize("query", [b"?sized", b""])
@pytest.mark.parametrize("sent_bytes", [50, 2_500_000])
async def test_a_response_is_cut_after_so_many_bytes(gateway: Gateway, sent_bytes: int, query: bytes) -> None:
    with gateway.inject(LostResponse(on="GET /large", sent_bytes=sent_bytes, how="fin")):
        reader, writer = await raw(gateway, b"GET /large%b HTTP/1.1\r\nHost: x\r\n\r\n" % query)
        assert len(await reader.read()) == sent_bytes
    writer.close()


async def test_a_status_storm_answers_instead_of_the_upstream(
    upstream: Upstream, gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    with gateway.inject(StatusStorm(on="POST /orders", status=503)):
        async with client.post(f"{gateway.url}/orders", json=ORDER) as answer:
            assert answer.status == 503
    assert upstream.orders == []


async def test_a_fault_that_needs_more_than_messages_is_refused(gateway: Gateway) -> None:
    with pytest.raises(UnsupportedFault, match="put faultline proxy before"), gateway.inject(Latency(delay_s=1.0)):
        pass


# The ledger of effects


async def retried(client: aiohttp.ClientSession, url: str, **headers: str) -> None:
    for _ in range(2):
        try:
            await client.post(f"{url}/orders", json=ORDER, headers=headers)
        except aiohttp.ClientError:
            continue
        break


async def test_a_client_that_sends_again_without_a_key_is_found_out(
    gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    with (
        gateway.inject(LostResponse(on="POST /orders", first=1, how="rst")),
        gateway.intent("buy", price="100.25", quantity=1),
    ):
        await retried(client, gateway.url)
    with pytest.raises(CheckFailed, match="became 2 orders"):
        gateway.check(NoDuplicates())


async def test_a_client_that_keeps_its_key_passes(gateway: Gateway, client: aiohttp.ClientSession) -> None:
    with gateway.inject(LostResponse(on="POST /orders", first=1, how="rst")):
        await retried(client, gateway.url, **{"Idempotency-Key": "k1"})
    gateway.check(NoDuplicates(), NoLostIntent())
    assert [(effect.intent, effect.order) for effect in gateway.history.of(Effect)] == [("k1", "o1")]


async def test_a_key_that_came_to_nothing_is_a_lost_intent(gateway: Gateway, client: aiohttp.ClientSession) -> None:
    with gateway.inject(LostRequest(on="POST /orders", how="rst")):
        await retried(client, gateway.url, **{"Idempotency-Key": "k1"})
    with pytest.raises(CheckFailed, match="the venue has no order for it"):
        gateway.check(NoLostIntent())


async def test_a_copy_that_the_upstream_takes_for_a_second_order_is_a_duplicate(
    gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    with gateway.inject(DuplicateRequest(on="POST /orders")), gateway.intent("buy", price="100.25"):
        await client.post(f"{gateway.url}/orders", json=ORDER)
        await gateway.settle()
    with pytest.raises(CheckFailed, match="became 2 orders"):
        gateway.check(NoDuplicates())


async def test_nothing_is_judged_while_an_effect_may_have_happened(
    upstream: Upstream, client: aiohttp.ClientSession
) -> None:
    async with Gateway(upstream.url, answer_s=0.05, effects=[EffectRule("GET /slow")]) as gateway:
        await client.get(f"{gateway.url}/slow")
        with pytest.raises(CheckFailed, match="cannot be tied"):
            gateway.check(NoDuplicates())


@pytest.mark.parametrize("place", ["body id", "json", "header "])
def test_a_place_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="write header NAME or json"):
        EffectRule("POST /orders", id=place)


# The history


async def test_no_secret_is_in_the_history(upstream: Upstream, client: aiohttp.ClientSession, tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    secrets = ["s3cret-header", "s3cret-cookie", "s3cret-query", "s3cret-json", "s3cret-of-mine"]
    async with Gateway(upstream.url, effects=[BY_PRICE], history=path, secret_headers=("X-Mine",)) as gateway:
        for headers in ({"Authorization": f"Bearer {secrets[0]}"}, {"Cookie": secrets[1]}, {"X-Mine": secrets[4]}):
            await client.post(f"{gateway.url}/orders", json=ORDER, headers=headers)
        await client.post(f"{gateway.url}/orders?api_key={secrets[2]}", json={**ORDER, "token": secrets[3]})
        await client.post(f"{gateway.url}/orders/{'s3cret0' * 3}", json=ORDER)
    text = path.read_text()
    assert "s3cret" not in text
    tokens = [received.token for received in read_history(path).of(Received)]
    assert tokens == ["<token#1>", "<token#2>", "<token#3>", "<token#4>", ""]


async def test_a_history_that_outgrows_its_bound_is_whole_in_its_file_and_judged_no_longer(
    upstream: Upstream, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    path = tmp_path / "wire.jsonl"
    async with Gateway(upstream.url, effects=[BY_PRICE], history=path, history_max=10) as gateway:
        for number in range(4):
            await client.post(f"{gateway.url}/orders", json=ORDER, headers={"Idempotency-Key": f"k{number}"})
            assert gateway.verdicts([NoDuplicates()])[0].verdict == ("pass" if number < 2 else "unknown")
        assert len(gateway.history) == 10
        with pytest.raises(CheckFailed, match=f"outgrown the 10 events that are kept; 6 more are only in {path}"):
            gateway.check(NoDuplicates())
    assert len(read_history(path).of(Answered)) == 4


async def test_what_a_gateway_cannot_see_is_unknown_and_a_failed_check_speaks_of_gateways(gateway: Gateway) -> None:
    with pytest.raises(CheckFailed, match="reconciled: unknown: needs what the client believes") as failed:
        gateway.check(NoDuplicates(), Reconciled())
    assert "Session(" not in str(failed.value)
    assert "Gateway(..., seed=7)" in str(failed.value)


# WebSockets


async def test_a_websocket_passes_both_ways_with_its_protocol_and_close_code(
    gateway: Gateway, client: aiohttp.ClientSession
) -> None:
    async with client.ws_connect(f"{gateway.url}/stream", protocols=["v1"]) as socket:
        assert socket.protocol == "v1"
        await socket.send_str("é")
        assert await socket.receive_str() == "é"
        await socket.send_bytes(b"\x00\xff")
        assert await socket.receive_bytes() == b"\x00\xff"
        await socket.send_str("bye")
        assert (await socket.receive()).data == 4001
    assert [delivered.fate for delivered in gateway.history.of(Delivered)] == ["sent", "sent"]


async def test_a_message_is_dropped_and_a_stream_is_cut(gateway: Gateway, client: aiohttp.ClientSession) -> None:
    with gateway.inject(DropMessage(nth=1), Disconnect(nth=3)):
        async with client.ws_connect(f"{gateway.url}/stream") as socket:
            for text in "abc":
                await socket.send_str(text)
            assert await socket.receive_str() == "b"
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)
    fates = [delivered.fate for delivered in gateway.history.of(Delivered)]
    assert fates == ["dropped", "sent", "lost"]


async def test_a_refused_handshake_has_its_status_passed_on(gateway: Gateway, client: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client.ws_connect(f"{gateway.url}/nowhere")
    assert refusal.value.status == 404
