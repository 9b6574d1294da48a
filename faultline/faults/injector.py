"""Where decisions become receipts: the one place that asks the decider.

The interceptor, the venue, the store and the network each hold this and nothing else of the fault machinery. It
knows the clock and the marks, asks the decider, keeps the first terminal action only, and writes both halves of a
receipt. After the load it is disarmed: the tail of a run is free of faults by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, Protocol

from faultline.faults.actions import TERMINAL, Action
from faultline.faults.points import NO_HEADERS, Moment, Plane, Point
from faultline.faults.schedule import ScheduledStrike
from faultline.history import History
from faultline.history.event import Resolved, Struck

WALL_START_S: Final = 1_767_225_600.0
"""2026-01-01 00:00:00 UTC: when a run begins, where the world does not say."""

EffectKnown = Literal["applied", "not_applied", "unknown"]


class Decision(NamedTuple):
    """One action a fault asks for, and which fault it was. ``holds`` marks a condition's."""

    fault: str
    action: Action
    holds: bool = False


class Decider(Protocol):
    """Who decides. Rules from a scenario, an explicit schedule, or a recorder that only notes the points."""

    @property
    def planes(self) -> frozenset[Plane]:
        """The planes at whose points there is anything to decide. A world need not ask on the others."""
        ...

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """What happens at this moment, in scenario order; most often nothing."""
        ...


class Strike(NamedTuple):
    """An action to carry out, with the number of its receipt (0: a condition that has one already)."""

    receipt: int
    action: Action


class Injector:
    """Asks ``decider``, writes receipts to ``history``.

    ``now_s`` is the world's clock since the run began, ``wall_s`` its wall clock in seconds since 1970 (not given:
    a run begins with the year 2026).
    """

    def __init__(
        self,
        decider: Decider,
        history: History,
        now_s: Callable[[], float],
        wall_s: Callable[[], float] | None = None,
    ) -> None:
        self._decider = decider
        self._history = history
        self._now_s = now_s
        self._wall_s = wall_s if wall_s is not None else lambda: WALL_START_S + now_s()
        self._receipts = 0
        self._marks: dict[str, float] = {}
        self._holding: set[tuple[str, str, str]] = set()
        self.struck: list[ScheduledStrike] = []
        self._listeners: list[Callable[[str, float], None]] = []
        self._receipt_listeners: list[Callable[[Struck], None]] = []
        self.armed = False
        self.struck_last_t: float | None = None

    @property
    def marks(self) -> Mapping[str, float]:
        """When each named thing first happened in this run."""
        return self._marks

    def concerns(self, plane: Plane) -> bool:
        """Whether anything may happen on ``plane``: a world asks once, instead of at every segment."""
        return plane in self._decider.planes

    def mark(self, name: str) -> None:
        """Note that ``name`` happened; only the first time counts. ``after:`` in a scenario refers to it."""
        if name not in self._marks:
            now = self._marks[name] = self._now_s()
            for listener in self._listeners:
                listener(name, now)

    def on_mark(self, listener: Callable[[str, float], None]) -> None:
        """Call ``listener(name, t_s)`` at the first occurrence of every mark from now on."""
        self._listeners.append(listener)

    def on_receipt(self, listener: Callable[[Struck], None]) -> None:
        """Call ``listener`` as each fault strikes from now on, before its action is carried out."""
        self._receipt_listeners.append(listener)

    def ask(
        self,
        plane: Plane,
        endpoint: str,
        entity: str,
        nth: int,
        phase: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        topic: str = "",
        connection: int = 0,
        size_bytes: int = 0,
    ) -> tuple[Strike, ...]:
        """The actions to carry out at this point, in order, each with its receipt begun."""
        if not self.armed or plane not in self._decider.planes:
            return ()
        point = Point(plane, endpoint, entity, nth, phase)
        moment = Moment(point, self._now_s(), headers, topic, connection, self._marks, size_bytes, self._wall_s())
        return self._strike(moment)

    def strike(self, moment: Moment) -> tuple[Strike, ...]:
        """As :meth:`ask`, for a moment made elsewhere. Time and marks are this run's, whatever the moment says."""
        if not self.armed:
            return ()
        return self._strike(
            Moment(
                moment.point,
                self._now_s(),
                moment.headers,
                moment.topic,
                moment.connection,
                self._marks,
                moment.size_bytes,
                self._wall_s(),
            )
        )

    def _strike(self, moment: Moment) -> tuple[Strike, ...]:
        decisions = self._decider.decide(moment)
        if not decisions:
            return ()
        strikes: list[Strike] = []
        for fault, action, holds in decisions:
            strikes.append(Strike(self._begin_once(fault, moment.point, action, holds), action))
            if isinstance(action, TERMINAL):
                break
        return tuple(strikes)

    def _begin_once(self, fault: str, point: Point, action: Action, holds: bool) -> int:
        # A condition acts on every segment of a connection; one receipt for each connection says so.
        if holds:
            where = (fault, point.endpoint, point.entity)
            if where in self._holding:
                self.struck_last_t = self._now_s()
                return 0
            self._holding.add(where)
        return self.begin(fault, point, action)

    def begin(self, fault: str, point: Point, action: Action, at_s: float | None = None) -> int:
        """First half of a receipt. Returns its number. ``at_s`` is the time of a strike by the clock."""
        self.struck.append(ScheduledStrike(fault, point, action, at_s))
        self._receipts += 1
        now = self.struck_last_t = self._now_s()
        struck = Struck(
            t=now,
            receipt=self._receipts,
            fault=fault,
            plane=point.plane.value,
            endpoint=point.endpoint,
            entity=point.entity,
            nth=point.nth,
            phase=point.phase,
            action=repr(action),
        )
        self._history.append(struck)
        self.mark(fault.partition("#")[0])
        self.mark(fault)
        for listener in self._receipt_listeners:
            listener(struck)
        return self._receipts

    def resolve(self, receipt: int, effect: EffectKnown) -> None:
        """Second half of a receipt: whether what was struck took effect."""
        if receipt == 0:
            return
        self._history.append(Resolved(t=self._now_s(), receipt=receipt, effect=effect))
