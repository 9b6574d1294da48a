"""Clients that lost the same venue at once do not all come back at once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from faultline.history import History
from faultline.history.event import Connected, Disconnected
from faultline.oracles.base import EPSILON_S, Finding, Verdict, plural, seconds, verdict
from faultline.units import Seconds, show_seconds


@dataclass(frozen=True)
class ThunderingHerd:
    """After an outage that ended ``clients_min`` or more stream connections within ``window_s``, the new connections of
    any ``window_s`` seconds are at most ``factor`` times what an even spread over ``spread_s`` would be.

    Both ends of the outage count: connections that are lost together, and all that are opened until as many are back.
    Which client a connection belongs to does not matter; one that reconnects twice is two arrivals, as it is for the
    venue.
    """

    name: ClassVar[str] = "thundering_herd"
    checks: ClassVar[tuple[str, ...]] = ("C25",)

    clients_min: int = 20
    spread_s: Seconds = 10.0
    window_s: Seconds = 1.0
    factor: float = 3.0

    def judge(self, history: History) -> Verdict:
        """Fails on a crowd; unknown when no outage ended connections enough."""
        arrivals = _arrivals(history)
        findings: list[Finding] = []
        outages = _outages(history, self.window_s, self.clients_min)
        for lost_t, lost in outages:
            back = [t for t in arrivals if t > lost_t][: 2 * lost]
            allowed = max(self.factor * lost * self.window_s / self.spread_s, 2.0)
            peak, peak_t = _peak(back, self.window_s)
            if peak > allowed:
                what = (
                    f"{plural(lost, 'connection')} ended by {seconds(lost_t)}, and {peak} came back within "
                    f"{show_seconds(self.window_s)} at {seconds(peak_t)}; {allowed:g} are allowed"
                )
                findings.append(Finding(what, peak_t))
        return verdict(
            self.name,
            len(outages),
            findings,
            summary=f"{plural(len(outages), 'outage')}, and no crowd after it",
            nothing=f"no outage ended {plural(self.clients_min, 'connection')} at once",
        )


def _arrivals(history: History) -> list[float]:
    """When each connection was opened: its first event."""
    opened: dict[tuple[str, int], float] = {}
    for event in history.of(Connected):
        opened.setdefault((event.stream, event.connection), event.t)
    return sorted(opened.values())


def _outages(history: History, window_s: float, clients_min: int) -> list[tuple[float, int]]:
    """When an outage had ended its last connection, and how many it ended."""
    found: list[tuple[float, int]] = []
    run: list[float] = []
    for t in [*sorted(event.t for event in history.of(Disconnected)), float("inf")]:
        if run and t - run[-1] > window_s:
            if len(run) >= clients_min:
                found.append((run[-1], len(run)))
            run = []
        run.append(t)
    return found


def _peak(times: list[float], window_s: float) -> tuple[int, float]:
    window: deque[float] = deque()
    peak, peak_t = 0, 0.0
    for t in times:
        window.append(t)
        while t - window[0] >= window_s - EPSILON_S:
            window.popleft()
        if len(window) > peak:
            peak, peak_t = len(window), t
    return peak, peak_t
