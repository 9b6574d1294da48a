"""https and wss: elided by default, real on request, and understood when the client brings its own TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import httpx
import pytest
import trustme
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from faultline.faults.actions import Cut
from tests.worlds.sim.kit import VENUE, Table, http_venue, new_simulation


async def scheme(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.scheme} {request.secure}")


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a fresh key, a certificate for the venue and the authority that issued it."""
    authority = trustme.CA()
    issued = authority.issue_cert(VENUE)
    whole = tmp_path_factory.mktemp("tls") / "whole.pem"
    parts = [*issued.cert_chain_pems, issued.private_key_pem, authority.cert_pem]
    whole.write_bytes(b"".join(part.bytes() for part in parts))
    return whole


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def client_context(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def test_elided_https_needs_no_certificate_and_costs_one_round_trip() -> None:
    simulation = new_simulation(latency_s=0.1)

    async def main() -> tuple[str, float]:
        async with http_venue(scheme, 443, ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)):
            started_s = simulation.now_s()
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"https://{VENUE}/") as response,
            ):
                return await response.text(), simulation.now_s() - started_s

    text, took_s = simulation.run(main)
    assert text == "https True"
    assert took_s == pytest.approx(0.6, abs=0.01)  # TCP, TLS and HTTP, a round trip each


def test_elided_wss_works() -> None:
    async def main() -> str | bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        async with serve(echo, VENUE, 443, ssl=context), connect(f"wss://{VENUE}/") as client:
            await client.send("hi")
            return await client.recv()

    assert new_simulation().run(main) == "hi"


def test_elided_traffic_repeats_byte_by_byte() -> None:
    def digest() -> str:
        simulation = new_simulation()

        async def main() -> None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            async with serve(echo, VENUE, 443, ssl=context), connect(f"wss://{VENUE}/") as client:
                await client.send("hi")
                await client.recv()

        simulation.run(main)
        return simulation.trace_digest()

    assert digest() == digest()


def test_starting_tls_on_an_open_connection_is_elided_too() -> None:
    async def main() -> bytes:
        async def serve_plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        async with await asyncio.start_server(serve_plain, VENUE, 443, ssl=context):
            reader, writer = await asyncio.open_connection(VENUE, 443)
            await writer.start_tls(ssl.create_default_context(), server_hostname=VENUE)
            assert writer.get_extra_info("sslcontext") is not None
            writer.write(b"secret\n")
            return await reader.read()

    assert new_simulation().run(main) == b"secret\n"


def test_tls_to_a_plain_port_fails_as_a_tls_error() -> None:
    async def main() -> None:
        async with http_venue(scheme), aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorSSLError, match="WRONG_VERSION_NUMBER"):
                await session.get(f"https://{VENUE}:80/")

    new_simulation().run(main)


def test_plain_text_to_a_tls_port_gets_no_answer() -> None:
    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        async with http_venue(scheme, 443, ssl_context=context), aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://{VENUE}:443/")

    new_simulation().run(main)


@pytest.mark.parametrize("tls", ["elided", "real"])
def test_a_connection_that_ends_in_the_handshake_is_a_connection_error(tls: str, certificate: Path) -> None:
    simulation = new_simulation(tls=tls, decide=Table({("down", "1"): (Cut(3, "rst"),)}))

    async def main() -> None:
        async with http_venue(scheme, 443, ssl_context=server_context(certificate)), aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientOSError):
                await session.get(f"https://{VENUE}/", ssl=client_context(certificate))

    simulation.run(main)


@pytest.mark.parametrize("tls", ["elided", "real"])
def test_a_server_that_never_answers_the_handshake_times_out(tls: str, certificate: Path) -> None:
    simulation = new_simulation(tls=tls)

    async def main() -> float:
        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(1000)
            writer.close()

        async with await asyncio.start_server(never, VENUE, 443):
            with pytest.raises(ConnectionAbortedError, match="handshake is taking longer than 7"):
                await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, VENUE, 443, ssl=client_context(certificate), ssl_handshake_timeout=7
                )
            return simulation.now_s()

    assert simulation.run(main) == pytest.approx(7, abs=0.01)


@pytest.mark.parametrize("tls", ["elided", "real"])
def test_httpx_brings_its_own_tls_and_is_understood(tls: str, certificate: Path) -> None:
    async def main() -> str:
        async with (
            http_venue(scheme, 443, ssl_context=server_context(certificate)),
            httpx.AsyncClient(verify=client_context(certificate)) as client,
        ):
            return (await client.get(f"https://{VENUE}/")).text

    assert new_simulation(tls=tls).run(main) == "https True"


def test_real_tls_checks_certificates(certificate: Path) -> None:
    async def main() -> str:
        async with http_venue(scheme, 443, ssl_context=server_context(certificate)), aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"https://{VENUE}/")
            async with session.get(f"https://{VENUE}/", ssl=client_context(certificate)) as response:
                return await response.text()

    assert new_simulation(tls="real").run(main) == "https True"


def test_real_wss_works(certificate: Path) -> None:
    async def main() -> str | bytes:
        async with (
            serve(echo, VENUE, 443, ssl=server_context(certificate)),
            connect(f"wss://{VENUE}/", ssl=client_context(certificate)) as client,
        ):
            await client.send("x" * 300_000)
            return await client.recv()

    assert new_simulation(tls="real").run(main) == "x" * 300_000
