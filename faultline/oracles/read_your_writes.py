"""Who said that it was done goes on saying so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History, Ledger
from faultline.history.event import Answer, Belief, Boot, Contracted, OrderBelief
from faultline.history.ledger import OrderRecord
from faultline.oracles.base import EPSILON_S, Finding, Verdict, described, plural, seconds, verdict
from faultline.units import Seconds


@dataclass(frozen=True)
class ReadYourWrites:
    """After an order was answered ``ok``, no later belief of the same process denies it: that it was refused, or that
    there is no such order, while the venue has it live.

    A denial is what a stale read or an old snapshot does to a client that trusts it more than its own answer. Being
    unsure later is none, because a change may be on its way; nor is letting go of an order that has ended, a refusal
    that the venue made after it had accepted, or a view that the client itself calls stale. Cancels and replaces are
    not judged: they are often answered before they act. Outside the simulated world a view may be ``grace_s`` old
    when it is read.
    """

    name: ClassVar[str] = "read_your_writes"
    checks: ClassVar[tuple[str, ...]] = ("C15",)

    grace_s: Seconds = 1.0

    def judge(self, history: History) -> Verdict:
        """Fails on a denial; unknown when nothing was answered ok or nothing was believed after it."""
        told = history.of(Contracted)
        grace_s = 0.0 if told and told[0].world == "sim" else self.grace_s
        # What a runner reads is the whole view; what a test says by hand is only what it wants to say.
        reading = _Reading(history.ledger, grace_s, whole=bool(history.of(Boot)) and history.ledger.tells_orders)
        # In the order of the events, not by their times: at one instant a view may be read before the answer is given.
        for event in history:
            if type(event) is Answer:
                reading.answered(event)
            elif type(event) is Belief:
                reading.believed(event)
        return verdict(
            self.name,
            len(reading.judged),
            list(reading.findings.values()),
            summary=f"{plural(len(reading.judged), 'promise')} that was not taken back",
            nothing="no order was answered ok and believed in afterwards",
        )


class _Reading:
    """The views of one process after another, held against what it had answered."""

    def __init__(self, ledger: Ledger, grace_s: float, *, whole: bool) -> None:
        self._ledger = ledger
        self._grace_s = grace_s
        self._whole = whole
        self._incarnation = 0
        self._views: dict[str, OrderBelief] = {}
        self._promised: dict[str, Answer] = {}
        self._unread: list[Answer] = []
        self.judged: set[str] = set()
        self.findings: dict[str, Finding] = {}

    def answered(self, answer: Answer) -> None:
        if self._ledger.oks.get(answer.intent) is not answer:
            return
        intent = self._ledger.intents.get(answer.intent)
        if intent is not None and intent.op == "place":
            self._begin(answer.incarnation)
            self._unread.append(answer)

    def believed(self, belief: Belief) -> None:
        self._begin(belief.incarnation)
        changed = {view.intent: view for view in belief.orders}
        self._views.update(changed)
        if belief.stale:
            return
        self._catch_up(belief)
        for intent in changed:
            if intent in self._promised:
                self._look(intent, belief)

    def _begin(self, incarnation: int) -> None:
        if incarnation > self._incarnation:
            self._incarnation, self._views, self._promised, self._unread = incarnation, {}, {}, []

    def _catch_up(self, belief: Belief) -> None:
        """Look for the first time at what was answered long enough ago: from now on only changes can deny it."""
        waiting = []
        for answer in self._unread:
            if answer.t + self._grace_s > belief.t + EPSILON_S:
                waiting.append(answer)
                continue
            self._promised[answer.intent] = answer
            if self._whole:
                self._look(answer.intent, belief)
        self._unread = waiting

    def _look(self, intent: str, belief: Belief) -> None:
        self.judged.add(intent)
        why = _denied(self._views.get(intent), self._ledger.orders_of(intent), belief.t)
        if why and intent not in self.findings:
            answer = self._promised[intent]
            promise = f"{described(self._ledger, intent)} was answered ok at {seconds(answer.t)}"
            what = f"{promise}, but at {seconds(belief.t)} the same process {why}"
            self.findings[intent] = Finding(what, belief.t, intent)


def _denied(view: OrderBelief | None, orders: Sequence[OrderRecord], t: float) -> str:
    if view is not None and view.state == "rejected":
        refused = any(
            order.state == "rejected" and order.ended_t is not None and order.ended_t <= t for order in orders
        )
        return "" if refused else "believed it rejected"
    live = any(order.ended_t is None or order.ended_t > t for order in orders)
    if (view is None or view.state == "absent") and live:
        return "knew of no such order, which was live"
    return ""
