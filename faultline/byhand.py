"""What a test drives by hand: faults for as long as a block lasts, what its caller wants, and what its client believes.

A session in a world of ours and a gateway before a real upstream share it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import replace
from functools import wraps
from itertools import dropwhile
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from faultline.clockwork import Clockwork
from faultline.errors import UsageError
from faultline.faults.base import Fault
from faultline.faults.chance import Chance
from faultline.faults.deciders import Rules, Tick
from faultline.faults.injector import Decision, EffectKnown, Injector
from faultline.faults.points import Moment, Plane
from faultline.history import History
from faultline.history.attribution import Attribution
from faultline.history.event import Answer, Intent, Outcome

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
_Error = type[BaseException] | None


class Block(AbstractContextManager[T], AbstractAsyncContextManager[T], Generic[T]):
    """A block for ``with`` and for ``async with`` alike. As a decorator it is around each call of the function, and of
    a coroutine function around each run of it."""

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        self._make = make
        self._open: AbstractContextManager[T] | None = None

    def __enter__(self) -> T:
        self._open = self._make()
        return self._open.__enter__()

    def __exit__(self, kind: _Error, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._open is not None, "it was not entered"
        self._open.__exit__(kind, error, trace)

    async def __aenter__(self) -> T:
        return self.__enter__()

    async def __aexit__(self, kind: _Error, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """``function`` inside such a block, at each call."""
        return around(function, lambda args, kwargs: self._make())


def around(function: Callable[P, R], make: Callable[..., AbstractContextManager[Any]]) -> Callable[P, R]:
    """``function`` with the block ``make(args, kwargs)`` around each of its calls."""
    if inspect.iscoroutinefunction(function):
        awaited = cast("Callable[..., Awaitable[Any]]", function)

        @wraps(function)
        async def coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
            with make(args, kwargs):
                return await awaited(*args, **kwargs)

        return cast("Callable[P, R]", coroutine)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with make(args, kwargs):
            return function(*args, **kwargs)

    return call


class Injections:
    """The decider of what is driven by hand: whatever is injected at the moment. It makes its own ``injector``."""

    def __init__(
        self, seed: int, history: History, now_s: Callable[[], float], wall_s: Callable[[], float] | None = None
    ) -> None:
        # Nobody's process is driven here, so nothing is ever decided about the client itself.
        self.planes = frozenset(Plane) - {Plane.TARGET}
        self.injector = Injector(self, history, now_s, wall_s)
        self._seed = seed
        self._now_s = now_s
        self._rules: list[Rules] = []
        self._count = 0
        self._clock: Clockwork | None = None
        self._wound: dict[Rules, list[int]] = {}

    def start(self, carry_out: Callable[[Tick], EffectKnown]) -> None:
        """Faults may strike from now on; ``carry_out`` does what comes by the clock. Needs a running loop."""
        self._clock = Clockwork(self.injector, self._now_s, carry_out)
        self.injector.on_mark(self._marked)

    def decide(self, moment: Moment) -> tuple[Decision, ...]:
        """What the injected faults do at this moment."""
        return tuple(decision for rules in self._rules for decision in rules.decide(moment))

    def concern(self, plane: Plane, endpoint: str) -> bool:
        """Whether any fault may strike a request to ``endpoint`` at this time."""
        return self.injector.armed and any(rules.concern(plane, endpoint) for rules in self._rules)

    @contextmanager
    def inject(self, faults: Sequence[Fault]) -> Iterator[None]:
        """Within the block, ``faults`` strike; their times count from its beginning. Call :meth:`start` before."""
        clock = self._clock
        assert clock is not None, "start() comes first"
        self._count += 1
        mark = f"injection {self._count}"
        placed = [replace(fault, after=mark) if fault.after is None else fault for fault in faults]
        # Two blocks with the same faults must not make the same draws.
        rules = Rules(placed, int(Chance(self._seed, mark).random() * 2**32))
        self.injector.mark(mark)
        self._rules.append(rules)
        self._wound[rules] = []
        for known, t_s in self.injector.marks.items():
            self._wind(rules, known, t_s)
        self.injector.armed = True
        try:
            yield
        finally:
            clock.stop(self._wound.pop(rules))
            self._rules.remove(rules)
            self.injector.armed = self.injector.armed and bool(self._rules)

    def _marked(self, mark: str, t_s: float) -> None:
        for rules in self._wound:
            self._wind(rules, mark, t_s)

    def _wind(self, rules: Rules, mark: str, t_s: float) -> None:
        assert self._clock is not None
        now_s = self._now_s()
        chains = [dropwhile(lambda tick: tick.at_s < now_s, ticks) for ticks in rules.ticks(mark, t_s)]
        self._wound[rules] += self._clock.wind(chains)


class Wanted:
    """An intent in progress. Set ``outcome`` when the client's answer is something else than done."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.outcome: Outcome = "ok"


class Intents:
    """Says what the caller wants. ``plain`` is an exception as a history may have it, without secrets."""

    def __init__(
        self,
        history: History,
        attribution: Attribution,
        now_s: Callable[[], float],
        plain: Callable[[BaseException], str],
    ) -> None:
        self._history = history
        self._attribution = attribution
        self._now_s = now_s
        self._plain = plain
        self.announced = 0

    @contextmanager
    def want(self, side: str, quantity: object, price: object, symbol: str, id: str = "") -> Iterator[Wanted]:
        """One order is wanted inside the block. Its outcome is ok when that ends, and info when it raises.

        ``id`` names the intent; by default they are numbered.
        """
        self.announced += 1
        wanted = Wanted(id or f"I{self.announced}")
        intent = Intent(
            self._now_s(),
            wanted.id,
            "place",
            symbol=symbol,
            side=side,
            quantity=str(quantity),
            price=str(price),
            order_type="limit" if price != "" else "market",
        )
        self._attribution.announce(intent)
        self._history.append(intent)
        detail = ""
        try:
            yield wanted
        except BaseException as error:
            wanted.outcome = "info"
            detail = self._plain(error)
            raise
        finally:
            self._history.append(Answer(self._now_s(), wanted.id, wanted.outcome, 1, detail))

    def recorded(self, function: Callable[P, R], wants: Mapping[str, object]) -> Callable[P, R]:
        """``function`` such that each call is an intent. What it wants is in ``wants``, else in the arguments of the
        same names: ``side``, ``quantity``, ``price``, ``symbol``, ``id``. A value that can be called is given the
        arguments by name, and says.

        Raises UsageError when it is not said, or when such an argument does not exist.
        """
        signature = inspect.signature(function)
        unknown = sorted(set(wants) - {*_WANTED})
        if unknown:
            raise UsageError(f"an intent has no {', '.join(unknown)}; it has {', '.join(_WANTED)}")

        def want(args: tuple[object, ...], kwargs: Mapping[str, object]) -> AbstractContextManager[Wanted]:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = {name: bound.arguments.get(name, default) for name, default in _WANTED.items()} | dict(wants)
            said = {name: value(bound.arguments) if callable(value) else value for name, value in given.items()}
            for name in ("side", "quantity"):
                if said[name] is None:
                    raise UsageError(f"{function.__qualname__} has no argument {name}; say what is wanted: {name}=...")
            return self.want(str(said["side"]), said["quantity"], said["price"], str(said["symbol"]), str(said["id"]))

        return around(function, want)


_WANTED: dict[str, object] = {"side": None, "quantity": None, "price": "", "symbol": "", "id": ""}
"""What an intent says, and what it is where nothing is said; None where something has to be."""
