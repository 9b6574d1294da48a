"""The steps of a sequence diagram: the events of a cone as arrows between lanes and notes upon them.

A fault is shown on the arrow that it struck: on the way to the venue (the request never arrived, or late), or on the
way back (the venue did it, the client was not told). A fault that struck no single message has a step of its own. What
is left out between two steps is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from faultline.history import History
from faultline.history.event import (
    Answer,
    Answered,
    Belief,
    Boot,
    Connected,
    Contracted,
    Crashed,
    Delivered,
    Disconnected,
    Effect,
    Event,
    Intent,
    Phase,
    Received,
    Resolved,
    Struck,
    Stuck,
    TokenEnded,
    TokenIssued,
    Trouble,
)
from faultline.oracles.base import EPSILON_S
from faultline.reports.cone import Cone
from faultline.reports.text import action_text, shortened

Lane = Literal["caller", "client", "wire", "venue", "store"]
Tone = Literal["plain", "lost", "stream", "bad", "unsure", "dim"]

STEPS_MAX: Final = 60
TEXT_MAX: Final = 100
KEPT_AT_ENDS: Final = 28
_ALIKE_SHOWN: Final = 2
_BOOKKEEPING: Final = frozenset({Contracted, Phase, Resolved})
"""Events of the harness: nobody misses them in a diagram."""
_SAID: Final = {"ok": "done", "fail": "not done", "info": "outcome unknown"}
_DIED: Final = {
    "fin": "killed",
    "silence": "killed, and its connections say nothing",
    "stop": "stopped",
    "exit": "could not start",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the diagram: an arrow ``source`` to ``target``, or a note when they are one lane.

    ``fault`` is what struck it; ``begun_t`` when an arrow set out, where that is known; ``skipped`` counts events that
    are left out before it; ``alike`` counts further steps like this one that are left out after it. ``intent`` is the
    intent that is asked or answered by it.
    """

    t: float
    source: Lane
    target: Lane
    text: str
    detail: str = ""
    tone: Tone = "plain"
    fault: str = ""
    begun_t: float | None = None
    skipped: int = 0
    alike: int = 0
    intent: str = ""

    @property
    def is_note(self) -> bool:
        """It stands on one lane."""
        return self.source == self.target


def steps(history: History, cone: Cone, name: str = "") -> list[Step]:
    """The steps of a cone. ``name`` is the oracle that fails; its moment is marked."""
    events = list(history)
    teller = _Teller(history, cone)
    told: list[Step] = []
    before = -1
    for place in cone.places:
        skipped = sum(type(event) not in _BOOKKEEPING for event in events[before + 1 : place])
        before = place
        for step in teller.steps(events[place]):
            told.append(_short(step, skipped))
            skipped = 0
    told = _marked(_folded(told), cone.at_t, name)
    if len(told) <= STEPS_MAX:
        return told
    head, tail = told[:KEPT_AT_ENDS], told[-KEPT_AT_ENDS:]
    left_out = sum(1 + step.skipped + step.alike for step in told[KEPT_AT_ENDS:-KEPT_AT_ENDS])
    return [*head, replace(tail[0], skipped=tail[0].skipped + left_out), *tail[1:]]


def _short(step: Step, skipped: int) -> Step:
    """A wire, a client or a scenario may have said anything, at any length."""
    text, detail = shortened(step.text, TEXT_MAX), shortened(step.detail, TEXT_MAX)
    return replace(step, text=text, detail=detail, fault=shortened(step.fault, TEXT_MAX), skipped=skipped)


def _folded(told: list[Step]) -> list[Step]:
    """Steps that say the same again and again, as a client that keeps asking does, shown twice and then counted."""
    kept: list[Step] = []
    left_out = 0
    seen: dict[tuple[str, ...], int] = {}
    for step in told:
        loose = bool(step.fault) and step.is_note
        sign = ("", step.fault) if loose else (step.source, step.target, step.text, step.tone, step.fault)
        if step.is_note and not loose:
            seen = {}
        seen[sign] = seen.get(sign, 0) + 1
        if seen[sign] > _ALIKE_SHOWN and kept:
            kept[-1] = replace(kept[-1], alike=kept[-1].alike + 1)
            left_out += step.skipped
        else:
            kept.append(replace(step, skipped=step.skipped + left_out))
            left_out = 0
    return kept


