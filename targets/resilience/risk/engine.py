"""The engine: asks the rules before anything is sent and after anything has happened, and carries out what they want.

Three things can bar an opening order: a rule about the order itself, a lock for the rest of the trading day, and the
kill switch. All are asked twice, when the order is proposed and again at the moment of sending, because a retry that
outlives a kill switch is an order that nobody wanted. Locks and the switch survive a restart.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from targets.resilience.alerts import AlertManager, Level
from targets.resilience.errors import StateUnavailableError
from targets.resilience.risk.book import Book
from targets.resilience.risk.config import RiskConfig
from targets.resilience.risk.flatten import Flattener, Trading
from targets.resilience.risk.model import (
    AccountEvent,
    Breach,
    Decision,
    Event,
    OrderEvent,
    PositionEvent,
    Proposal,
    QuoteEvent,
    RiskRejectedError,
    TradeEvent,
)

log = logging.getLogger(__name__)

ALLOWED = Decision(allowed=True)
CLOSE: Final = "close"
_OWN: Final = re.compile(r"[A-Za-z0-9]+x[0-9a-f]+x[0-9]+")
CLOSES_NO_MORE = Decision(False, "flatten", "it could open a position by now")


class RiskStore(Protocol):
    """Where locks, the kill switch and the day's count survive a restart. ``save`` returns when it is durable."""

    async def load(self) -> str | None:
        """What was saved last, None if nothing ever was."""
        ...

    async def save(self, text: str) -> None:
        """Keep ``text``. Raises StateUnavailableError."""
        ...


