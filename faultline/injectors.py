"""Faults under everyday names, for suites that are written around ``with failure_injector:``.

Each injector is a block for ``with`` and for ``async with``. It acts on the world that a test runs in (the fixture
``faultline``, or :meth:`faultline.Session.run`) and on the venue that was started there; the code under test keeps its
real HTTP client and its real WebSocket client::

    async def test_orders_survive_a_bad_network(faultline):
        venue = await faultline.venue("generic")
        client = MyClient(venue.url, venue.stream_url)
        with NetworkFailureInjector(failure_rate=0.5):
            ...

What they do is drawn from the session's seed, so a test that fails fails again. They are a thin layer: everything else
that can be injected is in :mod:`faultline.faults` and goes through :meth:`faultline.Session.inject`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from types import TracebackType
from typing import Final, Literal

from faultline.errors import UsageError
from faultline.faults import Disconnect, LostRequest, LostResponse
from faultline.session import Session, running

__all__ = ["HighVolumeEventGenerator", "NetworkFailureInjector", "SignalRDisconnectionInjector"]

EACH_S: Final = 1.0
"""How often it is decided whether a stream drops."""
RATE_MAX: Final = 10_000.0


class _Injector(AbstractContextManager["_Injector"], AbstractAsyncContextManager["_Injector"]):
    """A block that can be entered again once it was left."""

    def __init__(self) -> None:
        self._open: AbstractContextManager[None] | None = None

    def _acting(self, session: Session) -> AbstractContextManager[None]:
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def __enter__(self) -> _Injector:
        name = type(self).__name__
        if self._open is not None:
            raise UsageError(f"this {name} is active already; make another one to have two")
        session = running()
        if session is None:
            raise UsageError(
                f"{name} acts on a faultline world, and none is running here: "
                "let the test ask for the fixture faultline, or run it with Session().run(test)"
            )
        acting = self._acting(session)
        acting.__enter__()
        self._open = acting
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        acting, self._open = self._open, None
        if acting is not None:
            acting.__exit__(kind, error, trace)

    async def __aenter__(self) -> _Injector:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class NetworkFailureInjector(_Injector):
    """A share of all requests to the venue fails in the network.

    Of those that fail half never reach the venue, and of the other half only the answer is lost, after the venue did
    what was asked: the client sees the same, which is what makes it hard. ``failure_rate`` is 0 to 1. ``on`` is a
    pattern over endpoints such as ``POST /orders``; the default is every request, and the handshakes of streams too.
    """

    def __init__(self, failure_rate: float = 0.5, *, on: str = "* /*") -> None:
        super().__init__()
        _share("failure_rate", failure_rate)
        self.failure_rate = failure_rate
        self.on = on

    def _acting(self, session: Session) -> AbstractContextManager[None]:
        before = self.failure_rate / 2
        # The answer can only be lost of what was not lost before.
        after = before / (1 - before)
        return session.inject(LostRequest(on=self.on, probability=before), LostResponse(on=self.on, probability=after))


class SignalRDisconnectionInjector(_Injector):
    """The stream drops at random: once a second it is decided, and then every connection of ``on`` ends.

    ``disconnect_probability`` is 0 to 1. ``how`` it ends is ``rst`` (default: the connection is reset), ``close`` (a
    WebSocket close), ``fin`` or ``silence`` (nobody is told). Any kind of stream is meant, not only hubs; ``on`` is a
    pattern such as ``stream user``.
    """

    def __init__(
        self,
        disconnect_probability: float = 0.1,
        *,
        on: str = "stream *",
        how: Literal["close", "fin", "rst", "silence"] = "rst",
    ) -> None:
        super().__init__()
        _share("disconnect_probability", disconnect_probability)
        self.disconnect_probability = disconnect_probability
        self.on = on
        self.how = how

    def _acting(self, session: Session) -> AbstractContextManager[None]:
        return session.inject(
            Disconnect(on=self.on, how=self.how, every_s=EACH_S, probability=self.disconnect_probability)
        )


class HighVolumeEventGenerator(_Injector):
    """Somebody else trades on the account, so that its stream has something to tell ``events_per_second`` times a
    second.

    Each time it is one market order that is filled at once, ``quantity`` of ``symbol``, bought and sold in turn: the
    position ends where it began, or one ``quantity`` above. The venue tells of it what it tells of any order and fill,
    so there are more messages than events. ``events`` counts them. The simulated world only; the orders belong to no
    intent, and an oracle that has to tie every order to one says that it cannot.
    """

    def __init__(self, events_per_second: float = 60.0, *, symbol: str = "NQ", quantity: object = 1) -> None:
        super().__init__()
        if not 0 < events_per_second <= RATE_MAX:
            raise ValueError(f"events_per_second is more than 0 and up to {RATE_MAX:g}, not {events_per_second!r}")
        self.events_per_second = events_per_second
        self.symbol = symbol
        self.quantity = quantity
        self.events = 0

    @contextmanager
    def _trading(self, session: Session) -> Iterator[None]:
        if session.world != "sim":
            raise UsageError("HighVolumeEventGenerator needs the simulated world: the fixture faultline")
        self._trade(session)
        trading = asyncio.get_running_loop().create_task(self._go_on(session))
        try:
            yield
        finally:
            trading.cancel()

    def _acting(self, session: Session) -> AbstractContextManager[None]:
        return self._trading(session)

    def _trade(self, session: Session) -> None:
        session.trade_elsewhere("sell" if self.events % 2 else "buy", quantity=self.quantity, symbol=self.symbol)
        self.events += 1

    async def _go_on(self, session: Session) -> None:
        while True:
            await asyncio.sleep(1 / self.events_per_second)
            self._trade(session)


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a share from 0 to 1, not {value!r}")
