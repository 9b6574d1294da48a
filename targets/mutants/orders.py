"""Orders without their rules."""

from __future__ import annotations

import math
import uuid
from dataclasses import replace
from typing import Any, Final

from faultline.mutants import Mutant, Patch
from targets.mutants.retry import KEYED
from targets.resilience import settlement
from targets.resilience.errors import APIError, effect_of
from targets.resilience.records import OrderRecord
from targets.resilience.settlement import Settlement
from targets.resilience.state_manager import StateManager
from targets.resilience.venue import DuplicateKeyError, Fill, OrderStatus, OrderType, Placement
from targets.resilience.venues.generic import GenericVenue


def makes_a_new_key_for_each_try(patch: Patch) -> None:
    """Makes a new key for each try."""
    tried: set[str] = set()

    def make(place: Any) -> Any:
        async def places(self: GenericVenue, placement: Any, **more: Any) -> Any:
            key = uuid.uuid4().hex if placement.client_key in tried else placement.client_key
            tried.add(placement.client_key)
            return await place(self, replace(placement, client_key=key), **more)

        return places

    patch.wrap(GenericVenue, "place", make)


def takes_no_answer_for_no(patch: Patch) -> None:
    """Takes a request without an answer for one that was declined."""

    def make(send: Any) -> Any:
        async def sends(self: Settlement, request_id: str, request: Any) -> Any:
            try:
                return await send(self, request_id, request)
            except APIError as lost:
                if lost.status_code is not None or effect_of(lost) == "none":
                    raise
                raise APIError("timeout", 422) from lost

        return sends

    patch.wrap(Settlement, "_send", make)


def looks_once_and_orders_again(patch: Patch) -> None:
    """Believes the first query that does not find the order, and orders again."""

    def make(doubt: Any) -> Any:
        return lambda self, request_id, for_s: doubt(self, request_id, min(for_s, 0.0))

    patch.wrap(Settlement, "_doubt", make)


def takes_a_taken_key_for_a_reject(patch: Patch) -> None:
    """Takes the refusal of its own key for the refusal of its order."""

    def make(place: Any) -> Any:
        async def places(self: GenericVenue, *order: Any, **more: Any) -> Any:
            try:
                return await place(self, *order, **more)
            except DuplicateKeyError as error:
                raise APIError(str(error), 422) from error

        return places

    patch.wrap(GenericVenue, "place", make)


def replaces_by_a_new_order_first(patch: Patch) -> None:
    """Replaces an order by sending the new one before the old one is gone."""

    async def replaces(self: GenericVenue, order_id: str, *, size: Any, price: Any) -> Any:
        old = await self.order(order_id)
        terms = old.contract_id, old.side, OrderType.LIMIT, size, price
        await self.place(Placement(old.client_key, "", *terms), unless=lambda: False)
        return await self.cancel(order_id)

    patch.set(GenericVenue, "replace", replaces)


def asks_before_it_waits(patch: Patch) -> None:
    """Looks whether the order is still wanted before it waits for a token, and not when it sends."""

    def make(place: Any) -> Any:
        async def places(self: GenericVenue, placement: Any, *, unless: Any) -> Any:
            unwanted = unless()
            return await place(self, placement, unless=lambda: unwanted)

        return places

    patch.wrap(GenericVenue, "place", make)


def forgets_cancels_in_a_restart(patch: Patch) -> None:
    """Does not write down that a cancel was asked for."""

    async def adds(self: StateManager, amendment: Any) -> None:
        self._mirror_amendment(amendment)
        self.news(amendment.of).set()

    patch.set(StateManager, "add_amendment", adds)


def places_the_entry_again(patch: Patch) -> None:
    """Places an accepted order once more, under a key of its own."""

    def make(place: Any) -> Any:
        async def places(self: GenericVenue, placement: Any, **more: Any) -> Any:
            placed = await place(self, placement, **more)
            await place(self, replace(placement, client_key=uuid.uuid4().hex), **more)
            return placed

        return places

    patch.wrap(GenericVenue, "place", make)


def takes_a_part_for_the_whole(patch: Patch) -> None:
    """Takes an order for filled at its first fill."""

    def make(with_fill: Any) -> Any:
        return lambda self, fill, **more: replace(with_fill(self, fill, **more), status=OrderStatus.FILLED)

    patch.wrap(OrderRecord, "with_fill", make)


def counts_fills_by_arrival(patch: Patch) -> None:
    """Adds up what fills say without looking at their ids."""
    patch.set(StateManager, "has", lambda self, fill: False)


def drops_fills_of_unknown_orders(patch: Patch) -> None:
    """Drops a fill that is faster than the answer to its order."""

    def make(apply: Any) -> Any:
        async def applies(self: StateManager, *fills: Fill, **more: Any) -> None:
            await apply(self, *(fill for fill in fills if self.by_order_id(fill.order_id)), **more)

        return applies

    patch.wrap(StateManager, "apply", make)


def does_not_count_what_is_filled(patch: Patch) -> None:
    """Does not add a fill to what is filled of its order."""

    def make(with_fill: Any) -> Any:
        return lambda self, fill, **more: replace(with_fill(self, fill, **more), filled=self.filled)

    patch.wrap(OrderRecord, "with_fill", make)


