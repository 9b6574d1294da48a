"""Why it failed, in sentences: what the faults did, what the client did then, and what usually mends it.

Generated from the history. The advice is by oracle: it names the decision that a client has to take differently, which
is the same in every language and for every venue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from faultline.history import History
from faultline.history.event import Received, Resolved, Struck
from faultline.oracles.base import EPSILON_S, plural
from faultline.reports.cone import Cone
from faultline.reports.text import action_text

CAUSES_MAX: Final = 3

ADVICE: Final[Mapping[str, str]] = {
    "no_duplicates": "A request without an answer may have been done. Send it again only under the same idempotency "
    "key, or ask the venue first what became of it. Write the key down before the first send.",
    "no_lost_intent": "Say that something was not done only when the venue said so. A timeout means unknown: find out "
    "before the caller is told, or tell the caller that it is unknown.",
    "no_lost_ack": "Store what was acknowledged before the caller is told, and read it back after a restart.",
    "no_lost_events": "After each gap or reconnect ask the venue for its state and take what is missing from there; "
    "subscribe again on every new connection.",
    "fills_conserved": "Apply each fill once, by its id, and take amounts from the venue's cumulative figures.",
    "legal_order_states": "Order updates by the venue's sequence, and let nothing follow a final state.",
    "reconciled": "At intervals and after each reconnect compare with the venue, and take over its state.",
    "resolved_unknowns": "Keep unknown outcomes in a list of their own, and ask the venue until each is known.",
    "recovers": "Bound every wait, and retry after the fault is over; look for a lock or a task that never came back.",
    "no_stuck_tasks": "Give every wait a time limit, and end background tasks when their connection ends.",
    "rate_limit_respected": "Count what is sent, by the venue's weights and window, and wait before the limit.",
    "retry_after_honoured": "When a response says how long to wait, wait so long with all requests of its kind.",
    "retry_budget": "Bound the attempts of one call, also over nested retries.",
    "retry_policy": "Do not repeat what was refused for good, and repeat what is not idempotent only under its key.",
    "backoff": "Wait longer before each further attempt, with jitter.",
    "breaker_legal": "While the breaker is open send nothing; half open, send one probe and wait for its answer.",
    "single_flight_refresh": "Let one task renew the token while the others wait for it.",
    "thundering_herd": "Spread reconnects out with jitter.",
    "token_valid_at_send": "Renew a token before it ends, and after each 401 once.",
    "latency": "Look at the slowest operations below: what did they wait for?",
}


def why(history: History, cone: Cone) -> str:
    """What led to the verdict, as a sentence; empty when nothing struck."""
    strikes = _by_fault(history)
    if not strikes:
        return ""
    told = [_happened(history, struck, count) for struck, count in strikes[:CAUSES_MAX]]
    if len(strikes) > CAUSES_MAX:
        told.append(plural(len(strikes) - CAUSES_MAX, "further fault") + " struck")
    decision = _decision(history, cone, strikes[0][0].t)
    sentence = "; ".join(told) + (f"; then {decision}" if decision else "")
    return sentence[0].upper() + sentence[1:] + "."


def _by_fault(history: History) -> list[tuple[Struck, int]]:
    """The strikes; those of one fault that hold again and again are one."""
    found: dict[tuple[str, ...], tuple[Struck, int]] = {}
    for struck in history.of(Struck):
        single = struck.plane == "message"
        sign = (struck.fault, struck.endpoint, struck.entity, str(struck.nth)) if single else (struck.fault,)
        first, count = found.get(sign, (struck, 0))
        found[sign] = (first, count + 1)
    return list(found.values())


def _happened(history: History, struck: Struck, count: int) -> str:
    whose = "" if struck.entity in ("", "-") else f" of {struck.entity.split('/')[0]}"
    effect = next((event.effect for event in history.of(Resolved) if event.receipt == struck.receipt), "unknown")
    known = {"applied": ", after the venue had done it", "not_applied": ", before the venue did anything"}
    what = f"{struck.endpoint}{whose}"
    at = f" at {struck.t:.3f} s"
    action = struck.action.partition("(")[0]
    match struck.plane, struck.phase, action:
        case "message", "after", "Cut" | "Drop":
            return f"the response to {what} was lost{at}{known.get(effect, '')}"
        case "message", "before", "Cut" | "Drop":
            return f"the request {what} was lost{at} on its way"
        case "message", "before", "Delay" | "Hold":
            return f"the request {what}, sent{at}, was held back on its way ({action_text(struck.action)})"
        case "message", "after", "Delay" | "Hold":
            return f"the response to {what}{at} was held back ({action_text(struck.action)})"
        case "message", _, "Crash":
            return f"the client's process was killed{at}, right {struck.phase} {what}{_brackets(known.get(effect, ''))}"
        case "message", "out", "Drop":
            return f"the stream message{whose} was dropped{at}"
    many = f", {count} times from then on" if count > 1 else ""
    where = "" if struck.phase == "tick" else f" on {struck.endpoint}"
    return f"the fault {struck.fault} struck{where}{at}{many} ({action_text(struck.action)})"


def _brackets(known: str) -> str:
    return f" ({known.removeprefix(', ')})" if known else ""


def _decision(history: History, cone: Cone, after_t: float) -> str:
    """What the client did after the fault that led to the verdict: that it sent something again, and how."""
    until_t = history.end_t if cone.at_t is None else cone.at_t
    sent: dict[tuple[str, str], Received] = {}
    for event in history.of(Received):
        if event.injected or event.entity not in cone.intents or event.endpoint.startswith("GET"):
            continue
        kind = (event.endpoint, event.entity)
        first = sent.setdefault(kind, event)
        if first is not event and after_t - EPSILON_S <= event.t <= until_t + EPSILON_S:
            key = ""
            if event.key and first.key:
                key = " under the same key" if event.key == first.key else " under a new key"
            elif not event.key:
                key = " without a key"
            return f"the client sent {event.endpoint} for {event.entity} again at {event.t:.3f} s{key}"
    return ""
