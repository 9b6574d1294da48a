"""What a scenario may set about every spot venue, and the contract that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Final

from faultline.history.contract import ClientPolicy, Contract, IdempotencyScope, RateBucket
from faultline.units import Fraction, Seconds
from faultline.venues.profiles.market import Instrument
from faultline.venues.settings import TradingSettings

KEY: Final = "faultline-key"
SECRET: Final = "faultline-secret"
"""What every client of a simulated spot venue signs with."""
DAY_S: Final = 86_400.0
_FUNDS: Final = {"USDT": 10_000_000, "BTC": 10_000, "ETH": 10_000}


@dataclass(frozen=True, kw_only=True)
class SpotSettings(TradingSettings):
    """What a scenario may set about any of the spot venues; docs/venues.md has the meaning. Raises ValueError."""

    name: ClassVar[str]
    joint: ClassVar[str] = ""

    fee: Fraction = 0.001
    symbols: tuple[str, ...] = ("BTC/USDT", "ETH/USDT")
    funds: Mapping[str, int] = field(default_factory=lambda: dict(_FUNDS))
    tick: str = "0.01"
    step: str = "0.00001"
    notional_min: int = 5
    book_every_s: Seconds = 1.0
    maintenance_at_s: Seconds | None = None
    maintenance_for_s: Seconds = 60.0
    maintenance_notice_s: Seconds = 10.0

    def __post_init__(self) -> None:
        if not self.symbols:
            raise ValueError("symbols is empty; name at least one pair, such as BTC/USDT")
        for symbol in self.symbols:
            base, slash, quote = symbol.partition("/")
            if not slash or not all(name.isascii() and name.isalnum() and name.isupper() for name in (base, quote)):
                raise ValueError(f"symbols has {symbol!r}; write a pair in capitals, such as BTC/USDT")
        for name, step in (("tick", self.tick), ("step", self.step)):
            if _decimal(step) <= 0:
                raise ValueError(f"{name} is {step!r}; write a positive decimal in quotes, such as '0.01'")
        if any(amount < 0 for amount in self.funds.values()) or self.notional_min < 0:
            raise ValueError("funds and notional_min are zero or more")
        if self.book_every_s <= 0:
            raise ValueError("book_every must be more than zero")

    def instruments(self) -> list[Instrument]:
        """What is traded."""
        pairs = (symbol.split("/") for symbol in self.symbols)
        steps = (Decimal(self.tick), Decimal(self.step), Decimal(self.notional_min))
        return [Instrument(base, quote, *steps, joint=self.joint) for base, quote in pairs]

    def scope(self) -> IdempotencyScope:
        """What a repeated client order id gets."""
        raise TypeError(f"{type(self).__name__} does not say what a repeated client order id gets")

    def buckets(self) -> tuple[RateBucket, ...]:
        """The rate limits."""
        return ()

    def contract(self, policy: ClientPolicy) -> Contract:
        """The rules of a run against a venue with these settings."""
        return Contract(
            venue=self.name,
            idempotency=self.scope(),
            buckets=self.buckets(),
            sequenced=False,
            read_lag_s=self.read_lag_s,
            settle_s=self.settle_s,
            policy=policy,
        )


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return number if number.is_finite() else Decimal(0)
