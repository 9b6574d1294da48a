"""The JSON of Binance and MEXC spot: what orders, trades, accounts and markets look like. No behaviour.

Amounts have eight decimals, as the venues write them. ``cummulativeQuoteQty`` is their spelling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from faultline.venues.broker import Fill, Order, plain
from faultline.venues.profiles.account import Balance
from faultline.venues.profiles.binance.dialect import Dialect
from faultline.venues.profiles.journal import Journal
from faultline.venues.profiles.market import Instrument, Level, decimals
from faultline.venues.wire import Json

STATUS: Final = {
    "new": "NEW",
    "partially_filled": "PARTIALLY_FILLED",
    "filled": "FILLED",
    "pending_cancel": "PENDING_CANCEL",
    "canceled": "CANCELED",
    "rejected": "REJECTED",
    "expired": "EXPIRED",
}
_NOTHING: Final = "0.00000000"


def eight(number: Decimal | None) -> str:
    """An amount with eight decimals; zero for none."""
    return _NOTHING if number is None else f"{number:.8f}"


class Teller:
    """Turns the ledger's values into the venue's JSON. ``as_of`` is a time in the past; None is now."""

    def __init__(self, dialect: Dialect, journal: Journal, instruments: Mapping[str, Instrument]) -> None:
        self._dialect = dialect
        self._journal = journal
        self._instruments = instruments
        self.immediate: dict[str, str] = {}
        """IOC or FOK, by the client order id of orders that were sent with it."""

    def id(self, number: str) -> int | str:
        """An id as it stands in JSON."""
        return int(number) if self._dialect.numeric_ids else number

    def status(self, order: Order) -> str:
        """The state of an order in the venue's words."""
        if order.status == "canceled" and order.filled:
            return self._dialect.partly_canceled
        return STATUS[order.status]

    def _head(self, order: Order) -> dict[str, object]:
        return {
            "symbol": order.symbol,
            "orderId": self.id(order.order_id),
            "orderListId": -1,
            "clientOrderId": order.client_order_id or "",
        }

    def _body(self, order: Order, as_of: float | None) -> dict[str, object]:
        executed = self._journal.executed(order.order_id, as_of)
        return {
            "price": eight(order.price),
            "origQty": eight(order.quantity),
            "executedQty": eight(order.filled),
            "origQuoteOrderQty": _NOTHING,
            "cummulativeQuoteQty": eight(executed.value),
            "status": self.status(order),
            "timeInForce": self.time_in_force(order),
            "type": self.type(order),
            "side": order.side.upper(),
            "selfTradePreventionMode": "NONE",
        }

    def time_in_force(self, order: Order) -> str:
        """GTC, IOC or FOK."""
        at_once = order.type == "market" and order.price is not None
        return self.immediate.get(order.client_order_id or "", "IOC") if at_once else "GTC"

    def type(self, order: Order) -> str:
        """LIMIT or MARKET. An IOC order is one for the market to the engine, with a price of its own."""
        return "MARKET" if order.price is None else "LIMIT"

    def order(self, order: Order, as_of: float | None = None) -> Json:
        """As a query answers."""
        times = self._journal.times(order.order_id, as_of)
        return {
            **self._head(order),
            **self._body(order, as_of),
            "stopPrice": _NOTHING,
            "icebergQty": _NOTHING,
            "time": times.created_ms,
            "updateTime": times.updated_ms,
            "isWorking": True,
            "workingTime": times.created_ms,
        }

    def placed(self, order: Order, response_type: str) -> Json:
        """As the answer to a new order: ``ACK``, ``RESULT`` or ``FULL``."""
        created_ms = self._journal.times(order.order_id).created_ms
        ack = {**self._head(order), "transactTime": created_ms}
        if not self._dialect.status_in_ack:
            told = ("price", "origQty", "type", "side")
            return {**ack, **{name: value for name, value in self._body(order, None).items() if name in told}}
        if response_type == "ACK":
            return ack
        result = {**ack, **self._body(order, None), "workingTime": created_ms}
        if response_type == "RESULT":
            return result
        fills = [
            {
                "price": eight(fill.price),
                "qty": eight(fill.quantity),
                "commission": eight(fill.fee),
                "commissionAsset": self._instruments[fill.symbol].quote,
                "tradeId": self.id(fill.fill_id),
            }
            for fill in self._journal.fills(order.order_id)
        ]
        return {**result, "fills": fills}

    def canceled(self, order: Order, cancel_id: str) -> Json:
        """As the answer to a cancel, which has a client id of its own."""
        times = self._journal.times(order.order_id)
        head = {**self._head(order), "clientOrderId": cancel_id}
        own = {"origClientOrderId": order.client_order_id or "", "transactTime": times.updated_ms}
        return {**head, **own, **self._body(order, None)}

    def trade(self, fill: Fill, *, maker: bool) -> Json:
        """A fill, as ``myTrades`` lists it."""
        return {
            "symbol": fill.symbol,
            "id": self.id(fill.fill_id),
            "orderId": self.id(fill.order_id),
            "orderListId": -1,
            "clientOrderId": fill.client_order_id or "",
            "price": eight(fill.price),
            "qty": eight(fill.quantity),
            "quoteQty": eight(fill.price * fill.quantity),
            "commission": eight(fill.fee),
            "commissionAsset": self._instruments[fill.symbol].quote,
            "time": self._journal.filled_ms(fill.fill_id),
            "isBuyer": fill.side == "buy",
            "isMaker": maker,
            "isBestMatch": True,
        }


