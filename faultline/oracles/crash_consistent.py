"""A process that starts from the store of a dead one comes up, and stands by what that one had said and seen.

Whether the client is right in the end is for other oracles. This one looks at the very first view of each new process,
because that is where a lost commit, a torn file or a row that was never written shows, before a resync covers it up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

from faultline.history import History, Ledger
from faultline.history.contract import OPEN_STATES, TERMINAL_STATES
from faultline.history.event import Answer, Belief, Boot, Crashed, OrderBelief, Received, Struck
from faultline.history.ledger import OrderRecord, amount
from faultline.oracles.agreement import shown_belief, true_filled
from faultline.oracles.base import Finding, Verdict, described, plural, seconds, verdict
from faultline.oracles.hearing import sent_t

_OF_THE_PROCESS = ("Crash(", "Restart(", "Pause(")
"""Actions that can be no reason why a process does not start."""


@dataclass(frozen=True)
class CrashConsistent:
    """Every process that starts after a crash comes up. At its first view that it does not call stale it knows each
    order that the caller had been told is placed, holds none live that the caller had been told is not, and has no
    less filled than its predecessor told. It does not send anew what has an order already.

    Being unsure of an order at first is honest and no finding; nor is an order let go that has ended. A process that
    cannot start is excused while a fault other than the crash itself may be why: until faults are over, once one has
    struck. Sending again counts when the new process sent it, not when a request of the dead one arrives late, and
    when there was an order before it started. An orderly stop is judged like a crash.
    """

    name: ClassVar[str] = "crash_consistent"
    checks: ClassVar[tuple[str, ...]] = ("C27",)

    def judge(self, history: History) -> Verdict:
        """Fails on a process that does not start or has forgotten; unknown when no process followed another."""
        boots = history.of(Boot)
        findings = _failed_starts(history) + _sent_anew(history)
        first = _first_views(history)
        for view in first:
            findings += _forgotten(history.ledger, view)
        findings.sort(key=lambda finding: finding.t)
        never = len(boots) > 1 and not first
        return verdict(
            self.name,
            max(0, len(boots) - 1),
            findings,
            unknown="no process that followed another told what it believes" if never else "",
            summary=f"{plural(len(first), 'process', 'processes')} carried on where another had ended",
            nothing="no process of the client ended and was followed by another",
        )


def _failed_starts(history: History) -> list[Finding]:
    """Processes after the first that ended before they were up, with nothing but the crash to blame."""
    over_t = history.phase_t("faults_over")
    others = [struck.t for struck in history.of(Struck) if not struck.action.startswith(_OF_THE_PROCESS)]
    began = {boot.incarnation: boot.t for boot in history.of(Boot)}
    findings: list[Finding] = []
    for end in history.of(Crashed):
        boot_t = began.get(end.incarnation, 0.0)
        excused = bool(others) and others[0] <= end.t and not (over_t is not None and boot_t >= over_t)
        if end.how == "exit" and end.incarnation > 1 and not excused:
            process = f"process {end.incarnation}, started at {seconds(boot_t)},"
            what = f"{process} did not come up: it ended at {seconds(end.t)}"
            findings.append(Finding(what, end.t))
    return findings


def _sent_anew(history: History) -> list[Finding]:
    ledger, boots = history.ledger, history.of(Boot)
    several = {intent: orders for intent, orders in ledger.by_intent.items() if len(orders) > 1}
    if not several or len(boots) < 2:
        return []
    requests = {event.request: event for event in history.of(Received)}
    findings: list[Finding] = []
    for intent, orders in several.items():
        first_t = orders[0].accepted_t
        for order in orders[1:]:
            request = requests.get(order.request)
            if request is None or request.injected:
                continue
            since = next((boot for boot in boots[1:] if first_t < boot.t <= sent_t(request)), None)
            if since is not None:
                had = f"order {orders[0].order} since {seconds(first_t)}"
                anew = f"the process started at {seconds(since.t)} sent it anew, which became order {order.order}"
                findings.append(Finding(f"{described(ledger, intent)} had {had}, and {anew}", order.accepted_t, intent))
                break
    return findings


# What a new process knows


@dataclass(slots=True)
class _First:
    """The first view of one process, whole, with what it had to stand by."""

    incarnation: int
    t: float
    views: dict[str, OrderBelief]
    answers: dict[str, Answer]
    filled: dict[str, Decimal]


@dataclass(slots=True)
class _Books:
    """What was told until now: answers, and the most that the processes before the present one told filled."""

    incarnation: int = 0
    looked: bool = True
    views: dict[str, OrderBelief] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    inherited: dict[str, Answer] = field(default_factory=dict)
    filled: dict[str, Decimal] = field(default_factory=dict)
    inherited_filled: dict[str, Decimal] = field(default_factory=dict)

    def boot(self, incarnation: int) -> None:
        self.incarnation, self.looked, self.views = incarnation, incarnation == 1, {}
        self.inherited, self.inherited_filled = dict(self.answers), dict(self.filled)


def _first_views(history: History) -> list[_First]:
    books, found = _Books(), []
    for event in history:
        if type(event) is Boot:
            books.boot(event.incarnation)
        elif type(event) is Answer:
            books.answers[event.intent] = event
        elif type(event) is Belief and event.incarnation == books.incarnation:
            books.views.update((view.intent, view) for view in event.orders)
            for view in event.orders:
                books.filled[view.intent] = max(books.filled.get(view.intent, Decimal(0)), amount(view.filled))
            if not books.looked and not event.stale:
                books.looked = True
                found.append(
                    _First(books.incarnation, event.t, dict(books.views), books.inherited, books.inherited_filled)
                )
    return found if history.ledger.tells_orders else []


def _forgotten(ledger: Ledger, first: _First) -> list[Finding]:
    findings: list[Finding] = []
    for intent, answer in first.answers.items():
        wanted = ledger.intents.get(intent)
        if wanted is None or wanted.op != "place":
            continue
        why = _broken_word(first.views.get(intent), ledger.orders_of(intent), answer, first)
        if why:
            at = f"process {first.incarnation} at its first view, at {seconds(first.t)},"
            findings.append(Finding(f"{described(ledger, intent)} {why.format(at=at)}", first.t, intent))
    return findings


def _broken_word(view: OrderBelief | None, orders: list[OrderRecord], answer: Answer, first: _First) -> str:
    state = "absent" if view is None else view.state
    live = any(order.ended_t is None or order.ended_t > first.t for order in orders)
    told = f"was answered {answer.outcome} at {seconds(answer.t)}, but {{at}}"
    if answer.outcome == "ok" and orders:
        if state == "absent" and live:
            return f"{told} knew nothing of it"
        if state == "rejected" and not any(order.state == "rejected" for order in orders):
            return f"{told} believed it rejected"
    if answer.outcome == "fail" and not orders and state in OPEN_STATES | {"filled"}:
        return f"{told} believed {shown_belief(view)}"
    # What the dead process believed ahead of the truth nobody has to remember.
    known = min(first.filled.get(answer.intent, Decimal(0)), true_filled(orders))
    if view is not None and state in OPEN_STATES | TERMINAL_STATES and amount(view.filled) < known:
        return f"was told filled {known} before, but {{at}} believed {shown_belief(view)}"
    return ""
