"""The system under test: how it is loaded, driven and read.

A target is an ordinary client class that knows nothing of faultline. It is driven by its own methods and read by
one, :meth:`OrdersTarget.snapshot`; the words it uses are mapped here. ``path/to/file.py:Class`` names it, or it is a
command: then it lives in a process of its own, and an object stands here for it.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, cast

import msgspec

from faultline.errors import TargetError, UsageError
from faultline.history.contract import OPEN_STATES, TERMINAL_STATES
from faultline.history.event import AlertBelief, Belief, OrderBelief, Outcome
from faultline.worlds.command import Command

OUTCOMES: Final[Mapping[str, Outcome]] = {
    "accepted": "ok",
    "rejected": "fail",
    "unknown": "info",
    "ok": "ok",
    "fail": "fail",
    "info": "info",
}
"""What a target's method returns, and the outcome it means. An exception is ``info``: nobody can know."""


class OrdersTarget(Protocol):
    """A client that understands the ``orders`` workload. Its constructor takes the keyword arguments of
    :class:`Surroundings`.

    ``place``, ``cancel`` and ``replace`` are idempotent per ``intent_id``: after a crash the workload asks again,
    under the same id, for everything that has no answer yet.
    """

    async def start(self) -> None:
        """Connect and recover. Returns when it can take orders."""
        ...

    async def stop(self) -> None:
        """Stop the orderly way and leave no task behind."""
        ...

    async def place(self, intent_id: str, *, symbol: str, side: str, order_type: str, quantity: str, price: str) -> str:
        """``accepted``, ``rejected`` (certainly not placed) or ``unknown``."""
        ...

    async def cancel(self, intent_id: str, *, of: str) -> str:
        """Cancel the order of intent ``of``."""
        ...

    async def replace(self, intent_id: str, *, of: str, quantity: str, price: str) -> str:
        """Change size and price of the order of intent ``of``."""
        ...

    async def kill(self, intent_id: str) -> str:
        """Send no order from now on that opens or adds to a position, also after a restart."""
        ...

    async def flatten(self, intent_id: str) -> str:
        """Close every position. The keys of its orders begin with ``intent_id``, or nobody can tell whose they are."""
        ...

    def snapshot(self) -> Mapping[str, Any]:
        """What it believes now: ``orders`` (by intent: ``order_id``, ``status``, ``filled``), ``positions`` (by
        symbol), ``fills`` (ids in the order in which they were applied, repeats included), ``stale``, ``alerts`` (those
        raised, in order: ``key``, ``level``, ``resolved``)."""
        ...


class ProcessTarget(OrdersTarget, Protocol):
    """What stands for a client that is a process of its own."""

    def on_end(self, tell: Callable[[TargetError], None]) -> None:
        """Call ``tell`` when it ends by itself (ProcessEnded), or says what is not of the protocol."""
        ...

    def pause(self, lasts_s: float) -> bool:
        """Stop its process for so long. False when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that a target is told about where it runs. ``store_path`` is a file that survives a crash."""

    rest_url: str
    stream_url: str
    store_path: str
    client_id: str
    client_secret: str


