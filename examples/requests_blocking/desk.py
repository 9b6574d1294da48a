"""A trading desk on requests: synchronous code, with urllib3's retries switched on for everything."""

import uuid
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

TIMEOUT_S = 0.5


class Desk:
    """Places limit orders. ``allowed_methods=None`` has urllib3 send again whatever got no answer, POST included."""

    def __init__(self, base_url: str, client_id: str, client_secret: str) -> None:
        self.base_url = base_url
        self.session = requests.Session()
        self.session.mount("http://", HTTPAdapter(max_retries=Retry(3, backoff_factor=0.05, allowed_methods=None)))
        credentials = {"client_id": client_id, "client_secret": client_secret}
        token = self.session.post(f"{base_url}/auth/token", json=credentials, timeout=TIMEOUT_S).json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def buy(self, symbol: str, quantity: int, price: int) -> dict[str, Any]:
        order = {"symbol": symbol, "side": "buy", "type": "limit", "quantity": str(quantity), "price": str(price)}
        return self.send(order)

    def send(self, order: dict[str, str]) -> dict[str, Any]:
        answer = self.session.post(f"{self.base_url}/orders", json=order, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()


class KeyedDesk(Desk):
    """The same with one change: the order has a key, so that the venue can tell a second try from a second order."""

    def send(self, order: dict[str, str]) -> dict[str, Any]:
        key = uuid.uuid4().hex
        answer = self.session.post(f"{self.base_url}/orders", json=order | {"client_order_id": key}, timeout=TIMEOUT_S)
        if answer.status_code == 409:  # an earlier try made it
            return self.find(key)
        answer.raise_for_status()
        return answer.json()

    def find(self, key: str) -> dict[str, Any]:
        answer = self.session.get(f"{self.base_url}/orders", params={"client_order_id": key}, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()["orders"][-1]
