"""Each rule: what it forbids, what it lets through, what it calls broken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest

from targets.resilience.risk import RULES, AccountEvent, Book, OrderEvent, Proposal, QuoteEvent, Rule, TradeEvent
from targets.resilience.risk import rules as r

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
Step = Callable[[Book], None]


def bought(quantity: int, price: int = 100, symbol: str = "NQ", at: datetime = NOW) -> Step:
    def step(book: Book) -> None:
        book.apply(
            TradeEvent(f"T{book.realized}{len(book.entries)}{price}", symbol, "buy", Decimal(quantity), Decimal(price)),
            at,
        )

    return step


def sold(quantity: int, price: int = 100, at: datetime = NOW) -> Step:
    return lambda book: book.apply(
        TradeEvent(f"S{price}{quantity}", "NQ", "sell", Decimal(quantity), Decimal(price)), at
    )


def live(intent: str, side: str, quantity: int, symbol: str = "NQ", *, stop: bool = False, sure: bool = True) -> Step:
    def step(book: Book) -> None:
        book.sent(Proposal(intent, symbol, side, Decimal(quantity), stop=stop))  # type: ignore[arg-type]
        book.apply(OrderEvent(intent, "open" if sure else "unknown"), NOW)

    return step


def quote(price: int) -> Step:
    return lambda book: book.apply(QuoteEvent("NQ", Decimal(price)), NOW)


def account(*, can_trade: bool = True, stale: bool = False) -> Step:
    return lambda book: book.apply(AccountEvent(can_trade, stale), NOW)


def after(*steps: Step) -> Book:
    book = Book()
    for step in steps:
        step(book)
    return book


BUY = Proposal("new", "NQ", "buy", Decimal(2), Decimal(100))
SELL = Proposal("new", "NQ", "sell", Decimal(2), Decimal(100))

FORBIDDEN: list[tuple[Rule, list[Step], Proposal]] = [
    (r.MaxOrderSize(Decimal(1)), [], BUY),
    (r.MaxContracts(Decimal(5)), [bought(4)], BUY),
    (r.MaxContracts(Decimal(5)), [live("u", "buy", 4, sure=False)], BUY),
    (r.MaxContracts(Decimal(5)), [live("u", "sell", 4, "ES")], BUY),
    (r.MaxContracts(Decimal(5)), [sold(4)], SELL),
    (r.MaxContractsPerInstrument(Decimal(5)), [bought(4)], BUY),
    (r.MaxContractsPerInstrument(Decimal(99), (("NQ", Decimal(5)),)), [live("u", "buy", 4)], BUY),
    (r.MaxOpenOrders(2), [live("a", "buy", 1), live("b", "sell", 1, "ES", sure=False)], BUY),
    (r.MaxNotional(Decimal(399)), [bought(2)], BUY),
    (r.MaxNotional(Decimal(399)), [], Proposal("new", "NQ", "buy", Decimal(1))),
    (r.PriceCollar(Decimal("0.05")), [quote(100)], Proposal("new", "NQ", "buy", Decimal(1), Decimal(106))),
    (r.PriceCollar(Decimal("0.05")), [quote(100)], Proposal("new", "NQ", "sell", Decimal(1), Decimal(94))),
    (r.SymbolBlocks(frozenset({"NQ"})), [], BUY),
    (r.TradeFrequencyLimit(2, 60), [bought(1), bought(1, 101)], BUY),
    (r.TradeFrequencyLimit(2, 60), [bought(1), live("u", "buy", 1, sure=False)], BUY),
    (r.CooldownAfterLoss(60), [bought(1), sold(1, 90)], BUY),
    (r.SessionHours(time(9), time(15)), [], BUY),
    (r.SessionHours(time(18), time(9)), [], BUY),
    (r.AuthLossGuard(), [account(can_trade=False)], BUY),
    (r.StaleStateGuard(), [account(stale=True)], BUY),
]

ALLOWED: list[tuple[Rule, list[Step], Proposal]] = [
    (r.MaxOrderSize(Decimal(2)), [], BUY),
    (r.MaxContracts(Decimal(5)), [bought(3)], BUY),
    (r.MaxContracts(Decimal(5)), [bought(9)], SELL),
    (r.MaxContractsPerInstrument(Decimal(5)), [bought(3)], BUY),
    (r.MaxContractsPerInstrument(Decimal(5)), [bought(9)], SELL),
    (r.MaxOpenOrders(2), [live("a", "buy", 1)], BUY),
    (r.MaxOpenOrders(1), [bought(5), live("a", "buy", 1)], SELL),
    (r.MaxNotional(Decimal(400)), [bought(2)], BUY),
    (r.MaxNotional(Decimal(1)), [bought(2)], SELL),
    (r.PriceCollar(Decimal("0.05")), [quote(100)], Proposal("new", "NQ", "buy", Decimal(1), Decimal(105))),
    (r.PriceCollar(Decimal("0.05")), [quote(100)], Proposal("new", "NQ", "buy", Decimal(1), Decimal(50))),
    (r.PriceCollar(Decimal("0.05")), [], Proposal("new", "NQ", "buy", Decimal(1), Decimal(105))),
    (r.SymbolBlocks(frozenset({"ES"})), [], BUY),
    (r.SymbolBlocks(frozenset({"NQ"})), [bought(2)], SELL),
    (r.TradeFrequencyLimit(2, 60), [bought(1), bought(1, 101, at=NOW - timedelta(seconds=61))], BUY),
    (r.TradeFrequencyLimit(1, 60), [bought(2)], SELL),
    (r.CooldownAfterLoss(60), [bought(1), sold(1, 90, NOW - timedelta(seconds=60))], BUY),
    (r.CooldownAfterLoss(60), [bought(3), sold(1, 90)], SELL),
    (r.CooldownAfterLoss(60), [bought(1), sold(1, 110)], BUY),
    (r.SessionHours(time(9), time(16)), [], BUY),
    (r.SessionHours(time(15), time(9)), [], BUY),
    (r.SessionHours(time(9), time(15)), [bought(2)], SELL),
    (r.AuthLossGuard(), [account()], BUY),
    (r.AuthLossGuard(), [bought(2), account(can_trade=False)], SELL),
    (r.StaleStateGuard(), [account()], BUY),
    (r.DailyRealizedLoss(Decimal(10)), [bought(1), sold(1, 90)], BUY),
    (r.NoStopLossGrace(1), [], BUY),
]

LATER = timedelta(seconds=11)

BROKEN: list[tuple[Rule, list[Step], str]] = [
    (r.MaxContracts(Decimal(3)), [bought(4)], "flatten"),
    (r.MaxContractsPerInstrument(Decimal(3)), [bought(4)], "flatten_symbol"),
    (r.SymbolBlocks(frozenset({"NQ"})), [bought(1)], "flatten_symbol"),
    (r.DailyRealizedLoss(Decimal(10)), [bought(1), sold(1, 90)], "flatten"),
    (r.DailyTotalLoss(Decimal(10)), [bought(2), sold(1, 95), quote(95)], "flatten"),
    (r.DailyProfitTarget(Decimal(10)), [bought(1), sold(1, 110)], "flatten"),
    (r.MaxDrawdown(Decimal(10)), [bought(1), quote(120), quote(110)], "flatten"),
    (r.MaxUnrealizedLoss(Decimal(10)), [bought(1), quote(90)], "flatten_symbol"),
    (r.MaxUnrealizedProfit(Decimal(10)), [sold(1), quote(90)], "flatten_symbol"),
    (r.SessionHours(time(9), time(15)), [bought(1)], "flatten"),
    (r.SessionHours(time(9), time(15)), [live("a", "buy", 1)], "flatten"),
    (r.NoStopLossGrace(10), [bought(2, at=NOW - LATER)], "flatten_symbol"),
    (r.NoStopLossGrace(10), [bought(2, at=NOW - LATER), live("s", "sell", 1, stop=True)], "flatten_symbol"),
    (r.NoStopLossGrace(10), [bought(2, at=NOW - LATER), live("s", "sell", 2, stop=True, sure=False)], "flatten_symbol"),
    (r.NoStopLossGrace(10), [sold(2, at=NOW - LATER), live("s", "sell", 2, stop=True)], "flatten_symbol"),
    (r.AuthLossGuard(), [account(can_trade=False)], "alert"),
]

SOUND: list[tuple[Rule, list[Step]]] = [
    (r.MaxContracts(Decimal(4)), [bought(4)]),
    (r.MaxContractsPerInstrument(Decimal(4)), [bought(4)]),
    (r.SymbolBlocks(frozenset({"NQ"})), [bought(1), sold(1)]),
    (r.DailyRealizedLoss(Decimal(10)), [bought(1), sold(1, 91)]),
    (r.DailyTotalLoss(Decimal(10)), [bought(2), sold(1, 95), quote(96)]),
    (r.DailyProfitTarget(Decimal(10)), [bought(1), sold(1, 109)]),
    (r.MaxDrawdown(Decimal(10)), [bought(1), quote(120), quote(111)]),
    (r.MaxUnrealizedLoss(Decimal(10)), [bought(1), quote(91)]),
    (r.MaxUnrealizedProfit(Decimal(10)), [sold(1), quote(91)]),
    (r.SessionHours(time(9), time(15)), []),
    (r.SessionHours(time(9), time(16)), [bought(1)]),
    (r.NoStopLossGrace(10), [bought(2)]),
    (r.NoStopLossGrace(10), [bought(2, at=NOW - LATER), live("s", "sell", 2, stop=True)]),
    (r.AuthLossGuard(), [account()]),
    (r.MaxOrderSize(Decimal(1)), [bought(4)]),
]


def names(cases: list[tuple[Rule, ...]]) -> list[str]:  # type: ignore[type-arg]
    return [f"{case[0].name}-{number}" for number, case in enumerate(cases)]


@pytest.mark.parametrize(("rule", "steps", "order"), FORBIDDEN, ids=names(FORBIDDEN))  # type: ignore[arg-type]
def test_a_rule_forbids(rule: Rule, steps: list[Step], order: Proposal) -> None:
    assert rule.forbids(order, after(*steps), NOW)


@pytest.mark.parametrize(("rule", "steps", "order"), ALLOWED, ids=names(ALLOWED))  # type: ignore[arg-type]
def test_a_rule_lets_through(rule: Rule, steps: list[Step], order: Proposal) -> None:
    assert rule.forbids(order, after(*steps), NOW) == ""


@pytest.mark.parametrize(("rule", "steps", "remedy"), BROKEN, ids=names(BROKEN))  # type: ignore[arg-type]
def test_a_rule_is_broken_by_what_has_happened(rule: Rule, steps: list[Step], remedy: str) -> None:
    (breach,) = rule.broken(after(*steps), NOW)
    assert (breach.rule, breach.remedy) == (rule.name, remedy)
    assert breach.for_today == isinstance(rule, r._DayRule)
    assert breach.symbol == ("NQ" if remedy == "flatten_symbol" else "")


@pytest.mark.parametrize(("rule", "steps"), SOUND, ids=names(SOUND))  # type: ignore[arg-type]
def test_a_rule_is_content(rule: Rule, steps: list[Step]) -> None:
    assert rule.broken(after(*steps), NOW) == []


def test_every_rule_is_in_the_table_and_in_these_cases() -> None:
    tried = {type(case[0]) for case in (*FORBIDDEN, *BROKEN)}
    assert tried == set(RULES.values())
    assert len(RULES) >= 12


def test_a_day_rule_alone_has_no_opinion() -> None:
    assert r._DayRule(Decimal(1)).broken(Book(), NOW) == []