@dataclass(frozen=True, slots=True)
class TargetRef:
    """``path/to/file.py:Class``: where a target is. ``name`` is what the scenario calls it.

    The path counts from the working folder, else from ``near`` (the scenario's own file) or a folder above that.
    With ``command`` it is a process instead, and ``spec`` is its command line.
    """

    name: str
    spec: str
    near: str = ""
    command: Command | None = None

    def load(self) -> Callable[..., OrdersTarget]:
        """The class, or what stands for a command.

        Raises UsageError that says what is missing, TargetError for a file that does not import.
        """
        if self.command is not None:
            from faultline.worlds.live.command_target import CommandTarget

            return partial(CommandTarget, self.command.found(self.near))
        return self._class()

    def _class(self) -> type[OrdersTarget]:
        file, _, attribute = self.spec.rpartition(":")
        if not file or not attribute.isidentifier():
            raise UsageError(f"{self.spec!r} does not name a target; write path/to/file.py:Class")
        module = module_at(self._found(Path(file)))
        found = getattr(module, attribute, None)
        if not isinstance(found, type):
            own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
            classes = sorted(value.__name__ for value in own if isinstance(value, type))
            raise UsageError(f"{file} has no class {attribute!r} (it has: {', '.join(classes) or 'none'})")
        lacking = [name for name in _REQUIRED if not callable(getattr(found, name, None))]
        if lacking:
            raise UsageError(f"{self.spec} cannot be driven: it has no {', '.join(lacking)}; see docs/targets.md")
        for name, given in _CALLS.items():
            self._check_call(found, name, given)
        return cast("type[OrdersTarget]", found)

    def _check_call(self, found: type[Any], name: str, given: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        method = inspect.getattr_static(found, name, None)
        if not inspect.isfunction(method):
            return  # absent, or something that only a call can tell about
        by_place, by_name = given
        try:
            inspect.signature(method).bind(found, *by_place, **dict.fromkeys(by_name))
        except TypeError as error:
            call = ", ".join([*by_place, *(f"{argument}=..." for argument in by_name)])
            raise UsageError(
                f"{self.spec} cannot be driven: it will be called as {name}({call}), and {error}; see docs/targets.md"
            ) from error

    def _found(self, file: Path) -> Path:
        if self.near and not file.is_absolute() and not file.exists():
            for folder in Path(self.near).resolve().parents:
                if (folder / file).is_file():
                    return folder / file
        return file

    def can(self, op: str) -> bool:
        """Whether the target has the method for this kind of intent. A command is asked for all of them."""
        return self.command is not None or callable(getattr(self.load(), op, None))


_REQUIRED: Final = ("start", "stop", "place", "snapshot")
_CALLS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "start": ((), ()),
    "stop": ((), ()),
    "snapshot": ((), ()),
    "place": (("intent_id",), ("symbol", "side", "order_type", "quantity", "price")),
    "cancel": (("intent_id",), ("of",)),
    "replace": (("intent_id",), ("of", "quantity", "price")),
    "kill": (("intent_id",), ()),
    "flatten": (("intent_id",), ()),
}
"""How each method is called: arguments by place, arguments by name."""
_modules: dict[Path, Any] = {}


