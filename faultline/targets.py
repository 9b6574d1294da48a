"""The system under test: how it is loaded, driven and read.

A target is an ordinary client class that knows nothing of faultline. It is driven by its own methods and read by
one, :meth:`OrdersTarget.snapshot`; the words it uses are mapped here. ``path/to/file.py:Class`` names it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol, cast

from faultline.errors import TargetError, UsageError
from faultline.history.event import Belief, OrderBelief, Outcome

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

    def snapshot(self) -> Mapping[str, Any]:
        """What it believes now: ``orders`` (by intent: ``order_id``, ``status``, ``filled``), ``positions`` (by
        symbol), ``fills`` (ids in the order in which they were applied, repeats included), ``stale``."""
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
    """

    name: str
    spec: str
    near: str = ""

    def load(self) -> type[OrdersTarget]:
        """The class. Raises TargetError that says what is missing, or what went wrong in its import."""
        file, _, attribute = self.spec.rpartition(":")
        if not file or not attribute.isidentifier():
            raise UsageError(f"{self.spec!r} does not name a target; write path/to/file.py:Class")
        module = _module(self._found(Path(file)))
        found = getattr(module, attribute, None)
        if not isinstance(found, type):
            classes = sorted(name for name, value in vars(module).items() if isinstance(value, type))
            raise UsageError(f"{file} has no class {attribute!r} (it has: {', '.join(classes) or 'none'})")
        lacking = [name for name in _REQUIRED if not callable(getattr(found, name, None))]
        if lacking:
            raise UsageError(f"{self.spec} cannot be driven: it has no {', '.join(lacking)}; see docs/targets.md")
        return cast("type[OrdersTarget]", found)

    def _found(self, file: Path) -> Path:
        if self.near and not file.is_absolute() and not file.exists():
            for folder in Path(self.near).resolve().parents:
                if (folder / file).is_file():
                    return folder / file
        return file

    def can(self, op: str) -> bool:
        """Whether the target has the method for this kind of intent."""
        return callable(getattr(self.load(), op, None))


_REQUIRED: Final = ("start", "stop", "place", "snapshot")
_modules: dict[Path, Any] = {}


def _module(path: Path) -> Any:
    path = path.resolve()
    if path in _modules:
        return _modules[path]
    if not path.is_file():
        raise UsageError(f"{path}: no such file; a target is named path/to/file.py:Class")
    # Its neighbours are importable as they are for its own tests: from its folder, and from the folder above.
    for folder in (str(path.parent.parent), str(path.parent)):
        if folder not in sys.path:
            sys.path.append(folder)
    name = f"{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise TargetError(f"{path} does not import: {type(error).__name__}: {error}") from error
    _modules[path] = module
    return module


class BeliefReader:
    """Turns a target's snapshots into belief events that hold only what changed."""

    def __init__(self) -> None:
        self._incarnation = 0
        self._orders: dict[str, OrderBelief] = {}
        self._positions: dict[str, str] = {}
        self._fills = 0
        self._stale = False

    def read(self, target: OrdersTarget, incarnation: int, t: float, *, final: bool = False) -> Belief | None:
        """The change since the last reading of this incarnation; None when there is none (unless ``final``).

        Raises TargetError when the snapshot is not of the documented shape.
        """
        if incarnation != self._incarnation:
            self.__init__()  # type: ignore[misc]  # a new process tells its whole view anew
            self._incarnation = incarnation
        view = target.snapshot()
        try:
            orders = self._changed_orders(view.get("orders", {}))
            positions = self._changed_positions(view.get("positions", {}))
            fills = tuple(str(fill) for fill in view.get("fills", ())[self._fills :])
            stale = bool(view.get("stale", False))
        except (AttributeError, KeyError, TypeError, ArithmeticError) as error:
            raise TargetError(
                f"{type(target).__name__}.snapshot() is not of the documented shape: {type(error).__name__}: {error}"
            ) from error
        if not (orders or positions or fills or final or stale != self._stale):
            return None
        self._fills += len(fills)
        self._stale = stale
        return Belief(t, incarnation, orders, positions, fills, final, stale)

    def _changed_orders(self, orders: Mapping[str, Any]) -> tuple[OrderBelief, ...]:
        changed: list[OrderBelief] = []
        for intent, order in orders.items():
            belief = OrderBelief(
                intent, str(order["status"]), _decimal(order.get("filled", "0")), str(order.get("order_id") or "")
            )
            if self._orders.get(intent) != belief:
                self._orders[intent] = belief
                changed.append(belief)
        if len(orders) < len(self._orders):
            for intent in [known for known in self._orders if known not in orders]:
                del self._orders[intent]
                changed.append(OrderBelief(intent, "absent"))
        return tuple(changed)

    def _changed_positions(self, positions: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        now = {symbol: _decimal(quantity) for symbol, quantity in positions.items()}
        changed = tuple((symbol, value) for symbol, value in now.items() if self._positions.get(symbol) != value)
        self._positions = now
        return changed


def _decimal(value: object) -> str:
    return format(Decimal(str(value)).normalize(), "f")
