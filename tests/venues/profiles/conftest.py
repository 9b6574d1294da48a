"""pysignalr without what it does to others: its import changes how websockets reconnects, in the whole process."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.asyncio.client import connect

ITERATE = connect.__aiter__


@pytest.fixture
def pysignalr(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The client, with its own way to reconnect as long as the test lasts."""
    package = pytest.importorskip("pysignalr", reason="pysignalr is not installed: the hubs are proven with it")
    import pysignalr.client

    connect.__aiter__ = ITERATE
    monkeypatch.setattr(connect, "__aiter__", package.__aiter__)
    return pysignalr.client