def balances_json(balances: Mapping[str, Balance]) -> list[Json]:
    """Balances, as ``account`` lists them."""
    return [
        {"asset": asset, "free": eight(balance.free), "locked": eight(balance.locked)}
        for asset, balance in balances.items()
    ]


def account_json(balances: Mapping[str, Balance], fee: float, now_ms: int) -> Json:
    """The account."""
    rate = eight(Decimal(str(fee)))
    points = round(fee * 10_000)
    return {
        "makerCommission": points,
        "takerCommission": points,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": rate, "taker": rate, "buyer": _NOTHING, "seller": _NOTHING},
        "canTrade": True,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": now_ms,
        "accountType": "SPOT",
        "balances": balances_json(balances),
        "permissions": ["SPOT"],
        "uid": 1,
    }


def depth_json(last: int, levels: tuple[Iterable[Level], Iterable[Level]]) -> Json:
    """A snapshot of a book."""
    return {"lastUpdateId": last, "bids": list(levels[0]), "asks": list(levels[1])}


def symbol_json(instrument: Instrument) -> Json:
    """An instrument, as Binance's ``exchangeInfo`` lists it."""
    tick, step = plain(instrument.tick), plain(instrument.step)
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000.00", "stepSize": step},
            {
                "filterType": "NOTIONAL",
                "minNotional": plain(instrument.notional_min),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def mexc_symbol_json(instrument: Instrument, fee: float) -> Json:
    """An instrument, as MEXC's ``exchangeInfo`` lists it."""
    return {
        "symbol": instrument.symbol,
        "status": "1",
        "baseAsset": instrument.base,
        "baseAssetPrecision": decimals(instrument.step),
        "quoteAsset": instrument.quote,
        "quotePrecision": decimals(instrument.tick),
        "quoteAssetPrecision": decimals(instrument.tick),
        "baseCommissionPrecision": decimals(instrument.step),
        "quoteCommissionPrecision": decimals(instrument.tick),
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": plain(instrument.notional_min),
        "baseSizePrecision": plain(instrument.step),
        "permissions": ["SPOT"],
        "filters": [],
        "maxQuoteAmount": "2000000",
        "makerCommission": str(fee),
        "takerCommission": str(fee),
    }
