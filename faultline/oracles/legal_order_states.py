"""Orders only take steps that the contract's automaton has, in the ledger and in the client's eyes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from faultline.history import History
from faultline.history.contract import OPEN_STATES, TERMINAL_STATES
from faultline.history.event import Belief, Effect, OrderBelief
from faultline.history.ledger import OrderRecord, amount
from faultline.oracles.agreement import UNSURE
from faultline.oracles.base import Finding, Verdict, described, plural, seconds, verdict


@dataclass(frozen=True)
class LegalOrderStates:
    """Every step of every order is one of the contract's; every step of a belief can be made of such steps.

    The venue is held to single steps. A client samples, so it may skip states; it may be unsure, may let an ended
    order go, and marks ``pending_cancel`` by itself; but it must not take an order out of an ending that the
    contract does not lead out of, nor count fewer filled than before, not even by way of not knowing. So what an old
    snapshot or an overtaken message does to newer state is seen, and so is an order that the client had, lost from
    its view and has again while it was live all the time. A process that starts again starts afresh. Each finding
    says whose step it was.
    """

    name: ClassVar[str] = "legal_order_states"
    checks: ClassVar[tuple[str, ...]] = ("C6", "C10", "C14", "C30")

    def judge(self, history: History) -> Verdict:
        """Fails on an illegal step of either side; unknown when there was no order."""
        automaton = history.contract.automaton
        venue, steps = _venue_steps(history, frozenset(automaton))
        client, views = _client_steps(history, reachable(automaton))
        return verdict(
            self.name,
            steps + views,
            venue + client,
            summary=f"{plural(steps, 'step')} of the venue and {plural(views, 'view')} of the client",
            nothing="there was no order and no belief about one",
        )


@lru_cache(maxsize=32)
def reachable(automaton: tuple[tuple[str, str], ...]) -> Mapping[str, frozenset[str]]:
    """The states that can follow each state, in any number of steps."""
    after: dict[str, set[str]] = {}
    for before, state in automaton:
        after.setdefault(before, set()).add(state)
        after.setdefault(state, set())
    grown = True
    while grown:
        grown = False
        for states in after.values():
            more = set().union(*(after[state] for state in states)) - states if states else set()
            grown |= bool(more)
            states |= more
    return {state: frozenset(states) for state, states in after.items()}


def _venue_steps(history: History, automaton: frozenset[tuple[str, str]]) -> tuple[list[Finding], int]:
    states: dict[str, str] = {}
    findings: list[Finding] = []
    steps = 0
    for effect in history.of(Effect):
        order = effect.order
        was = states.get(order, "")
        if effect.what == "reject" and (not order or was):
            # Refused before it became an order; or a refused change to an order, which leaves it as it was.
            continue
        steps += 1
        after = effect.after
        same = effect.what == "replace" and after == was and was in OPEN_STATES
        if effect.before != was or not (same or (was, after) in automaton):
            fill = f" with fill {effect.fill}" if effect.fill else ""
            whose = f" for {described(history.ledger, effect.intent)}" if effect.intent else ""
            why = (
                "which its contract forbids"
                if effect.before == was
                else f"though it said that it was {effect.before or 'nothing'} before"
            )
            what = (
                f"the venue took order {order}{whose} from {was or 'nothing'} to {after}{fill} "
                f"at {seconds(effect.t)}, {why}"
            )
            findings.append(Finding(what, effect.t, effect.intent or ""))
        states[order] = after
    return findings, steps


def _client_steps(history: History, after: Mapping[str, frozenset[str]]) -> tuple[list[Finding], int]:
    views: dict[str, OrderBelief] = {}
    most: dict[str, OrderBelief] = {}
    let_go: dict[str, float] = {}
    ledger = history.ledger
    changed = {intent.of for intent in ledger.intents.values() if intent.of}
    findings: list[Finding] = []
    incarnation = count = 0
    for belief in history.of(Belief):
        if belief.incarnation != incarnation:
            incarnation = belief.incarnation
            views, most, let_go = {}, {}, {}
        for view in belief.orders:
            count += 1
            intent = view.intent
            was = views.get(intent)
            views[intent] = view
            wrong = _wrong_view(was, view, after) or _fewer(most.get(intent), view)
            if view.state == "absent":
                if not belief.stale and was is not None and was.state in OPEN_STATES and intent not in changed:
                    let_go[intent] = belief.t
            elif (gone_t := let_go.pop(intent, None)) is not None and _live(view, ledger.orders_of(intent), belief.t):
                wrong = wrong or f"lost from its view at {seconds(gone_t)} what it has again, and was live,"
            if view.state not in UNSURE and view.state != "absent":
                most[intent] = view
            if wrong:
                what = f"the client {wrong} for {described(history.ledger, view.intent)} at {seconds(belief.t)}"
                findings.append(Finding(what, belief.t, view.intent))
    return findings, count


def _live(view: OrderBelief, orders: Sequence[OrderRecord], t: float) -> bool:
    return view.state in OPEN_STATES and any(order.ended_t is None or order.ended_t > t for order in orders)


def _fewer(sure: OrderBelief | None, view: OrderBelief) -> str:
    """Whether the last view that the client was sure of had more filled."""
    if sure is None or view.state in UNSURE or view.state == "absent":
        return ""
    if sure.filled != view.filled and amount(sure.filled) > amount(view.filled):
        return f"went back from {sure.filled} filled to {view.filled}"
    return ""


def _wrong_view(was: OrderBelief | None, view: OrderBelief, after: Mapping[str, frozenset[str]]) -> str:
    state = view.state
    if state == "absent":
        return ""
    if state not in after and state not in UNSURE:
        return f"used the state {state!r}, which the contract does not have,"
    if was is None or was.state not in after:
        return ""  # from nothing, or from not knowing, anything can be found out
    if state == was.state:
        return ""
    if was.state in TERMINAL_STATES or state not in UNSURE:
        legal = state in after.get(was.state, frozenset())
        # A client marks pending_cancel when it asks; the cancel may never arrive, and the order is as before.
        if not legal and not (was.state == "pending_cancel" and state in OPEN_STATES):
            return f"went back from {was.state} to {state}"
    return ""
