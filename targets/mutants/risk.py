"""Risk and alerts without their rules."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any, Final

from faultline.mutants import Driven, Mutant, Patch
from faultline.oracles import AlertsDelivered, ExposureBounded, Latency, NoDuplicates
from targets.mutants import desk
from targets.resilience.alerts import AlertManager, _Lane
from targets.resilience.risk.book import Book
from targets.resilience.risk.engine import ALLOWED, RiskEngine
from targets.resilience.risk.model import OrderEvent, Proposal

CONDITIONS: Final = {"lost_response": "order/unanswered", "status_storm": "order/422"}
BOUNDED: Final = (ExposureBounded(limit=Decimal(8)), NoDuplicates())


def forgets_orders_in_doubt(patch: Patch) -> None:
    """Does not count an order whose fate is unknown."""

    def make(apply: Any) -> Any:
        def applies(self: Book, event: Any, now: Any) -> None:
            apply(self, event, now)
            if isinstance(event, OrderEvent) and event.status == "unknown":
                self.working.pop(event.intent, None)

        return applies

    patch.wrap(Book, "apply", make)


def lets_retries_outlive_the_switch(patch: Patch) -> None:
    """Asks the kill switch only when an order is first wanted."""

    def make(check: Any) -> Any:
        return lambda self, order: ALLOWED if order.intent in self.book.working else check(self, order)

    patch.wrap(RiskEngine, "check", make)


def closes_again_blindly(patch: Patch) -> None:
    """Sends a close again without counting the one that is under way."""

    def make(sent: Any) -> Any:
        def sends(self: Book, order: Proposal) -> None:
            if order.price is not None:
                sent(self, order)

        return sends

    patch.wrap(Book, "sent", make)


def takes_all_alerts_for_one(patch: Patch) -> None:
    """Takes all alerts for one that has gone out already."""

    def make(raises: Any) -> Any:
        return lambda self, level, key, text: raises(self, level, key.partition("/")[0], text)

    patch.wrap(AlertManager, "raise_alert", make)


def takes_each_alert_for_a_new_one(patch: Patch) -> None:
    """Takes each alert for a new one."""

    def make(raises: Any) -> Any:
        def every(self: AlertManager, level: Any, key: str, text: str) -> bool:
            self._conditions.clear()
            return bool(raises(self, level, key, text))

        return every

    patch.wrap(AlertManager, "raise_alert", make)


def waits_for_the_channel(patch: Patch) -> None:
    """Delivers an alert before it goes on."""

    def put(self: _Lane, alert: Any) -> None:
        time.sleep(5)

    patch.set(_Lane, "put", put)


RISK: Final = (
    Mutant(
        "K01", "Risk", forgets_orders_in_doubt, Driven(desk.an_order_is_in_doubt, BOUNDED),
        ("exposure_bounded",), faults="a lost response",
    ),
    Mutant(
        "K04", "Risk", lets_retries_outlive_the_switch, Driven(desk.a_retry_meets_the_kill_switch, BOUNDED),
        ("exposure_bounded",), faults="a 429, and the switch during the wait", wasabi="IF",
        seen=("Knight Capital, 2012",),
    ),
    Mutant(
        "K06", "Risk", closes_again_blindly, Driven(desk.a_close_is_in_doubt, BOUNDED),
        ("exposure_bounded",), faults="a lost response to a close, and no news of its fill",
        venues="idempotency: none", wasabi="HOW",
    ),
)  # fmt: skip
ALERTS: Final = (
    Mutant(
        "N01", "Alert", takes_all_alerts_for_one,
        Driven(
            desk.two_incidents,
            (AlertsDelivered(CONDITIONS, within_s=desk.WITHIN_S),),
        ),
        ("alerts_delivered",), faults="two incidents", seen=("badbread/crumbvms#126", "PerformanceMonitor#1154"),
    ),
    Mutant(
        "N02", "Alert", takes_each_alert_for_a_new_one,
        Driven(desk.a_storm_of_one_incident, (AlertsDelivered(),)),
        ("alerts_delivered",), faults="one incident, many times", seen=("tombii/better-ccflare#411",),
    ),
    Mutant(
        "N05", "Alert", waits_for_the_channel, Driven(desk.a_slow_channel, (Latency(max="< 2s"),)),
        ("latency",), faults="a slow channel",
    ),
)  # fmt: skip
