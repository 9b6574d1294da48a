"""Profiles in scenario files: what is refused and where, and a whole run that tells a client from a better one."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultline.errors import FaultlineError, ScenarioError, UnsupportedFault
from faultline.history.event import Struck
from faultline.plan import Plan, make_plan
from faultline.runner import run
from faultline.scenario.load import loads
from faultline.targets import TargetRef
from faultline.venues import PROFILES

HERE = Path(__file__).parent
SPOT = ("binance", "okx", "gate", "mexc")


def plan_of(venue: str, fault: str = "lost_response: {}", client: str = "traders.py:Resends", **workload: str) -> Plan:
    work = {"orders": "10", "rate": "2/s", "symbol": "BTCUSDT", **workload}
    lines = [
        "version: 1",
        "name: a profile",
        "about: of a test",
        f"target: {client}",
        f"venue: {venue}",
        f"workload: {{{', '.join(f'{name}: {value}' for name, value in work.items())}}}",
        "faults:",
        f"  - {fault}",
        "expect: [no_duplicates]",
    ]
    path = str(HERE / "s.yaml")
    (scenario,) = loads("\n".join(lines), path)
    ((name, spec),) = scenario.targets.items()
    return make_plan(scenario, TargetRef(name, spec, path))


@pytest.mark.parametrize(
    ("venue", "fault", "error", "place", "what"),
    [
        ("{profile: binance, read_lag: soon}", "lost_response: {}", ScenarioError, "s.yaml:5:37:", "duration"),
        ("{profile: gate, full_evry: 3}", "lost_response: {}", ScenarioError, "s.yaml:5:24:", "full_every"),
        ("{profile: mexc, idempotency: first_result}", "lost_response: {}", ScenarioError, "s.yaml:5:", "none"),
        ("{profile: okx, symbols: [btc]}", "lost_response: {}", ScenarioError, "s.yaml:5:", "BTC/USDT"),
        ("binance", "lost_response: {on: POST /orders}", UnsupportedFault, "s.yaml:8:", "POST /api/v3/order"),
        ("mexc", "drop_message: {}", UnsupportedFault, "s.yaml:8:", "nothing that matches"),
        ("okx", "unknown_status: {says: binance -1007}", UnsupportedFault, "s.yaml:8:", "does not speak like that"),
        ("gate", "token_expiry: {at: 1s}", UnsupportedFault, "s.yaml:8:", "no tokens"),
    ],
)
def test_what_a_profile_cannot_do_is_refused_with_its_place(
    venue: str, fault: str, error: type[FaultlineError], place: str, what: str
) -> None:
    pytest.importorskip("ccxt", reason="the client of these scenarios trades through ccxt")
    with pytest.raises(error) as caught:
        plan_of(venue, fault)
    message = str(caught.value)
    assert place in message
    assert what in message


def test_the_contract_says_what_each_venue_promises() -> None:
    from faultline.history.contract import ClientPolicy

    contracts = {name: PROFILES[name].contract(PROFILES[name].settings(), ClientPolicy()) for name in SPOT}
    scopes = {name: contract.idempotency for name, contract in contracts.items()}
    pending = "unique_while_pending"
    assert scopes == {"binance": pending, "okx": pending, "gate": "none", "mexc": "none"}
    assert all(not contract.sequenced and contract.token_ttl_s is None for contract in contracts.values())
    assert contracts["binance"].read_lag_s == 0.05
    weight = contracts["binance"].buckets[0]
    asked = ("GET /api/v3/openOrders", "GET /api/v3/openOrders?symbol", "GET /api/v3/depth?limit=5000", "GET /else")
    assert [weight.weight_of(endpoint) for endpoint in asked] == [80, 6, 250, 1]


@pytest.mark.parametrize(
    ("client", "order_type", "verdict"),
    [("Resends", "market", "fail"), ("Looks", "market", "pass"), ("Resends", "limit", "pass")],
)
def test_the_oracle_sees_the_double_fill_of_a_client_that_trusts_its_id(
    client: str, order_type: str, verdict: str
) -> None:
    pytest.importorskip("ccxt", reason="the clients of this test trade through ccxt")
    fault = "lost_response: {on: POST /api/v3/order, probability: 50%, how: silence}"
    venue = "{profile: binance, fill_delay: 30s}"
    played = run(plan_of(venue, fault, f"traders.py:{client}", order_type=order_type), 1)
    (judged,) = [judged for judged in played.verdicts if judged.oracle == "no_duplicates"]
    assert judged.verdict == verdict


@pytest.mark.parametrize(
    "fault",
    [
        "unknown_status: {says: binance -1007, probability: 50%}",
        "maintenance: {during: [1s, 3s]}",
        "ban: {during: [1s, 3s]}",
    ],
)
def test_a_run_against_a_profile_is_the_same_to_the_bit_each_time(fault: str) -> None:
    pytest.importorskip("ccxt", reason="the client of this test trades through ccxt")
    once, again = (run(plan_of("binance", fault, "traders.py:Looks", order_type="market"), 5) for _ in range(2))
    assert once.error is None
    assert once.history.of(Struck)
    assert once.history.digest == again.history.digest
