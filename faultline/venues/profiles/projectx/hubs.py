"""ProjectX's two hubs: what can be subscribed to, and what subscribers are told.

``user`` tells of the account's orders, trades, positions and balance; ``market`` of quotes, trades and depth of
contracts. The market moves by itself while somebody watches: there is no counterparty, so it is scenery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from faultline.venues.base import Connection, Context, Message, Request
from faultline.venues.matching import MARKET_PRICE
from faultline.venues.profiles.projectx.settings import ProjectXSettings
from faultline.venues.profiles.projectx.wire import TICK_SIZE, contract_id, iso, symbol_id
from faultline.venues.signalr import HubError, Hubs

USER_HUB: Final = "/hubs/user"
MARKET_HUB: Final = "/hubs/market"
HUBS: Final[Mapping[str, str]] = {USER_HUB: "user", MARKET_HUB: "market"}

_USER: Final = {
    "accounts": "GatewayUserAccount",
    "orders": "GatewayUserOrder",
    "positions": "GatewayUserPosition",
    "trades": "GatewayUserTrade",
}
_MARKET: Final = {
    "contractquotes": "GatewayQuote",
    "contracttrades": "GatewayTrade",
    "contractmarketdepth": "GatewayDepth",
}
_EVENTS: Final = {"user": _USER, "market": _MARKET}


class Feeds:
    """Subscriptions of both hubs. ``on_subscribed(connection, hub, event)`` hears of new ones."""

    def __init__(
        self,
        settings: ProjectXSettings,
        context: Context,
        *,
        authorized: Callable[[Request], bool],
        on_subscribed: Callable[[Connection, str, str], None],
    ) -> None:
        self._settings = settings
        self._context = context
        self._on_subscribed = on_subscribed
        self.hubs = Hubs(context, settings, HUBS, authorized=authorized, invoke=self._invoke)
        self._contracts = {contract_id(symbol): symbol for symbol in settings.symbols}
        self._effects: dict[tuple[str, str], int] = {}
        self._moves = 0
        self._moving = False

    def _invoke(self, connection: Connection, hub: str, method: str, arguments: tuple[Any, ...]) -> None:
        # Names of hub methods are not case-sensitive.
        name = method.lower()
        leaves = name.startswith("unsubscribe")
        event = _EVENTS[hub].get(name.removeprefix("unsubscribe" if leaves else "subscribe"))
        if event is None or not name.startswith(("subscribe", "unsubscribe")):
            raise HubError(f"Unknown hub method '{method}'")
        if arguments != () if event == "GatewayUserAccount" else not self._known(hub, arguments):
            raise HubError(f"Failed to invoke '{method}' due to an error on the server.")
        if leaves:
            self.hubs.leave(connection, event, *arguments)
            return
        self.hubs.join(connection, event, *arguments)
        self._on_subscribed(connection, hub, event)
        if hub == "market" and not self._moving:
            self._moving = True
            self._context.call_later(self._settings.quote_every_s, self._move)

    def _known(self, hub: str, arguments: tuple[Any, ...]) -> bool:
        if len(arguments) != 1:
            return False
        if hub == "user":
            return bool(arguments[0] == self._settings.account)
        return isinstance(arguments[0], str) and arguments[0] in self._contracts

    # What is told

    def tell_user(self, event: str, data: Mapping[str, Any], entity: str, subject: str) -> None:
        """Tell the subscribers of the user hub. ``entity`` is the intent that this is about."""
        group = (event,) if event == "GatewayUserAccount" else (event, self._settings.account)
        self._tell(group, (data,), entity, subject)

    def _tell(self, group: tuple[object, ...], arguments: tuple[object, ...], entity: str, subject: str = "") -> None:
        members = self.hubs.members(*group)
        if not members:
            return
        event = str(group[0])
        kth = self._effects[event, entity] = self._effects.get((event, entity), 0) + 1
        message = Message(event, "", entity=f"{entity}/{kth}", subject=subject)
        for connection in members:
            self.hubs.invoke(connection, event, arguments, message)

    def _move(self) -> None:
        """One step of the market, and the next while anybody watches."""
        watched = [
            contract for contract in self._contracts
            if any(self.hubs.members(event, contract) for event in _MARKET.values())
        ]  # fmt: skip
        self._moving = bool(watched)
        if not watched:
            return
        self._moves += 1
        for contract in watched:
            self._move_one(contract)
        self._context.call_later(self._settings.quote_every_s, self._move)

    def _move_one(self, contract: str) -> None:
        symbol = self._contracts[contract]
        chance = self._context.chance("market", contract, self._moves)
        price = MARKET_PRICE + TICK_SIZE * chance.chosen(range(-8, 9))
        volume = chance.chosen(range(1, 10))
        now = iso(round(self._context.wall_s() * 1000))
        quote = _quote(symbol, price, volume * self._moves, now)
        trade = {"symbolId": symbol_id(symbol), "price": price, "timestamp": now, "type": 0, "volume": volume}
        depth = {"timestamp": now, "type": 4, "price": price - TICK_SIZE, "volume": volume, "currentVolume": volume}
        self._tell(("GatewayQuote", contract), (contract, quote), "-")
        self._tell(("GatewayTrade", contract), (contract, trade), "-")
        self._tell(("GatewayDepth", contract), (contract, depth), "-")


def _quote(symbol: str, price: Decimal, volume: int, now: str) -> Mapping[str, Any]:
    return {
        "symbol": symbol_id(symbol),
        "symbolName": f"/{symbol}",
        "lastPrice": price,
        "bestBid": price - TICK_SIZE,
        "bestAsk": price + TICK_SIZE,
        "change": price - MARKET_PRICE,
        "changePercent": (price - MARKET_PRICE) / MARKET_PRICE,
        "open": MARKET_PRICE,
        "high": MARKET_PRICE + 8 * TICK_SIZE,
        "low": MARKET_PRICE - 8 * TICK_SIZE,
        "volume": volume,
        "lastUpdated": now,
        "timestamp": now,
    }