def module_at(path: Path) -> Any:
    """The module in a Python file, imported once. Raises UsageError and TargetError."""
    path = path.resolve()
    if path in _modules:
        return _modules[path]
    if not path.is_file():
        raise UsageError(f"{path}: no such file; a target is named path/to/file.py:Class")
    # Its neighbours are importable as they are for its own tests: from its folder, and from the folder above.
    for folder in (str(path.parent.parent), str(path.parent)):
        if folder not in sys.path:
            sys.path.append(folder)
    name = _module_name(path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        at = f", at line {lines[-1]}" if lines else ""
        raise TargetError(f"{path} does not import{at}: {type(error).__name__}: {error}") from error
    _modules[path] = module
    return module


def _module_name(stem: str) -> str:
    # Names of modules show in what a client says of its own objects, and with that in histories: no path may be in
    # them, and no name that a real module could have.
    names = (f"target_{stem}{'' if count == 1 else count}" for count in itertools.count(1))
    return next(name for name in names if name not in sys.modules)


STATES: Final = OPEN_STATES | TERMINAL_STATES | {"pending", "unknown"}
"""What ``status`` of an order in a snapshot may be: the venue's own words, ``pending`` for an order that was not
acknowledged yet, ``unknown`` for one that nobody can tell about."""


class BeliefReader:
    """Turns a target's snapshots into belief events that hold only what changed."""

    def __init__(self) -> None:
        self._begin(0)

    def _begin(self, incarnation: int) -> None:
        self._incarnation = incarnation
        self._orders: dict[Any, dict[Any, Any]] = {}
        self._positions: dict[str, str] = {}
        self._positions_as_told: dict[Any, Any] = {}
        self._fills = 0
        self._alerts = 0
        self._stale = False

    def read(self, target: OrdersTarget, incarnation: int, t: float, *, final: bool = False) -> Belief | None:
        """The change since the last reading of this incarnation; None when there is none (unless ``final``).

        Raises TargetError when there is no snapshot, or not one of the documented shape.
        """
        if incarnation != self._incarnation:
            self._begin(incarnation)  # a new process tells its whole view anew
        try:
            view = _mapping(target.snapshot(), "it")
            orders = self._changed_orders(_mapping(view.get("orders", {}), "orders"))
            positions = self._changed_positions(_mapping(view.get("positions", {}), "positions"))
            fills = self._new_fills(view.get("fills", ()))
            stale = bool(view.get("stale", False))
            alerts = self._new_alerts(view["alerts"]) if "alerts" in view else msgspec.UNSET
        except Exception as error:
            wrong = str(error) if isinstance(error, _Shape) else f"it raised {type(error).__name__}: {error}"
            raise TargetError(f"{type(target).__name__}.snapshot(): {wrong}; see docs/targets.md") from error
        if not (orders or positions or fills or alerts or final or stale != self._stale):
            return None
        self._fills += len(fills)
        self._alerts += len(alerts or ())
        self._stale = stale
        return Belief(t, incarnation, orders, positions, fills, final, stale, alerts)

    def _changed_orders(self, orders: Mapping[Any, Any]) -> tuple[OrderBelief, ...]:
        known = self._orders
        # Read after every answer and every second, and most often the same: that is one comparison, without a loop.
        if orders == known:
            return ()
        changed: list[OrderBelief] = []
        for intent, order in orders.items():
            before = known.get(intent)
            if before is not None and order == before:
                continue
            known[intent] = dict(_mapping(order, f"order {intent}"))
            if before is None or _told(order) != _told(before):
                changed.append(_belief(intent, order))
        if len(orders) < len(known):
            for intent in [intent for intent in known if intent not in orders]:
                del known[intent]
                changed.append(OrderBelief(str(intent), "absent"))
        return tuple(changed)

    def _changed_positions(self, positions: Mapping[Any, Any]) -> tuple[tuple[str, str], ...]:
        if positions == self._positions_as_told:
            return ()
        now = {str(symbol): _decimal(quantity) for symbol, quantity in positions.items()}
        gone = {symbol: "0" for symbol in self._positions if symbol not in now}
        changed = tuple(
            (symbol, value) for symbol, value in (now | gone).items() if self._positions.get(symbol) != value
        )
        self._positions = now
        self._positions_as_told = dict(positions)
        return changed

    def _new_fills(self, fills: Any) -> tuple[str, ...]:
        if not isinstance(fills, Sequence) or isinstance(fills, str):
            raise _Shape(f"fills is {_named(fills)}, not a list of ids")
        return tuple(str(fill) for fill in fills[self._fills :])

    def _new_alerts(self, alerts: Any) -> tuple[AlertBelief, ...]:
        if not isinstance(alerts, Sequence) or isinstance(alerts, str):
            raise _Shape(f"alerts is {_named(alerts)}, not a list of alerts")
        return tuple(_alert(alert) for alert in alerts[self._alerts :])


def _alert(alert: Any) -> AlertBelief:
    told = _mapping(alert, "an alert")
    if not told.get("key") or not told.get("level"):
        raise _Shape(f"an alert is {_named(alert)}; it needs a key and a level")
    return AlertBelief(str(told["key"]), str(told["level"]), bool(told.get("resolved", False)))


def _told(order: Mapping[Any, Any]) -> tuple[object, object, object]:
    return order.get("status"), order.get("filled", "0"), order.get("order_id")


def _belief(intent: object, order: Mapping[Any, Any]) -> OrderBelief:
    state, filled, order_id = _told(order)
    status = str(state)
    if status not in STATES:
        raise _Shape(f"the status of order {intent} is {status!r}, not one of {', '.join(sorted(STATES))}")
    return OrderBelief(str(intent), status, _decimal(filled), str(order_id or ""))


class _Shape(Exception):
    """A snapshot is not of the documented shape."""


def _named(value: object) -> str:
    return f"{type(value).__name__} {value!r}"[:100]


def _mapping(value: Any, name: str) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    if inspect.iscoroutine(value):
        value.close()
        raise _Shape(f"{name} is a coroutine; write it with a plain def")
    raise _Shape(f"{name} is {_named(value)}, not a mapping")


def _decimal(value: object) -> str:
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite():
        raise _Shape(f"{value!r} is not a number")
    return format(number.normalize(), "f")
