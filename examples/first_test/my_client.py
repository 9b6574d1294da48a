"""An ordinary client of the generic venue: it knows nothing of faultline."""

import uuid

import aiohttp


class MyClient:
    def __init__(self, base_url: str, client_id: str, client_secret: str) -> None:
        self.base_url = base_url
        self.credentials = {"client_id": client_id, "client_secret": client_secret}

    async def __aenter__(self) -> "MyClient":
        self.session = aiohttp.ClientSession(self.base_url, timeout=aiohttp.ClientTimeout(total=2))
        async with self.session.post("/auth/token", json=self.credentials) as response:
            token = (await response.json())["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.session.close()

    async def buy(self, symbol: str, quantity: int, price: int) -> dict[str, str]:
        """Buy once: the key is made before the first try, and every retry carries it."""
        order = {
            "client_order_id": uuid.uuid4().hex,
            "symbol": symbol,
            "side": "buy",
            "type": "limit",
            "quantity": str(quantity),
            "price": str(price),
        }
        return await self.send(order)

    async def send(self, order: dict[str, str]) -> dict[str, str]:
        while True:
            try:
                async with self.session.post("/orders", json=order) as response:
                    return await response.json()
            except (aiohttp.ClientError, TimeoutError):
                continue


class HastyClient(MyClient):
    """The same with one change: a new key for each try."""

    async def send(self, order: dict[str, str]) -> dict[str, str]:
        while True:
            try:
                async with self.session.post("/orders", json=order | {"client_order_id": uuid.uuid4().hex}) as response:
                    return await response.json()
            except (aiohttp.ClientError, TimeoutError):
                continue
