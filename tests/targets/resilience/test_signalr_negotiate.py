"""Negotiating a hub connection: ids, redirects, and what a refusal leads to."""

from __future__ import annotations

from typing import Any

import pytest

from targets.resilience.errors import MaxReconnectAttemptsError
from tests.targets.resilience.hub import Stage, on_stage
from tests.worlds.sim.kit import VENUE

WEBSOCKETS = [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
NEGOTIATED = {"connectionToken": "c/1", "connectionId": "i1", "negotiateVersion": 1, "availableTransports": WEBSOCKETS}
REDIRECT = {"url": f"http://{VENUE}/hubs/there?x=1", "accessToken": "theirs"}


def negotiating(test: Any, *answers: tuple[int, object], **settings: Any) -> None:
    async def prepared(stage: Stage) -> None:
        stage.hub.negotiate_answers = list(answers)
        await test(stage)

    on_stage(prepared, skip_negotiation=False, **settings)


def test_the_connection_carries_the_id_that_was_negotiated() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        assert stage.hub.negotiations == [("/hubs/user/negotiate?negotiateVersion=1", "Bearer t1")]
        assert stage.hub.queries == [{"id": "c/1", "access_token": "t1"}]

    negotiating(test, (200, NEGOTIATED))


def test_each_connection_negotiates_anew() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        stage.hub.cut("rst")
        await stage.level(2)
        assert [query["id"] for query in stage.hub.queries] == ["c/1", "i0"]

    # The second answer is of version 0: no token, the id is both.
    negotiating(test, (200, NEGOTIATED), (200, {"connectionId": "i0", "availableTransports": WEBSOCKETS}))


def test_a_redirect_is_followed_with_the_token_that_it_gives() -> None:
    async def test(stage: Stage) -> None:
        stage.hub.refusals = [401]
        await stage.manager.connect()
        assert stage.hub.negotiations[1] == ("/hubs/there/negotiate?x=1&negotiateVersion=1", "Bearer theirs")
        assert stage.hub.queries[0] == {"x": "1", "id": "c/1", "access_token": "theirs"}
        # It was not our token that the other place refused.
        assert stage.tokens.rejected == []

    negotiating(test, *[(200, REDIRECT), (200, NEGOTIATED)] * 2)


def test_a_401_leads_to_one_new_token_at_once() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        assert stage.hub.tokens == ["t2"]
        assert stage.tokens.rejected == ["t1"]
        assert "reconnecting" not in stage.states

    negotiating(test, (401, ""), (200, NEGOTIATED))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, ""), "negotiate: 401"),
        ((503, "busy"), "negotiate: 503"),
        ((200, {"error": "no seats"}), "no seats"),
        ((200, "<html>"), "not what the protocol says"),
        ((200, {"connectionId": "i", "availableTransports": []}), "no WebSockets"),
        ((200, {"availableTransports": WEBSOCKETS}), "no connection id"),
        ((200, REDIRECT), "redirects"),
    ],
)
def test_a_negotiation_that_fails_is_a_failed_attempt(answer: tuple[int, object], said: str) -> None:
    async def test(stage: Stage) -> None:
        with pytest.raises(MaxReconnectAttemptsError, match=said):
            await stage.manager.connect()
        assert stage.hub.attempts_s == []
        assert len(stage.tokens.rejected) == (2 if answer[0] == 401 else 0)

    negotiating(test, *[answer] * 20, max_reconnect_attempts=1)
