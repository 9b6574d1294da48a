"""Trouble that lasts: told once, in time, and told again when it is over."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from faultline.session import Session
from targets.resilience.alerts import Alert, AlertConfig, AlertManager, CallbackChannel
from targets.resilience.connection_state import ConnectionState
from targets.resilience.venue import OrderStatus
from targets.resilience.watch import Sign, Signs, Watch


async def test_what_lasts_is_told_once_and_then_that_it_is_over(faultline: Session) -> None:
    told: list[Alert] = []

    async def note(alert: Alert) -> None:
        told.append(alert)

    signs = [Sign("a", "wrong", 5.0), Sign("now", "at once")]
    alerts = AlertManager(AlertConfig(), {"list": CallbackChannel(note)})
    watch = Watch(alerts, lambda: tuple(signs))
    await alerts.start()
    watch.start()
    await asyncio.sleep(4.5)
    assert [alert.key for alert in told] == ["now"]
    await asyncio.sleep(60)
    assert [(alert.key, alert.level) for alert in told] == [("now", "critical"), ("a", "critical")]
    signs.clear()
    await asyncio.sleep(1.1)
    assert {alert.key for alert in told if alert.resolved} == {"a", "now"}
    # Gone before its time, and then there again: it begins anew.
    for _ in range(3):
        signs.append(Sign("a", "wrong", 5.0))
        await asyncio.sleep(4)
        signs.clear()
        await asyncio.sleep(2)
    assert len(told) == 4
    await watch.stop()
    await alerts.stop()


def composition(**changes: Any) -> SimpleNamespace:
    record = SimpleNamespace(request_id="A", status=OrderStatus.OPEN, side="buy", size=1, contract_id="NQ")
    parts = {
        "access": SimpleNamespace(is_expired=lambda: False),
        "stream": SimpleNamespace(state=ConnectionState.CONNECTED),
        "reconciler": SimpleNamespace(stale=False),
        "limiter": SimpleNamespace(silent_s=10.0),
        "state": SimpleNamespace(orders={"A": record}),
    }
    return SimpleNamespace(**{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({}, []),
        ({"stream": SimpleNamespace(state=ConnectionState.RECONNECTING)}, [("stream", 30.0)]),
        ({"stream": SimpleNamespace(state=ConnectionState.FAILED)}, [("stream given up", 0.0)]),
        ({"reconciler": SimpleNamespace(stale=True)}, [("stale", 30.0)]),
        ({"access": SimpleNamespace(is_expired=lambda: True)}, [("token", 30.0)]),
        ({"limiter": SimpleNamespace(silent_s=10.5)}, [("ban", 0.0)]),
        (
            {
                "state": SimpleNamespace(
                    orders={
                        name: SimpleNamespace(
                            request_id=name, status=OrderStatus.UNKNOWN, side="buy", size=1, contract_id="NQ"
                        )
                        for name in "AB"
                    }
                )
            },
            [("unknown A", 60.0), ("unknown B", 60.0)],
        ),
    ],
)
def test_each_trouble_has_a_key_of_its_own(changes: dict[str, Any], keys: list[tuple[str, float]]) -> None:
    parts = composition(**changes)
    signs = Signs(AlertConfig(), parts.access, parts.stream, parts.reconciler, parts.limiter, parts.state)
    assert [(sign.key, sign.after_s) for sign in signs()] == keys


async def test_a_watch_that_breaks_is_loud(faultline: Session, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> list[Sign]:
        raise LookupError

    watch = Watch(AlertManager(AlertConfig(), {}), broken)
    watch.start()
    await asyncio.sleep(2)
    assert "the watch died" in caplog.text
    await watch.stop()
