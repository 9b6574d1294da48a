"""The gateway before other upstreams: the generic venue, TLS, and many clients that only sit there."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import pytest
import trustme
from aiohttp import web

import faultline
from faultline.faults import LostResponse
from faultline.faults.deciders import Recorder
from faultline.faults.injector import Injector
from faultline.gateway import Gateway
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution
from faultline.history.contract import ClientPolicy
from faultline.oracles import NoDuplicates
from faultline.session import CheckFailed
from faultline.venues import PROFILES
from faultline.venues.interceptor import Interceptor
from faultline.venues.rest import AiohttpFront
from faultline.worlds.live.context import LiveContext
from faultline.worlds.live.gateway import EffectRule
from tests.worlds.live.gateway.upstream import serving


def venue_front() -> AiohttpFront:
    """A generic venue that knows no keys, as somebody else's server."""
    now_s = asyncio.get_running_loop().time
    history, profile, policy = History(), PROFILES["generic"], ClientPolicy()
    injector, attribution = Injector(Recorder(), history, now_s), Attribution(policy)
    context = LiveContext(now_s, 1)
    venue = profile.build(profile.settings(), context, history, attribution, injector, Aliases())
    seam = Interceptor(injector, history, attribution, now_s=now_s, wall_s=context.wall_s, upon={})
    return AiohttpFront(venue, seam)


async def test_a_naive_retry_is_found_out_before_the_generic_venue() -> None:
    front = venue_front()
    rule = EffectRule("POST /orders", id="json order_id", price="json price", side="json side")
    try:
        async with (
            Gateway(await front.start("127.0.0.1"), effects=[rule]) as gateway,
            aiohttp.ClientSession() as client,
        ):
            login = {"client_id": "client", "client_secret": "secret"}
            async with client.post(f"{gateway.url}/auth/token", json=login) as answer:
                headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
            order = {"symbol": "NQ", "side": "buy", "quantity": "1", "price": "100.25", "type": "limit"}
            lost = LostResponse(on="POST /orders", first=1, how="rst")
            with gateway.inject(lost), gateway.intent("buy", price="100.25", quantity="1"):
                for number in range(2):
                    body = {**order, "client_order_id": f"c{number}"}
                    try:
                        async with client.post(f"{gateway.url}/orders", json=body, headers=headers) as answer:
                            assert answer.status < 300, await answer.text()
                    except aiohttp.ClientConnectionError:
                        assert number == 0
            with pytest.raises(CheckFailed, match="became 2 orders"):
                gateway.check(NoDuplicates())
    finally:
        await front.stop()


async def test_an_upstream_behind_tls_is_trusted_only_by_its_authority() -> None:
    authority = trustme.CA()
    served, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusting)

    async def hello(request: web.BaseRequest) -> web.Response:
        return web.Response(text="hello")

    runner = web.ServerRunner(web.Server(hello))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=served).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        for context, status in ((trusting, 200), (None, 502)):
            async with (
                faultline.Gateway(url, ssl_context=context) as gateway,
                aiohttp.ClientSession() as client,
                client.get(gateway.url) as answer,
            ):
                assert answer.status == status
    finally:
        await runner.cleanup()


async def test_a_thousand_idle_connections_do_not_stop_the_others() -> None:
    async with serving() as upstream, Gateway(upstream.url) as gateway, aiohttp.ClientSession() as client:
        port = int(gateway.url.rpartition(":")[2])
        idle = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(1000)]
        async with asyncio.timeout(5), client.put(f"{gateway.url}/echo", data=b"still here") as answer:
            assert await answer.read() == b"still here"
        for writer in idle:
            writer.close()
