"""The gate on the simulated world: what a client sees of a server that misbehaves is what it sees on real sockets.

Same exception, same causes, same texts, same results, for every pair of a case and a client. On loopback there is no
latency to speak of, so the simulation is compared without any; with latency, the differences below are allowed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache

import pytest

from tests.conformance.clients import HTTP_CLIENTS, WEBSOCKET_CLIENTS, Client
from tests.conformance.run import in_reality, in_simulation
from tests.conformance.servers import HTTP, WEBSOCKET, Case

PAIRS = [(case, HTTP_CLIENTS) for case in HTTP] + [(case, WEBSOCKET_CLIENTS) for case in WEBSOCKET]
STRETCHES = (1.0, 4.0, 16.0)  # a loaded machine may let a real timeout win; a true difference stays

DIFFERENT_WITH_LATENCY = {
    "fin before the request": "over a distance the request crosses the FIN and is reset by the closed socket; on "
    "loopback the FIN is there before the request is written. Both are what a kernel does.",
}


@cache
def near(case: Case, clients: tuple[Client, ...]) -> list[object]:
    return [in_simulation(case, client, latency_s=0.0) for client in clients]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    # Clients complain to the log about what the servers do here, in both worlds.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("case", "clients"), PAIRS, ids=[case.name for case, _ in PAIRS])
def test_the_simulation_shows_what_loopback_shows(case: Case, clients: tuple[Client, ...]) -> None:
    simulated = near(case, clients)
    for stretch in STRETCHES:
        real = in_reality(case, clients, stretch)
        if simulated == real:
            break
    assert simulated == real


@pytest.mark.parametrize(("case", "clients"), PAIRS, ids=[case.name for case, _ in PAIRS])
def test_latency_changes_no_more_than_is_listed(case: Case, clients: tuple[Client, ...]) -> None:
    far = [in_simulation(case, client, latency_s=0.001) for client in clients]
    assert (near(case, clients) != far) == (case.name in DIFFERENT_WITH_LATENCY)


def test_the_suite_is_as_large_as_promised() -> None:
    assert sum(len(clients) for _, clients in PAIRS) >= 40
    assert len(DIFFERENT_WITH_LATENCY) <= 3
