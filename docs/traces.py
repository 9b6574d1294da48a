"""What each fault looks like on the wire: one short run in the simulated world, shown around the first receipt.

The runs are seeded, so the pages are the same wherever they are made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from faultline.faults import FAULTS
from faultline.history.event import Resolved, Struck
from faultline.plan import make_plan
from faultline.reports.wire import wire
from faultline.runner import run
from faultline.scenario.load import loads

ROOT: Final = Path(__file__).parent.parent
LINES_MAX: Final = 9

EXAMPLES: Final = {
    "ban": "{at: 500ms, for: 2s}",
    "bandwidth": "{on: rest, rate: 4kB/s, at: 1s, for: 1s}",
    "cancel_race": "{by: 400ms}",
    "clock_step": "{by: 1h, at: 1s}",
    "corrupt": "{on: rest, rate: 100%, at: 1s, for: 500ms}",
    "crash": "{on: POST /orders, nth: 2}",
    "cut_after": "{on: stream, age: 2s}",
    "delay_message": "{on: stream user, topic: fills, nth: 1, by: 500ms}",
    "disconnect": "{on: stream user, at: 1s}",
    "dns_failure": "{on: rest, at: 0s, for: 500ms}",
    "drop_message": "{on: stream user, topic: fills, nth: 1}",
    "duplicate_message": "{on: stream user, topic: fills, nth: 1}",
    "duplicate_request": "{on: POST /orders, nth: 2}",
    "fill_before_ack": "{nth: 1}",
    "half_open": "{on: stream, at: 1s, first: 1}",
    "late_request": "{on: POST /orders, nth: 2, by: 3s}",
    "late_response": "{on: POST /orders, nth: 2, by: 3s}",
    "latency": "{on: rest, delay: 100ms, at: 1s, for: 1s}",
    "limit_data": "{on: rest, limit: 500B, direction: up}",
    "loss": "{on: rest, rate: 50%, at: 1s, for: 1s}",
    "lost_request": "{on: POST /orders, nth: 2}",
    "lost_response": "{on: POST /orders, nth: 2}",
    "maintenance": "{at: 1s, for: 1s}",
    "malformed_body": "{on: POST /orders, nth: 2}",
    "partial_fill": "{nth: 1}",
    "partition": "{at: 1s, for: 1s}",
    "refuse": "{on: rest, at: 0s, for: 500ms}",
    "reject": "{nth: 2}",
    "reorder_messages": "{on: stream user, topic: fills, nth: 1}",
    "reset_peer": "{on: rest, at: 1s, first: 1}",
    "restart": "{on: POST /orders, nth: 2}",
    "silent_stream": "{on: stream user, at: 1s, for: 2s}",
    "slicer": "{on: rest, piece: 64B, at: 1s, for: 1s}",
    "slow_close": "{on: stream, delay: 500ms}",
    "slow_fill": "{nth: 1, by: 2s}",
    "stale_read": "{lag: 2s}",
    "status_storm": "{on: POST /orders, status: 429, nth: 2}",
    "store_error": "{nth: 3}",
    "timeout": "{on: rest, at: 1s, for: 1s}",
    "token_expiry": "{at: 1s}",
    "truncate": "{on: rest, at: 1s, first: 1}",
    "unknown_status": "{on: POST /orders, nth: 2}",
}
ELSEWHERE: Final = {
    "hub_close": "Hubs are streams of the ProjectX profile.",
    "lost_completion": "Hubs are streams of the ProjectX profile.",
    "pause": "For a client that runs as a command, in the live world.",
}
"""Faults that the run of these pages cannot carry, and what can."""

BESIDE: Final = {
    "slow_close": "  - disconnect: {on: stream user, at: 1s}\n",
    "stale_read": "  - lost_response: {on: POST /orders, nth: 2}\n  - silent_stream: {on: stream user}\n",
}
"""What has to happen for some of them to have anything to strike."""

SCENARIO: Final = """
version: 1
name: trace
target: targets/order_flow.py:OrderFlow
venue: {{profile: generic, fill_delay: 800ms, resting: 50%}}
workload: {{orders: 5, rate: 2/s, cancels: 60%, linger: 3s, tail: 20s}}
faults:
  - {kind}: {spec}
{beside}expect: [not_vacuous]
"""


def trace(kind: str) -> str:
    """The example of a fault as it stands in a scenario, and what it does on the wire."""
    if kind in ELSEWHERE:
        return ELSEWHERE[kind] + "\n"
    spec = EXAMPLES[kind]
    (scenario,) = loads(SCENARIO.format(kind=kind, spec=spec, beside=BESIDE.get(kind, "")), str(ROOT / "trace.yaml"))
    done = run(make_plan(scenario, scenario.target(next(iter(scenario.targets)))), seed=1)
    if done.error is not None:
        raise done.error
    receipts = [event for event in done.history.of(Struck) if event.fault.partition("#")[0] == kind]
    if not receipts:
        raise LookupError(f"the example of {kind} never strikes: {spec}")
    applied = {event.receipt for event in done.history.of(Resolved) if event.effect == "applied"}
    number = next((event.receipt for event in receipts if event.receipt in applied), receipts[0].receipt)
    lines = wire(done.history, number, around_s=0.6).splitlines()
    at = next(index for index, line in enumerate(lines) if f"receipt {number}:" in line)
    shown = lines[max(0, at - 2) : at - 2 + LINES_MAX] if at >= 2 else lines[:LINES_MAX]
    body = "\n".join(line.rstrip() for line in shown)
    return f"```yaml\n- {kind}: {spec}\n```\n\n```text\n{body}\n```\n"


def unshown() -> set[str]:
    """Faults without an example."""
    return set(FAULTS) - set(EXAMPLES) - set(ELSEWHERE)
