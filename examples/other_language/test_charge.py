"""The scripts as processes of their own, a service that is not faultline's, and the gateway between the two."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from payments_service import make_app

import faultline as fl

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]
HERE = Path(__file__).parent
CHARGES = fl.EffectRule("POST /charges", key="header Idempotency-Key", quantity="json cents")
LOST_RESPONSE = fl.faults.LostResponse(on="POST /charges", first=1, how="rst")
FAULTS = [
    LOST_RESPONSE,
    fl.faults.LostRequest(on="POST /charges", first=1, how="fin"),
    fl.faults.DuplicateRequest(on="POST /charges"),
]


async def charge(script: str, url: str, order: str, cents: int) -> str:
    process = await asyncio.create_subprocess_exec(
        HERE / script, url, order, str(cents), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


async def charge_through(script: str, *faults: Any) -> None:
    async with (
        TestServer(make_app()) as service,
        fl.Gateway(upstream=str(service.make_url("")), effects=[CHARGES]) as gateway,
    ):
        with gateway.inject(*faults):
            for order, cents in (("chair", 4900), ("table", 15900)):
                with gateway.intent("charge", quantity=cents, symbol="usd"):
                    assert "ch_" in await charge(script, gateway.url, order, cents)
        await gateway.settle()
        gateway.check(fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
async def test_each_order_is_charged_once(fault: Any) -> None:
    await charge_through("charge_once.sh", fault)


async def test_a_charge_that_curl_sends_again_is_a_second_charge() -> None:
    with pytest.raises(fl.CheckFailed, match=r"intent I1 \(charge 4900 usd\) became 2 orders"):
        await charge_through("charge.sh", LOST_RESPONSE)