def waits_much_too_long(patch: Patch) -> None:
    """Waits for minutes before it looks again what became of an order."""

    def make(doubt: Any) -> Any:
        return lambda self, request_id, for_s: doubt(self, request_id, for_s if for_s == math.inf else 500.0)

    patch.wrap(Settlement, "_doubt", make)


def takes_no_answer_for_unsent(patch: Patch) -> None:
    """Takes a request without an answer for one that never left."""

    def make(send: Any) -> Any:
        async def sends(self: Settlement, request_id: str, request: Any) -> Any:
            try:
                return await send(self, request_id, request)
            except APIError as lost:
                if lost.status_code is not None:
                    raise
                self._doubtful_until.pop(request_id, None)
                raise APIError("timeout", effect="none") from lost

        return sends

    patch.wrap(Settlement, "_send", make)


def forgets_what_was_in_doubt(patch: Patch) -> None:
    """Takes what is pending after a restart for unsent."""
    patch.set(Settlement, "doubt_everything_unsettled", lambda self: None)


def sends_again_what_was_declined(patch: Patch) -> None:
    """Sends an order again although the venue has declined it."""
    patch.set(settlement, "_declined", lambda error: False)


MUTANTS: Final = (
    Mutant(
        "O01", "Order", makes_a_new_key_for_each_try,
        "witnesses/O01.yaml", ("no_duplicates",), faults="a lost response", venues=KEYED, wasabi="HOW",
        seen=("KanishJebaMathewM/Truxify#14932", "Adyen/adyen-commercetools#1305"),
    ),
    Mutant(
        "O02", "Order", takes_no_answer_for_no,
        "witnesses/O02.yaml", ("resolved_unknowns", "no_duplicates"), faults="a lost response, and no news of it",
        wasabi="IF",
        seen=("hummingbot#493", "catalyst#315", "binance-java-api#55"),
    ),
    Mutant(
        "O04", "Order", looks_once_and_orders_again,
        "witnesses/O04.yaml", ("no_duplicates",), faults="a late request", venues="any but unique_forever",
        wasabi="HOW", seen=("ccxt#1786", "freqtrade#4403"),
    ),
    Mutant(
        "O05", "Order", takes_a_taken_key_for_a_reject,
        "witnesses/O05.yaml", ("resolved_unknowns",), faults="a 503 after the effect, and no news of it",
        venues="idempotency: unique_forever, read_lag: 6s", seen=("nautilus_trader#4215",),
    ),
    Mutant(
        "O09", "Order", replaces_by_a_new_order_first,
        "witnesses/O09.yaml", ("exposure_bounded",), faults="none", venues="idempotency: none", fault_free=True,
    ),
    Mutant(
        "O10", "Order", asks_before_it_waits,
        "witnesses/O10.yaml", ("retry_policy",), faults="a slow login, and a cancel meanwhile",
        venues="any; a client that answers a cancel at once", wasabi="IF",
    ),
    Mutant(
        "O11", "Order", forgets_cancels_in_a_restart,
        "witnesses/O11.yaml", ("no_lost_intent",), faults="a cancel without an answer for a minute, then a restart",
        wasabi="IF",
    ),
    Mutant(
        "O13", "Order", places_the_entry_again,
        "witnesses/O13.yaml", ("no_duplicates",), faults="none", wasabi="HOW", fault_free=True,
        seen=("project-x-py#124",),
    ),
    Mutant(
        "O15", "Order", takes_a_part_for_the_whole,
        "witnesses/O15.yaml", ("reconciled",), faults="a fill in parts", seen=("hftbacktest#316",),
    ),
    Mutant(
        "O16", "Order", counts_fills_by_arrival,
        "witnesses/O16.yaml", ("fills_conserved",), faults="none: each sweep tells fills again",
        venues="sequences: false",
        seen=("BYTEX-TRADE/bytex#16",),
    ),
    Mutant(
        "O18", "Order", drops_fills_of_unknown_orders,
        "witnesses/O18.yaml", ("no_lost_events",), faults="a fill before the answer, and no news of its order",
    ),
    Mutant(
        "O19", "Order", does_not_count_what_is_filled,
        "witnesses/O19.yaml", ("fills_conserved", "reconciled"), faults="none", fault_free=True,
        seen=("Knight Capital, 2012",),
    ),
    Mutant(
        "X01", "Order", sends_again_what_was_declined,
        "witnesses/X01.yaml", ("retry_policy",), faults="a 422", wasabi="IF",
    ),
    Mutant(
        "X08", "Order", waits_much_too_long,
        "witnesses/X08.yaml", ("recovers",), faults="a lost request", wasabi="WHEN",
    ),
    Mutant(
        "X09", "Order", takes_no_answer_for_unsent,
        "witnesses/X09.yaml", ("no_duplicates",), faults="a lost response, and no news of it",
        venues="idempotency: none", wasabi="IF",
    ),
    Mutant(
        "X10", "Order", forgets_what_was_in_doubt,
        "witnesses/X10.yaml", ("no_duplicates",), faults="a crash after the effect", venues="idempotency: none",
        wasabi="HOW",
    ),
)  # fmt: skip
