"""Alerts: deduplicated by key, throttled by channel, never lost in silence, never in anybody's way."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from aiohttp import web

from faultline.session import Session
from targets.resilience.alerts import (
    Alert,
    AlertConfig,
    AlertManager,
    CallbackChannel,
    FileChannel,
    LogChannel,
    WebhookChannel,
)


class Inbox:
    """A channel that remembers, and fails or hangs when told."""

    def __init__(self, fails: int = 0, takes_s: float = 0.0) -> None:
        self.fails = fails
        self.takes_s = takes_s
        self.got: list[Alert] = []

    async def send(self, alert: Alert) -> None:
        await asyncio.sleep(self.takes_s)
        if self.fails:
            self.fails -= 1
            raise OSError("no route")
        self.got.append(alert)

    @property
    def keys(self) -> list[str]:
        return [alert.key for alert in self.got]


async def manager(config: AlertConfig | None = None, **channels: Inbox) -> AlertManager:
    made = AlertManager(config or AlertConfig(), channels)
    await made.start()
    return made


async def test_one_key_goes_out_once_per_window_and_other_keys_are_not_held_back(faultline: Session) -> None:
    inbox = Inbox()
    alerts = await manager(inbox=inbox)
    sent = [alerts.raise_alert("warning", "feed/NQ", "stale") for _ in range(5)]
    assert sent == [True, False, False, False, False]
    assert alerts.raise_alert("warning", "feed/ES", "stale")
    await asyncio.sleep(299)
    assert inbox.keys == ["feed/NQ", "feed/ES"]
    await asyncio.sleep(40)
    assert inbox.keys == ["feed/NQ", "feed/ES", "feed/NQ"]
    assert inbox.got[-1].suppressed == 4, "what was held back is told when the window is over"
    await asyncio.sleep(2000)
    assert alerts.active == ()
    await alerts.stop()


async def test_a_resolved_condition_is_armed_again_and_people_hear_that_it_is_over(faultline: Session) -> None:
    inbox = Inbox()
    alerts = await manager(inbox=inbox)
    alerts.raise_alert("critical", "down", "no venue")
    alerts.resolve("down")
    alerts.resolve("never-raised")
    assert alerts.raise_alert("critical", "down", "again")
    await asyncio.sleep(1)
    assert [(alert.text, alert.resolved) for alert in inbox.got] == [
        ("no venue", False),
        ("no venue", True),
        ("again", False),
    ]
    await alerts.stop()


async def test_a_critical_condition_that_lasts_is_repeated_and_one_that_got_worse_goes_out(faultline: Session) -> None:
    inbox = Inbox()
    alerts = await manager(inbox=inbox)
    assert alerts.raise_alert("warning", "k", "a little")
    await asyncio.sleep(1)
    assert alerts.raise_alert("critical", "k", "a lot")
    assert not alerts.raise_alert("warning", "k", "a little")
    await asyncio.sleep(950)
    assert [alert.text for alert in inbox.got] == ["a little", "a lot", "a lot"]
    assert inbox.got[-1].suppressed == 1
    await alerts.stop()


async def test_a_slow_channel_delays_neither_the_caller_nor_another_channel(faultline: Session) -> None:
    slow, quick = Inbox(takes_s=9), Inbox()
    alerts = await manager(slow=slow, quick=quick)
    before = asyncio.get_running_loop().time()
    for number in range(5):
        alerts.raise_alert("warning", f"k{number}", "x")
    assert asyncio.get_running_loop().time() == before
    await asyncio.sleep(0.001)
    assert len(quick.got) == 5
    assert slow.got == []
    await asyncio.sleep(46)
    assert len(slow.got) == 5
    await alerts.stop()


async def test_a_channel_that_fails_is_tried_again_and_what_is_lost_is_counted(faultline: Session) -> None:
    shaky, dead, hanging = Inbox(fails=2), Inbox(fails=99), Inbox(takes_s=1e9)
    alerts = await manager(shaky=shaky, dead=dead, hanging=hanging)
    alerts.raise_alert("info", "k", "x")
    await asyncio.sleep(60)
    assert shaky.keys == ["k"]
    assert alerts.undelivered == {"shaky": 0, "dead": 1, "hanging": 1}
    await alerts.stop()


async def test_a_storm_is_throttled_per_channel_and_critical_ones_go_first(faultline: Session) -> None:
    inbox = Inbox()
    alerts = await manager(AlertConfig(throttle_alerts=3, throttle_window_s=60), inbox=inbox)
    for number in range(6):
        alerts.raise_alert("warning", f"w{number}", "x")
    await asyncio.sleep(1)
    assert inbox.keys == ["w0", "w1", "w2"]
    alerts.raise_alert("critical", "c", "x")
    await asyncio.sleep(1)
    assert inbox.keys[-1] == "c"
    await asyncio.sleep(125)
    assert inbox.keys == ["w0", "w1", "w2", "c", "w3", "w4", "w5"]
    await alerts.stop()


async def test_a_full_queue_loses_the_oldest_that_is_not_critical_and_counts_it(faultline: Session) -> None:
    inbox = Inbox()
    alerts = AlertManager(AlertConfig(queue_size=2), {"inbox": inbox})
    alerts.raise_alert("critical", "c1", "x")
    alerts.raise_alert("info", "i1", "x")
    alerts.raise_alert("info", "i2", "x")
    alerts.raise_alert("critical", "c2", "x")
    alerts.raise_alert("info", "i3", "x")
    alerts.raise_alert("critical", "c3", "x")
    assert alerts.undelivered == {"inbox": 4}
    await alerts.start()
    await alerts.stop()
    assert inbox.keys == ["c2", "c3"]


async def test_what_is_queued_is_delivered_before_the_end_but_not_for_ever(faultline: Session) -> None:
    quick, stuck = Inbox(takes_s=1), Inbox(takes_s=1e9)
    alerts = await manager(quick=quick)
    alerts.raise_alert("info", "k", "x")
    await alerts.stop()
    assert quick.keys == ["k"]
    alerts = await manager(stuck=stuck)
    alerts.raise_alert("info", "k", "x")
    before = asyncio.get_running_loop().time()
    await alerts.stop(drain_s=5)
    assert asyncio.get_running_loop().time() - before == pytest.approx(5)


async def test_alerts_below_the_least_level_go_nowhere(faultline: Session) -> None:
    inbox = Inbox()
    alerts = await manager(AlertConfig(level_min="warning"), inbox=inbox)
    assert not alerts.raise_alert("info", "k", "x")
    await alerts.stop()
    assert inbox.got == []


async def test_the_channels_that_come_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    posted: list[object] = []

    async def hook(request: web.Request) -> web.Response:
        posted.append((request.headers["X-Key"], await request.json()))
        return web.Response(status=200 if len(posted) == 1 else 500)

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    alert = Alert("critical", "k", "line\nbreak", 1.5, suppressed=2)
    webhook = WebhookChannel(f"http://127.0.0.1:{port}/hook", {"X-Key": "secret"})
    try:
        await webhook.send(alert)
        with pytest.raises(Exception, match="the webhook answered 500"):
            await webhook.send(alert)
    finally:
        await runner.cleanup()
    assert posted[0] == ("secret", _fields(alert))

    file = tmp_path / "alerts.jsonl"
    for _ in range(2):
        await FileChannel(file).send(alert)
    assert [json.loads(line) for line in file.read_text().splitlines()] == [_fields(alert)] * 2

    with caplog.at_level(logging.INFO):
        await LogChannel().send(Alert("critical", "k", "over", 1.5, resolved=True))
    assert "resolved k (0 more): over" in caplog.text

    got: list[Alert] = []

    async def note(told: Alert) -> None:
        got.append(told)

    await CallbackChannel(note).send(alert)
    assert got == [alert]


def _fields(alert: Alert) -> dict[str, object]:
    return {name: getattr(alert, name) for name in ("level", "key", "text", "raised_at_s", "suppressed", "resolved")}


def test_the_configuration_says_where_alerts_go(tmp_path: Path) -> None:
    assert list(AlertConfig().channels()) == ["log"]
    more = AlertConfig(file=str(tmp_path / "alerts.jsonl"), webhook_url="https://hooks.example/1").channels()
    assert {name: type(channel) for name, channel in more.items()} == {
        "log": LogChannel,
        "file": FileChannel,
        "webhook": WebhookChannel,
    }
