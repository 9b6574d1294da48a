"""The engine's part of the configuration file."""

from __future__ import annotations

from dataclasses import fields
from datetime import time
from decimal import Decimal

import pytest

from targets.resilience.errors import ConfigurationError
from targets.resilience.risk import RULES, RiskConfig
from targets.resilience.risk import rules as r
from targets.resilience.risk.config import _BY_TYPE


def test_rules_and_limits_are_read_in_their_order() -> None:
    config = RiskConfig.read(
        {
            "rules": {
                "max_contracts_per_instrument": {"quantity_max": 5, "by_symbol": {"ES": 2.5}},
                "session_hours": {"begins": "08:30", "ends": 900},
                "symbol_blocks": {"symbols": ["CL"]},
                "auth_loss_guard": None,
                "trade_frequency_limit": {"trades_max": 3, "window_s": 60},
            },
            "day_begins": "00:00",
            "time_zone": "Europe/Berlin",
            "multipliers": {"NQ": 20},
            "flatten_retry_s": 2,
        }
    )
    assert config.rules == (
        r.MaxContractsPerInstrument(Decimal(5), (("ES", Decimal("2.5")),)),
        r.SessionHours(time(8, 30), time(15, 0)),
        r.SymbolBlocks(frozenset({"CL"})),
        r.AuthLossGuard(),
        r.TradeFrequencyLimit(3, 60.0),
    )
    assert (config.day_begins, config.time_zone, config.flatten_retry_s) == (time(0), "Europe/Berlin", 2.0)
    assert config.multipliers == (("NQ", Decimal(20)),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rulse": {}}, "risk.rulse: not known here; known are check_interval_s, "),
        ({"rules": []}, "risk.rules: a mapping is needed"),
        ({"rules": {"max_order": {}}}, "risk.rules.max_order: there is no such rule; there are auth_loss_guard, "),
        ({"rules": {"max_order_size": {}}}, "risk.rules.max_order_size: quantity_max is missing"),
        ({"rules": {"max_order_size": {"quantity": 1}}}, "risk.rules.max_order_size.quantity: not known here"),
        ({"rules": {"max_order_size": {"quantity_max": 0}}}, "quantity_max: a number above 0 is needed, not 0"),
        ({"rules": {"max_order_size": {"quantity_max": "many"}}}, "a number above 0 is needed, not 'many'"),
        ({"rules": {"max_order_size": {"quantity_max": True}}}, "a number above 0 is needed, not True"),
        ({"rules": {"max_order_size": {"quantity_max": float("nan")}}}, "a number above 0"),
        ({"rules": {"max_order_size": 5}}, "risk.rules.max_order_size: a mapping is needed, not 5"),
        ({"rules": {"max_open_orders": {"orders_max": 1.5}}}, "a whole number above 0 is needed, not 1.5"),
        ({"rules": {"symbol_blocks": {"symbols": "NQ"}}}, "a list of symbols is needed"),
        ({"rules": {"session_hours": {"begins": "25:00", "ends": "1"}}}, "begins: a time of day such as 17:00"),
        ({"day_begins": 1440}, "risk.day_begins: a time of day"),
        ({"time_zone": "Mars/Base"}, "risk.time_zone: a time zone such as America/Chicago is needed, not 'Mars/Base'"),
        ({"check_interval_s": -1}, "risk.check_interval_s: a number above 0"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(data: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RiskConfig.read(data)
    assert message in str(caught.value)


def test_every_limit_of_every_rule_can_be_read() -> None:
    kinds = {str(item.type) for rule in RULES.values() for item in fields(rule)}
    assert kinds <= set(_BY_TYPE)
