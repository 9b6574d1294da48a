"""Retries without their rules."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from tenacity import stop_never

from faultline.mutants import Mutant, Patch
from targets.resilience import error_handler, http_client
from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient
from targets.resilience.venues.generic import GenericVenue

KEYED: Final = "idempotency: first_result"


def status_of(error: BaseException) -> int | None:
    """The venue's answer, None where there was none."""
    return error.status_code if isinstance(error, APIError) else None


def _transient(patch: Patch, changed: dict[int | None, bool]) -> None:
    def make(known: Any) -> Any:
        return lambda error, *more: changed.get(status_of(error), known(error, *more))

    patch.wrap(error_handler, "is_transient", make)


def retries_what_was_declined(patch: Patch) -> None:
    """Retries what the venue has declined."""
    _transient(patch, {400: True, 422: True})


def takes_an_outage_for_the_end(patch: Patch) -> None:
    """Takes a 503 or a lost connection for the end."""
    _transient(patch, {500: False, 502: False, 503: False, None: False})


def retries_for_ever(patch: Patch) -> None:
    """Retries for ever."""
    patch.set(error_handler, "stop_after_attempt", lambda attempts: stop_never)
    patch.set(error_handler, "stop_before_delay", lambda delay_s: stop_never)
    _no_deadline(patch)


def _no_deadline(patch: Patch) -> None:
    def make(init: Any) -> Any:
        return lambda self, handler, call, terms: init(self, handler, call, replace(terms, deadline_s=1e6))

    patch.wrap(error_handler._Operation, "__init__", make)


def does_not_wait(patch: Patch) -> None:
    """Does not wait between attempts."""
    patch.set(error_handler, "sleep", lambda delay_s: asyncio.sleep(0))


def ignores_retry_after(patch: Patch) -> None:
    """Ignores Retry-After."""
    patch.set(http_client, "retry_after_s", lambda value, date=None: 0.1)


def reads_a_date_as_a_number(patch: Patch) -> None:
    """Reads a Retry-After that is a date as a number."""
    patch.set(http_client, "retry_after_s", lambda value, date=None: None if value is None else float(value))


def takes_429_for_the_end(patch: Patch) -> None:
    """Does not retry a 429."""
    _transient(patch, {429: False})


def limits_each_attempt_only(patch: Patch) -> None:
    """Limits each attempt, and not the whole."""
    patch.set(error_handler, "stop_before_delay", lambda delay_s: stop_never)
    _no_deadline(patch)


def retries_a_taken_key(patch: Patch) -> None:
    """Retries a 403 and a 409."""
    _transient(patch, {403: True, 409: True})


def retries_in_two_layers(patch: Patch) -> None:
    """Retries in two layers."""

    def make(place: Any) -> Any:
        async def places(self: GenericVenue, *order: Any, **more: Any) -> Any:
            for _ in range(2):
                try:
                    return await place(self, *order, **more)
                except APIError:
                    await asyncio.sleep(0.3)
            return await place(self, *order, **more)

        return places

    patch.wrap(GenericVenue, "place", make)


def sends_a_body_that_was_read(patch: Patch) -> None:
    """Sends a body that was read already."""
    bodies: dict[str, Any] = {}

    def make(send: Any) -> Any:
        async def sends(self: HttpClient, method: str, path: str, *, body: Any = None, **more: Any) -> Any:
            once = bodies.setdefault(str(body), iter(body.items())) if path == "/orders" and body else None
            return await send(self, method, path, body=body if once is None else dict(once), **more)

        return sends

    patch.wrap(HttpClient, "send", make)


def reads_any_200_as_a_success(patch: Patch) -> None:
    """Reads HTTP 200 as a success whatever is in it."""

    def make(send: Any) -> Any:
        async def sends(self: HttpClient, *request: Any, **more: Any) -> Any:
            reply = await send(self, *request, **more)
            said_no = isinstance(reply.data, dict) and reply.data.get("success") is False
            agreed = {**reply.data, "success": True, "orderId": 0} if said_no else reply.data
            return replace(reply, data=agreed)

        return sends

    patch.wrap(HttpClient, "send", make)


MUTANTS: Final = (
    Mutant(
        "R01", "Retry", retries_what_was_declined,
        "witnesses/R01.yaml", ("retry_policy",),
        faults="a reject", venues=KEYED, wasabi="IF", seen=("scrtlabs/catalyst#317",),
    ),
    Mutant(
        "R02", "Retry", takes_an_outage_for_the_end,
        "witnesses/R02.yaml", ("no_lost_intent",), faults="a 503 before the effect", venues=KEYED, wasabi="IF",
    ),
    Mutant(
        "R03", "Retry", retries_for_ever,
        "witnesses/R03.yaml", ("retry_budget",), faults="503 for a minute", venues=KEYED, wasabi="WHEN",
    ),
    Mutant(
        "R04", "Retry", does_not_wait,
        "witnesses/R04.yaml", ("backoff",), faults="a 503", venues=KEYED, wasabi="WHEN",
    ),
    Mutant(
        "R07", "Retry", ignores_retry_after,
        "witnesses/R07.yaml", ("retry_after_honoured", "rate_limit_respected"),
        faults="a 429", venues=KEYED, wasabi="WHEN", seen=("dwave-cloud-client#620",),
    ),
    Mutant(
        "R08", "Retry", reads_a_date_as_a_number,
        "witnesses/R08.yaml", ("no_lost_intent",), faults="a 429 with a date", venues=KEYED, wasabi="IF",
        seen=("mldsveda/PyScrappy#143", "urllib3#1822", "notatallshaw/nab#596"),
    ),
    Mutant(
        "R09", "Retry", takes_429_for_the_end,
        "witnesses/R09.yaml", ("no_lost_intent",), faults="a 429", venues=KEYED, wasabi="IF",
    ),
    Mutant(
        "R10", "Retry", limits_each_attempt_only,
        "witnesses/R10.yaml", ("latency",), faults="every attempt lost in silence", venues=KEYED, wasabi="WHEN",
    ),
    Mutant(
        "R13", "Retry", reads_any_200_as_a_success,
        "witnesses/R13.yaml", ("no_lost_ack",), faults="a reject", venues="projectx",
    ),
    Mutant(
        "R14", "Retry", retries_a_taken_key,
        "witnesses/R14.yaml", ("retry_policy",), faults="a 409", venues=KEYED, wasabi="IF",
    ),
    Mutant(
        "R15", "Retry", retries_in_two_layers,
        "witnesses/R15.yaml", ("retry_budget",), faults="503 for a minute", venues=KEYED, wasabi="WHEN",
    ),
    Mutant(
        "R17", "Retry", sends_a_body_that_was_read,
        "witnesses/R17.yaml", ("no_lost_intent",), faults="a 503 before the effect", venues=KEYED, wasabi="HOW",
    ),
)  # fmt: skip
