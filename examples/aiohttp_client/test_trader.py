"""One order, one fault on it, and then: does the trader's book say what the venue says?"""

from typing import Any

import pytest
from trader import CarefulTrader, Trader

import faultline as fl

FAULTS = [
    fl.faults.LostResponse(on="POST /orders", nth=1),
    fl.faults.LostRequest(on="POST /orders", nth=1),
    fl.faults.StatusStorm(on="POST /orders", status=504, phase="after", first=1),
    fl.faults.StatusStorm(on="POST /orders", status=503, first=1),
]


async def buy_once(faultline: fl.Session, trader_class: type[Trader], fault: Any) -> None:
    venue = await faultline.venue("generic", idempotency="unique_forever")
    async with trader_class(venue.url, venue.client_id, venue.client_secret) as trader:

        @faultline.observe
        def book() -> dict[str, Any]:
            return {"orders": trader.book}

        with faultline.inject(fault), faultline.intent("buy", quantity=3, price=100, symbol="NQ") as wanted:
            placed = await trader.buy(wanted.id, "NQ", quantity=3, price=100)
            wanted.outcome = "ok" if placed else "fail"
        await faultline.settle()
        await trader.refresh()
        faultline.check(fl.oracles.NoDuplicates(), fl.oracles.ResolvedUnknowns(), fl.oracles.Reconciled())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{getattr(fault, 'status', '')}".strip("-"))
async def test_the_book_is_right_whatever_becomes_of_the_answer(faultline: fl.Session, fault: Any) -> None:
    await buy_once(faultline, CarefulTrader, fault)


async def test_a_timeout_taken_for_a_refusal_is_a_position_that_nobody_watches(faultline: fl.Session) -> None:
    with pytest.raises(fl.CheckFailed, match=r"I1 \(buy 3 NQ at 100\).* answered fail") as failed:
        await buy_once(faultline, Trader, FAULTS[0])
    assert "resolved_unknowns" in str(failed.value)
    assert "filled 3" in str(failed.value)