def _marked(told: list[Step], at_t: float | None, name: str) -> list[Step]:
    """With the moment at which the verdict became true as a step of its own."""
    if at_t is None or not told:
        return told
    place = next((n for n, step in enumerate(told) if step.t > at_t + EPSILON_S), len(told))
    # What the venue did at that moment is what should not have been.
    for n in range(place - 1, -1, -1):
        if told[n].t < at_t - EPSILON_S:
            break
        if told[n].source == "venue" and told[n].is_note:
            told[n] = replace(told[n], tone="bad")
            break
    mark = Step(at_t, "caller", "venue", f"from here on {name} fails", tone="bad")
    return [*told[:place], mark, *told[place:]]


class _Teller:
    def __init__(self, history: History, cone: Cone) -> None:
        self._cone = cone
        self._received = {event.request: event for event in history.of(Received)}
        answered = {event.request for event in history.of(Answered)}
        by_point = {(e.endpoint, e.entity, e.nth): e.request for e in self._received.values()}
        messages = {(f"stream {e.stream}", f"{e.entity}/{e.topic}", e.nth) for e in history.of(Delivered)}
        self._in: dict[int, Struck] = {}
        self._out: dict[int, Struck] = {}
        self._message: dict[tuple[str, str, int], Struck] = {}
        self._attached: set[int] = set()
        self._killers: dict[float, Struck] = {}
        self._dead = False
        for struck in history.of(Struck):
            point = (struck.endpoint, struck.entity, struck.nth)
            request = by_point.get(point)
            if request is not None and struck.phase == "before":
                self._in[request] = struck
            elif struck.action.startswith("Crash"):
                self._killers[struck.t] = struck
            elif request is not None and request in answered:
                self._out[request] = struck
            elif point in messages:
                self._message[point] = struck
            else:
                continue
            self._attached.add(struck.receipt)
        self._keys: dict[str, str] = {}
        self._stores = bool(history.of(Crashed))

    def steps(self, event: Event) -> list[Step]:  # one line per kind of event: a table
        match event:
            case Intent():
                return [Step(event.t, "caller", "client", self._wanted(event), intent=event.id)]
            case Answer():
                return [self._answer(event)]
            case Received():
                return [self._request(event)]
            case Answered():
                return [self._response(event)]
            case Effect():
                return self._effect(event)
            case Delivered():
                return [self._push(event)]
            case Belief():
                return self._belief(event)
            case Struck():
                return [] if event.receipt in self._attached else [self._strike(event)]
            case Boot():
                return self._boot(event)
            case Crashed():
                return [self._crash(event)]
        return self._rest(event)

    def _rest(self, event: Event) -> list[Step]:
        match event:
            case Connected():
                what = (
                    f"subscribed to {', '.join(event.topics)}" if event.topics else f"connects to stream {event.stream}"
                )
                return [Step(event.t, "client", "venue", what, f"connection {event.connection}", "stream")]
            case Disconnected():
                what = f"stream {event.stream} ends ({event.code})"
                return [Step(event.t, "venue", "client", what, f"connection {event.connection}", "stream")]
            case TokenIssued():
                return [Step(event.t, "venue", "venue", f"issues {event.token}", f"until {event.until_t:.3f} s", "dim")]
            case TokenEnded():
                return [Step(event.t, "venue", "venue", f"ends {event.token}", tone="bad")]
            case Phase():
                return [Step(event.t, "client", "client", "the run ends; this view is judged", tone="dim")]
            case Stuck():
                return [Step(event.t, "client", "client", f"still waits: {event.task}", event.waiting_at, "bad")]
            case Trouble():
                return [Step(event.t, "client", "client", event.what, shortened(event.detail, 80), "bad")]
        return []

    def _wanted(self, event: Intent) -> str:
        price = f" at {event.price}" if event.price else ""
        if event.op == "place":
            return f"{event.id}: {event.side} {event.quantity} {event.symbol}{price}"
        return f"{event.id}: {event.op} {event.of}"

    def _answer(self, event: Answer) -> Step:
        tone: Tone = "unsure" if event.outcome == "info" else "plain"
        said = f"{event.intent}: {_SAID[event.outcome]}"
        return Step(event.t, "client", "caller", said, shortened(event.detail, 60), tone, intent=event.intent)

    def _request(self, event: Received) -> Step:
        struck = self._in.get(event.request)
        fault = "" if struck is None else f"{struck.fault}: {action_text(struck.action)}"
        halted = struck is not None and struck.action.startswith(("Cut", "Drop", "Delay", "Hold"))
        repeats = event.nth > 1 and event.entity != "-" and not event.endpoint.startswith("GET")
        again = f", attempt {event.nth}" if repeats else ""
        copy = ", a copy that faultline made" if event.injected else ""
        key = self._key(event)
        target: Lane = "wire" if halted else "venue"
        text = f"{event.endpoint}{again}{copy}"
        return Step(event.t, "client", target, text, key, "lost" if halted else "plain", fault, event.sent_t)

    def _key(self, event: Received) -> str:
        """The idempotency key, and what the last request of this kind for this intent had."""
        if not event.key:
            return ""
        kind = f"{event.endpoint} {event.entity}"
        before, self._keys[kind] = self._keys.get(kind), event.key
        which = "" if before is None else ", the same again" if before == event.key else ", a new one"
        return f"key {event.key[:10]}{which}"

    def _response(self, event: Answered) -> Step:
        struck = self._out.get(event.request)
        fault = "" if struck is None else f"{struck.fault}: {action_text(struck.action)}"
        gone = event.fate in ("lost", "cut") or self._dead
        request = self._received.get(event.request)
        of = "" if request is None else f" to {request.endpoint}"
        wait = "" if event.retry_after_s is None else f"retry after {event.retry_after_s:g} s"
        text = f"{event.status}{of}" + (
            f", {event.fate}" if event.fate != "sent" else ", nobody is there" if self._dead else ""
        )
        return Step(event.t, "venue", "wire" if gone else "client", text, wait, "lost" if gone else "plain", fault)

    def _effect(self, event: Effect) -> list[Step]:
        found: list[Step] = []
        struck = self._in.get(event.request)
        sent = self._received.get(event.request)
        if struck is not None and sent is not None and event.t > sent.t + EPSILON_S:
            begun_t = sent.t if sent.sent_t is None else sent.sent_t
            late = f"{sent.endpoint} arrives late"
            found.append(Step(event.t, "wire", "venue", late, f"sent at {begun_t:.3f} s", begun_t=begun_t))
        told = {
            "order": f"{event.order} accepted",
            "fill": f"{event.order} filled {event.quantity} at {event.price}",
            "reject": "order refused",
        }.get(event.what, f"{event.order} {event.after.replace('_', ' ')}")
        detail = f"now {event.after.replace('_', ' ')}, {event.filled} done" if event.what == "fill" else ""
        return [*found, Step(event.t, "venue", "venue", told, detail, intent=event.intent or "")]

    def _push(self, event: Delivered) -> Step:
        struck = self._message.get((f"stream {event.stream}", f"{event.entity}/{event.topic}", event.nth))
        fault = "" if struck is None else f"{struck.fault}: {action_text(struck.action)}"
        gone = event.fate in ("dropped", "lost")
        number = f" #{event.sequence}" if event.sequence else ""
        fate = "" if event.fate == "sent" else f", {event.fate}"
        text = f"{event.topic}{number}: {event.subject}{fate}"
        return Step(event.t, "venue", "wire" if gone else "client", text, "", "lost" if gone else "stream", fault)

    def _belief(self, event: Belief) -> list[Step]:
        orders = [order for order in event.orders if order.intent in self._cone.intents]
        words = [
            f"{order.intent} {order.state.replace('_', ' ')}"
            + (f" {order.filled}" if order.filled != "0" else "")
            + (f" ({order.order})" if order.order else "")
            for order in orders
        ]
        words = words or [f"applied {', '.join(event.fills[:3])}"]
        return [Step(event.t, "client", "client", "believes " + "; ".join(words[:2]), tone="dim")]

    def _strike(self, event: Struck) -> Step:
        where = "by the clock" if event.phase == "tick" else f"{event.endpoint} [{event.entity}] {event.phase}"
        text = f"{event.fault}: {action_text(event.action)}"
        lane: Lane = "store" if event.plane == "store" and self._stores else "wire"
        return Step(event.t, lane, lane, where, "", "lost", text)

    def _crash(self, event: Crashed) -> Step:
        self._dead = True
        killer = self._killers.get(event.t)
        fault = "" if killer is None else f"{killer.fault}: {killer.phase} {killer.endpoint} [{killer.entity}]"
        tone: Tone = "plain" if event.how == "stop" else "bad"
        text = f"process {event.incarnation} {_DIED.get(event.how, event.how)}"
        return Step(event.t, "client", "client", text, tone=tone, fault=fault)

    def _boot(self, event: Boot) -> list[Step]:
        self._dead = False
        if event.incarnation == 1:
            return []
        text = f"process {event.incarnation} starts from what was stored"
        return [Step(event.t, "store", "client", text)]
