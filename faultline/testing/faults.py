"""What every fault keeps, so that it works in each world and each search: a pure decision at points that it names."""

from __future__ import annotations

import inspect
import pickle
import random
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from functools import partial
from itertools import product
from typing import Any, Final, get_args, get_type_hints

from faultline.faults import FAULTS, codec
from faultline.faults.actions import Action
from faultline.faults.base import Fault, State, why_no_fault
from faultline.faults.chance import Chance
from faultline.faults.points import Moment, Plane, Point
from faultline.faults.schedule import Schedule, ScheduledCondition
from faultline.scenario.forms import Form, key_of
from faultline.testing.conformance import Promises

_PHASES: Final = {
    Plane.MESSAGE: ("before", "after", "out", "ack"),
    Plane.STREAM: ("connect", "up", "down", "resolve"),
    Plane.VENUE: ("decide",),
    Plane.TARGET: ("before", "after"),
}
_ENDPOINTS: Final = {
    Plane.MESSAGE: ("POST /orders", "GET /fills", "stream user"),
    Plane.STREAM: ("rest", "stream"),
    Plane.VENUE: ("match", "accept", "read"),
    Plane.TARGET: ("store",),
}
_TIMES_S: Final = (0.0, 1.0, 7.5)
_HEADERS: Final = {"authorization": "Bearer x"}
_DRAWS: Final = 40


def check_fault(fault: Fault | type[Fault]) -> None:
    """Raises NonConforming for a fault that does not keep what ours keep.

    A class is checked with its defaults, an instance as it is. It must be a frozen dataclass that can be built from its
    name alone, compared, hashed, sent to another process, saved and explained; a decision must depend on nothing but
    the moment, the state and the chance that it is given; it must be able to strike, and only where it says.
    """
    kind = fault if isinstance(fault, type) else type(fault)
    promises = Promises(f"fault {getattr(kind, 'kind', kind.__name__)!r}")
    why = why_no_fault(getattr(kind, "kind", ""), kind)
    if promises.that(not why, f"{kind.__name__} {why}"):
        made = promises.works(kind, "it cannot be made without arguments, so its bare name is no fault")
        _check_class(promises, kind)
        subject = fault if isinstance(fault, Fault) else made
        if subject is not None:
            _check_value(promises, subject)
            _check_decisions(promises, subject)
    promises.keep()


def _check_class(promises: Promises, kind: type[Fault]) -> None:
    promises.that(is_dataclass(kind), "it is no dataclass, so its parameters are not known")
    promises.that(
        (kind.__doc__ or "").strip() and not (kind.__doc__ or "").startswith(f"{kind.__name__}("), "it has no docstring"
    )
    known = {phase for phases in _PHASES.values() for phase in phases}
    promises.that(
        kind.phases and kind.phases <= known, f"its phases {sorted(kind.phases)} are not among {sorted(known)}"
    )
    promises.works(lambda: Form.of(kind), "a scenario file cannot write it")
    own = (
        {field.name for field in fields(kind)} - {field.name for field in fields(Fault)}
        if is_dataclass(kind)
        else set()
    )
    hints = get_type_hints(kind, include_extras=True)
    words = inspect.getdoc(kind) or ""
    for name in sorted(own):
        key = key_of(name, hints[name])
        promises.that(f"``{key}``" in words or f"``{name}``" in words, f"its docstring does not explain ``{key}``")


def _check_value(promises: Promises, fault: Fault) -> None:
    try:
        object.__getattribute__(fault, "__class__").__setattr__(fault, "on", "elsewhere")
    except FrozenInstanceError:
        pass
    else:
        promises.that(False, "it can be changed after it was made: write @dataclass(frozen=True, kw_only=True)")
    promises.works(lambda: hash(fault), "it cannot be hashed")
    again = promises.works(lambda: pickle.loads(pickle.dumps(fault)), "it cannot be sent to another process")
    promises.that(again is None or again == fault, "sent to another process it is another fault")
    if FAULTS.get(fault.kind) is type(fault):
        schedule = Schedule((ScheduledCondition(fault.kind, fault.kind, fault),))
        saved = promises.works(lambda: codec.loads(codec.dumps(schedule)).schedule, "it cannot be saved and loaded")
        promises.that(saved is None or saved == schedule, "saved and loaded it is another fault")


def _moments(fault: Fault) -> Iterator[Moment]:
    """Moments at points of all sorts, and at the endpoint that the fault itself names."""
    own = (fault.on.replace("*", "x").replace("?", "x"),)
    for plane, phases in _PHASES.items():
        for endpoint in dict.fromkeys([*_ENDPOINTS[plane], *own]):
            for phase in phases:
                for nth in (0, 1, 2, 80):
                    for t_s, size_bytes in product(_TIMES_S, (1000, 0)):
                        point = Point(plane, endpoint, "I1", nth, phase)
                        yield Moment(point, t_s, _HEADERS, size_bytes=size_bytes, wall_s=t_s, until_s=30.0)


def _check_decisions(promises: Promises, fault: Fault) -> None:
    chance = Chance(1, "conformance")
    struck: set[str] = set()
    sure = replace(fault, probability=1.0)
    never = replace(fault, probability=0.0)
    for moment in _moments(fault):
        point = moment.point
        if not sure.about(point.plane, point.endpoint, point.phase):
            continue
        for draw in range(_DRAWS):
            ask = partial(_twice, promises, sure, moment, chance.child(draw))
            decided = promises.works(ask, f"at {point} it breaks")
            if decided is None:
                return
            if decided:
                struck.add(point.phase)
                break
        if point.phase not in struck and never.step(State(), moment, chance)[1]:
            promises.that(False, f"with probability 0% it strikes at {point}")
    ticks = [tick for tick, _ in zip(sure.ticks(chance, 0.0), range(3), strict=False)] if sure.by_the_clock else []
    promises.that(struck or ticks, f"it never strikes, at no point of the phases {sorted(fault.phases)}")


def _twice(promises: Promises, fault: Fault, moment: Moment, chance: Chance) -> tuple[Action, ...] | None:
    """What it asks for: the same whenever it is asked, and from the closed list. None when that is not so."""
    before = len(promises.broken)
    kept = random.getstate()
    try:
        random.seed(1)
        state, actions = fault.step(State(), moment, chance)
        random.seed(2)
        again: tuple[State, tuple[Action, ...]] = fault.step(State(), moment, chance)
    finally:
        random.setstate(kept)
    if (state, actions) != again:
        promises.broken.append(
            f"asked twice at {moment.point} it decides differently: draw from the chance it is given"
        )
    known: tuple[Any, ...] = get_args(Action)
    if not isinstance(actions, tuple) or not all(isinstance(action, known) for action in actions):
        promises.broken.append(f"at {moment.point} it asks for {actions!r}, which is no tuple of actions")
    return actions if before == len(promises.broken) else None