class RiskEngine:
    """One account's risk. ``wall_s`` is the wall clock, seconds since 1970: trading days and sessions go by it."""

    def __init__(
        self,
        config: RiskConfig,
        trading: Trading,
        *,
        store: RiskStore | None = None,
        alerts: AlertManager | None = None,
        wall_s: Callable[[], float] | None = None,
    ) -> None:
        self._config = config
        self._store = store
        self._alerts = alerts
        self._wall_s = wall_s or _wall_s
        self._zone = ZoneInfo(config.time_zone)
        self._episode = 0
        self._locked_for = ""
        self._killed = ""
        self._label = ""
        self._saved = ""
        self._broken: set[str] = set()
        self._watching: asyncio.Task[None] | None = None
        self.book = Book(multipliers=dict(config.multipliers))
        self._day = self._trading_day()
        self._flattener = Flattener(trading, self.book, self._new_intent, config.flatten_retry_s)

    # Life

    async def start(self, positions: Iterable[PositionEvent] = ()) -> None:
        """Read what was saved, begin with ``positions``, and watch the clock from now on."""
        text = None if self._store is None else await self._store.load()
        if text is not None:
            self._restore(json.loads(text))
            self._saved = text
        self.book.adopt(positions, self.now())
        self._watching = asyncio.create_task(self._watch())
        self._watching.add_done_callback(_report)
        if self._killed:
            self._tell("critical", "kill_switch", f"kill switch: {self._killed}")
            self._flattener.begin()

    async def stop(self) -> None:
        """End the watch. A flattening that runs is given up; the next start takes it up if the switch is still on."""
        tasks = [task for task in (self._watching, self._flattener.task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Before sending

    def check(self, order: Proposal) -> Decision:
        """Whether ``order`` may be sent now. Ask again at the moment of sending: things change while one waits.

        A close of our own is asked one thing only, whether it still closes: no limit may keep a position open.
        """
        self._turn_day()
        now = self.now()
        if self._flattener.owns(order.intent):
            return CLOSES_NO_MORE if self.book.opens(order) else ALLOWED
        if self.book.opens(order):
            for name, reason in (("kill_switch", self._killed), ("locked_for_today", self._locked_for)):
                if reason:
                    return Decision(False, name, reason)
        for rule in self._config.rules:
            if reason := rule.forbids(order, self.book, now):
                return Decision(False, rule.name, reason)
        return ALLOWED

    def admit(self, order: Proposal) -> None:
        """Count ``order`` as live from now on. Raises RiskRejectedError if it may not be sent."""
        decision = self.check(order)
        if not decision.allowed:
            self._tell("info", f"rejected/{decision.rule}/{order.symbol}", f"{order.intent}: {decision.reason}")
            raise RiskRejectedError(decision)
        self.book.sent(order)

    # After something happened

    async def handle_position_event(self, event: PositionEvent) -> None:
        """The venue told a position."""
        await self._handle(event)

    async def handle_trade_event(self, event: TradeEvent) -> None:
        """Something was filled, or a fill was taken back."""
        await self._handle(event)

    async def handle_order_event(self, event: OrderEvent) -> None:
        """More is known, or less, of an order that was sent."""
        await self._handle(event)

    async def handle_quote_event(self, event: QuoteEvent) -> None:
        """A price changed."""
        await self._handle(event)

    async def handle_account_event(self, event: AccountEvent) -> None:
        """The account may or may not trade, or what is known of it became stale or fresh."""
        await self._handle(event)

    def tell(self, *events: Event) -> None:
        """Take in what has happened, and do at once what the rules want. ``save`` makes it durable."""
        self._turn_day()
        for event in events:
            self.book.apply(event, self.now())
        self._flattener.news.set()
        self._judge()

    async def save(self) -> None:
        """Make what was told durable; what cannot be is told of, and tried again every ``check_interval_s``."""
        try:
            await self._save()
        except StateUnavailableError as error:
            # Guarding goes on without a disk.
            self._tell("critical", "risk_state", f"the risk state is not durable: {error}")
        else:
            self._resolve("risk_state")

    async def _handle(self, event: Event) -> None:
        self.tell(event)
        await self.save()

    def _judge(self) -> None:
        """Ask every rule about what has happened, and do what it wants."""
        now = self.now()
        breaches = {
            f"breach/{breach.rule}/{breach.symbol}": breach
            for rule in self._config.rules
            for breach in rule.broken(self.book, now)
        }
        for over in self._broken - breaches.keys():
            self._resolve(over)
        self._broken = set(breaches)
        for key, breach in breaches.items():
            self._remedy(key, breach)

    def _remedy(self, key: str, breach: Breach) -> None:
        level: Level = "warning" if breach.remedy == "alert" else "critical"
        self._tell(level, key, f"{breach.rule}: {breach.reason}")
        if breach.for_today and not self._locked_for:
            self._locked_for = f"{breach.rule}: {breach.reason}"
        if breach.remedy in ("flatten", "flatten_symbol"):
            self._flattener.begin(breach.symbol)

    # The switch

    @property
    def killed(self) -> str:
        """Why the kill switch is on, or the empty string."""
        return self._killed

    @property
    def locked(self) -> str:
        """Why nothing is opened any more today, or the empty string."""
        return self._locked_for

    async def kill(self, reason: str, *, label: str = "") -> None:
        """No opening order is sent from here on, and all is closed. Returns when the switch is durable.

        The ids of the closes begin with ``label``, which is letters and digits. Raises StateUnavailableError: then it
        is on, but not durable yet.
        """
        self._label = label
        self._killed = reason or "no reason given"
        self._tell("critical", "kill_switch", f"kill switch: {self._killed}")
        self._flattener.begin()
        await self._save()

    async def resume(self) -> None:
        """Turn the kill switch off again. Locks for the day stay."""
        self._killed = ""
        self._resolve("kill_switch")
        await self._save()

    async def flatten(self, symbol: str = "") -> None:
        """Cancel and close everything, or ``symbol``; return when nothing is held or live there."""
        await asyncio.shield(self.begin_flattening(symbol))

    def begin_flattening(self, symbol: str = "", *, label: str = "") -> asyncio.Task[None]:
        """The task of :meth:`flatten`. The ids of its closes begin with ``label``."""
        self._label = label
        return self._flattener.begin(symbol)

    @property
    def flattening(self) -> bool:
        """Whether something is being closed."""
        return self._flattener.task is not None

    # Time

    def now(self) -> datetime:
        """The wall clock, in the account's time zone."""
        return datetime.fromtimestamp(self._wall_s(), self._zone)

    def _trading_day(self) -> date:
        now = self.now()
        begins = self._config.day_begins
        # A day that begins in the afternoon is named after the date on which it ends, as exchanges do.
        late = now.time() >= begins
        if begins.hour < 12:
            return now.date() if late else now.date() - timedelta(days=1)
        return now.date() + timedelta(days=1) if late else now.date()

    def _turn_day(self) -> None:
        day = self._trading_day()
        # Only forwards: a clock that is set back does not give anybody a second day.
        if day > self._day:
            self._day = day
            self._locked_for = ""
            self.book.new_day()

    async def _watch(self) -> None:
        alarmed = 0.0
        while True:
            await asyncio.sleep(self._config.check_interval_s)
            self._turn_day()
            self._judge()
            await self.save()
            alarmed = alarmed + self._config.check_interval_s if self._flattener.task is not None else 0.0
            if self._flattener.task is None:
                self._resolve("flatten")
            if alarmed >= self._config.flatten_alarm_s:
                self._tell("critical", "flatten", f"not flat: {sorted(self._flattener.scope)}")
                alarmed = 0.0

    # What survives

    def _new_intent(self) -> str:
        # Never the same id for two orders, and closing must not wait for a disk: the clock tells processes apart, the
        # count tells orders of one process apart, and it is saved in case that the clock is set back.
        self._episode += 1
        at_ms = int(self._wall_s() * 1000)
        # Some venues take letters and digits only.
        return f"{self._label or CLOSE}x{at_ms:x}x{self._episode}"

    async def _save(self) -> None:
        if self._store is None:
            return
        text = json.dumps(
            {
                "day": self._day.isoformat(),
                "episode": self._episode,
                "killed": self._killed,
                "label": self._label if self._killed else "",
                "locked_for": self._locked_for,
                "realized": str(self.book.realized),
                "peak": str(self.book.peak),
                "last_loss": self.book.last_loss and self.book.last_loss.isoformat(),
                "entries": [entry.isoformat() for entry in self.book.entries],
            }
        )
        if text != self._saved:
            await self._store.save(text)
            self._saved = text

    def _restore(self, data: dict[str, Any]) -> None:
        self._episode = int(str(data["episode"]))
        self._killed = str(data["killed"])
        self._label = str(data.get("label", ""))
        if date.fromisoformat(str(data["day"])) < self._day:
            return
        self._day = date.fromisoformat(str(data["day"]))
        self._locked_for = str(data["locked_for"])
        self.book.realized, self.book.peak = Decimal(str(data["realized"])), Decimal(str(data["peak"]))
        self.book.last_loss = datetime.fromisoformat(str(data["last_loss"])) if data["last_loss"] else None
        self.book.entries.extend(datetime.fromisoformat(entry) for entry in data["entries"])

    def _tell(self, level: Level, key: str, text: str) -> None:
        log.log(logging.CRITICAL if level == "critical" else logging.WARNING, "%s", text)
        if self._alerts is not None:
            self._alerts.raise_alert(level, key, text)

    def _resolve(self, key: str) -> None:
        if self._alerts is not None:
            self._alerts.resolve(key)


def is_close(intent: str) -> bool:
    """Whether an order was sent to close a position, by what it is called."""
    return _OWN.fullmatch(intent) is not None


def _wall_s() -> float:
    return time.time()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the risk watch died; nothing is guarded any more", exc_info=error)
