"""Tokens without their rules."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any, Final

from faultline.mutants import Mutant, Patch
from targets.mutants.limits import WallClock
from targets.mutants.retry import KEYED, status_of
from targets.resilience import token_manager
from targets.resilience.connection_manager import SignalRConnectionManager
from targets.resilience.errors import APIError
from targets.resilience.token_manager import TokenManager
from targets.resilience.venues import generic
from targets.resilience.venues.generic import GenericVenue


def renews_once_for_each_caller(patch: Patch) -> None:
    """Renews the token once for each caller."""

    def make(running: Any) -> Any:
        def another(self: TokenManager) -> Any:
            self._renewal = None
            return running(self)

        return another

    patch.wrap(TokenManager, "_running_renewal", make)


def uses_a_token_to_its_last_moment(patch: Patch) -> None:
    """Uses a token to its last moment."""
    patch.set(token_manager, "LEEWAY_SHARE", 0.0)


def logs_in_and_sends_again_without_end(patch: Patch) -> None:
    """Answers each 401 with a login and another try."""

    def make(place: Any) -> Any:
        async def places(self: GenericVenue, *order: Any, **more: Any) -> Any:
            while True:
                try:
                    return await place(self, *order, **more)
                except APIError as error:
                    if status_of(error) != 401:
                        raise

        return places

    patch.wrap(GenericVenue, "place", make)


def makes_a_new_key_with_a_new_token(patch: Patch) -> None:
    """Makes a new order key with a new token."""
    keys: dict[str, str] = {}

    def make(place: Any) -> Any:
        async def places(self: GenericVenue, placement: Any, **more: Any) -> Any:
            minted = keys.get(placement.client_key, placement.client_key)
            try:
                return await place(self, replace(placement, client_key=minted), **more)
            except APIError as error:
                if status_of(error) == 401:
                    keys[placement.client_key] = uuid.uuid4().hex
                raise

        return places

    patch.wrap(GenericVenue, "place", make)


def takes_seconds_for_minutes(patch: Patch) -> None:
    """Reads the life of a token in the wrong unit."""

    def make(grant: Any) -> Any:
        return lambda *granted: grant(granted[0], granted[1] * 60, *granted[2:])

    patch.wrap(generic, "Grant", make)


def goes_by_the_wall_clock(patch: Patch) -> None:
    """Reckons the life of a token by the wall clock."""
    patch.set(token_manager, "time", WallClock)


def reconnects_with_the_old_token(patch: Patch) -> None:
    """Reconnects the stream with the token it had."""

    class First:
        def __init__(self, tokens: TokenManager) -> None:
            self._tokens, self._token = tokens, ""

        async def get_valid_token(self) -> str:
            self._token = self._token or await self._tokens.get_valid_token()
            return self._token

        def reject(self, token: str) -> None:
            self._token = ""

    def make(init: Any) -> Any:
        return lambda self, config, tokens, **more: init(self, config, First(tokens), **more)

    patch.wrap(SignalRConnectionManager, "__init__", make)


MUTANTS: Final = (
    Mutant(
        "T01", "Token", renews_once_for_each_caller,
        "witnesses/T01.yaml", ("single_flight_refresh",), faults="none: who starts together logs in together",
        wasabi="HOW", fault_free=True,
        seen=("raine/claude-code-proxy#42", "friggframework/frigg#636", "owncloud/oauth2#70"),
    ),
    Mutant(
        "T03", "Token", uses_a_token_to_its_last_moment,
        "witnesses/T03.yaml", ("token_valid_at_send",), faults="no renewal, and a connection that takes long",
        venues="token_ttl: 4s",
    ),
    Mutant(
        "T05", "Token", logs_in_and_sends_again_without_end,
        "witnesses/T05.yaml", ("retry_budget",), faults="401 for a minute", venues=KEYED, wasabi="WHEN",
    ),
    Mutant(
        "T06", "Token", makes_a_new_key_with_a_new_token,
        "witnesses/T06.yaml", ("no_duplicates",), faults="a lost response, then a 401", venues=KEYED, wasabi="HOW",
    ),
    Mutant(
        "T07", "Token", goes_by_the_wall_clock,
        "witnesses/T07.yaml", ("token_valid_at_send",), faults="a clock that is set back", venues="token_ttl: 4s",
    ),
    Mutant(
        "X11", "Token", takes_seconds_for_minutes,
        "witnesses/X11.yaml", ("token_valid_at_send",), faults="none but time", venues="token_ttl: 2s",
    ),
    Mutant(
        "T10", "Token", reconnects_with_the_old_token,
        "witnesses/T10.yaml", ("token_valid_at_send",), faults="a disconnect after the token's end",
        venues="token_ttl: 3s",
    ),
)  # fmt: skip
