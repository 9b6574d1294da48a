"""A gateway in somebody else's test, or for the command line: faults in front of an upstream that is not ours.

::

    async with Gateway(upstream="http://127.0.0.1:9000", seed=7, effects=[EffectRule("POST /orders")]) as gateway:
        with gateway.inject(LostResponse(on="POST /orders")):
            ...  # the client under test, pointed at gateway.url
        gateway.check(NoDuplicates())

It is driven by the process that made it and by nothing else. Time is real time. The seed decides where faults strike.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from faultline.byhand import Block, Injections, Intents, Wanted
from faultline.checked import CheckFailed, refused
from faultline.errors import UnsupportedFault, UsageError
from faultline.faults.actions import Cut
from faultline.faults.base import Fault
from faultline.faults.deciders import Tick
from faultline.faults.injector import EffectKnown
from faultline.faults.points import Plane
from faultline.history import Aliases
from faultline.history.attribution import Attribution
from faultline.history.contract import ClientPolicy, Contract
from faultline.history.event import Contracted, Phase, Resolved, Struck
from faultline.inline import Claims, recording
from faultline.oracles.base import Oracle, Verdict
from faultline.oracles.claims import claim_verdicts
from faultline.runner import judge
from faultline.venues.interceptor import Interceptor
from faultline.worlds.live.gateway import EffectLedger, EffectRule, GatewayServer, Outlook, UpstreamAddress
from faultline.worlds.live.gateway.server import ANSWER_S, CONNECTIONS_MAX, IDLE_S
from faultline.worlds.live.gateway.wire_history import KEPT_MAX, WireHistory

P = ParamSpec("P")
R = TypeVar("R")
_BELIEFS: Final = "needs what the client believes of its orders, and a gateway sees only the wire"
_TASKS: Final = "needs to see the client's tasks, and a gateway does not run it"
_TOKENS: Final = "needs to know when tokens end, and the upstream is not ours"
UNSEEN: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("fills_conserved", "legal_order_states", "no_lost_ack", "no_lost_events", "reconciled", "resolved_unknowns"),
        _BELIEFS,
    ),
    **dict.fromkeys(("no_stuck_tasks", "recovers"), _TASKS),
    **dict.fromkeys(("token_valid_at_send", "single_flight_refresh"), _TOKENS),
}
"""Oracles that need what a gateway cannot see, and why."""

SETTLE_MAX_S: Final = 30.0
_POLL_S: Final = 0.02
_STILL_POLLS: Final = 5
_DETAIL_MAX: Final = 2000


class Gateway:
    """A reverse proxy before ``upstream``; an async context manager. ``url`` is where clients go.

    ``effects`` declares which requests are effects. ``allow_hosts`` names hosts beyond loopback that may be the
    upstream. ``history`` streams the wire history to a file; ``history_max`` events of it are kept for oracles.
    ``connections_max`` bounds how many clients there may be. ``stream`` names WebSockets in fault points. ``answer_s``
    is how long the upstream may be silent, ``idle_s`` how long a connection may be without a request,
    ``ssl_context`` what to trust of an https upstream. ``secret_headers``, ``secret_query`` and ``secret_json`` are
    names of further secrets.

    Raises UsageError for an upstream that is no URL or not allowed, and for a port that cannot be had.
    """

    def __init__(
        self,
        upstream: str,
        *,
        seed: int = 0,
        effects: Sequence[EffectRule] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        allow_hosts: Collection[str] = (),
        history: Path | None = None,
        stream: str = "user",
        answer_s: float = ANSWER_S,
        idle_s: float = IDLE_S,
        ssl_context: ssl.SSLContext | None = None,
        history_max: int = KEPT_MAX,
        connections_max: int = CONNECTIONS_MAX,
        secret_headers: tuple[str, ...] = (),
        secret_query: tuple[str, ...] = (),
        secret_json: tuple[str, ...] = (),
    ) -> None:
        address = UpstreamAddress.of(upstream, allow_hosts)
        self.seed = seed
        self.url = ""
        self._host, self._port = host, port
        self._began_s = time.monotonic()
        try:
            self.history = WireHistory(path=history, kept_max=history_max)
        except OSError as error:
            raise UsageError(f"{history}: cannot be written: {error.strerror}") from error
        policy = ClientPolicy()
        self.history.append(
            Contracted(0.0, Contract("upstream", sequenced=False, policy=policy), seed, world="gateway")
        )
        self._aliases = Aliases()
        self._recording = ExitStack()
        attribution = Attribution(policy)
        self._injections = Injections(seed, self.history, self.now_s, time.time)
        self._intents = Intents(self.history, attribution, self.now_s, self._plain)
        self._interceptor = Interceptor(
            self._injections.injector, self.history, attribution, now_s=self.now_s, wall_s=time.time, upon={}
        )
        ledger = EffectLedger(effects, self.history, attribution, self._aliases, self.now_s, self._keys_are_intents)
        self._server = GatewayServer(
            address,
            self._interceptor,
            ledger,
            Outlook(self._aliases, headers=secret_headers, query=secret_query, json=secret_json),
            lambda endpoint: self._injections.concern(Plane.MESSAGE, endpoint),
            stream=stream,
            answer_s=answer_s,
            idle_s=idle_s,
            tls=ssl_context,
            connections_max=connections_max,
        )

    async def __aenter__(self) -> Self:
        self._injections.start(self._carry_out)
        self._recording.enter_context(recording(Claims(self.history, self.now_s)))
        self.url = await self._server.start(self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recording.close()
        await self._server.stop()
        self.history.seal()

    def now_s(self) -> float:
        """Real seconds since the gateway was made."""
        return time.monotonic() - self._began_s

    def _keys_are_intents(self) -> bool:
        # What can be judged no longer need not be remembered either.
        return not self._intents.announced and not self.history.left_out

    def _plain(self, error: BaseException) -> str:
        return self._aliases.scrub(f"{type(error).__name__}: {error}")[:_DETAIL_MAX]

    def _carry_out(self, tick: Tick) -> EffectKnown:
        if not isinstance(tick.action, Cut):
            return "not_applied"
        return "applied" if self._interceptor.cut_streams(tick.point.endpoint, tick.action) else "not_applied"

    def inject(self, *faults: Fault) -> Block[None]:
        """Within the block (``with`` or ``async with``), ``faults`` strike; their times count from its beginning. As a
        decorator: within each call.

        Raises UnsupportedFault for a fault that a gateway cannot carry.
        """
        return Block(lambda: self._injected(faults))

    @contextmanager
    def _injected(self, faults: tuple[Fault, ...]) -> Iterator[None]:
        refuse(faults)
        with self._injections.inject(faults):
            yield

    def intent(
        self, side: str = "", /, *, quantity: object = "0", price: object = "", symbol: str = "", key: str = ""
    ) -> Block[Wanted]:
        """What the caller wants of the client inside the block: one effect.

        It is tied to what the upstream did by ``key``, the idempotency key that the client will use, or else by a
        ``price`` (or ``quantity``) that is unique within the test and that the rule of effects knows where to find.
        Once it is used, a new key is no longer an intent by itself.
        """
        return Block(lambda: self._intents.want(side, quantity, price, symbol, key))

    def recorded(self, function: Callable[P, R], **wants: object) -> Callable[P, R]:
        """``function`` such that each of its calls is an intent; ``id`` is the idempotency key that it will use. See
        :meth:`faultline.Session.recorded`."""
        return self._intents.recorded(function, {"side": "", "quantity": "0"} | wants)

    async def settle(self, *, within_s: float = SETTLE_MAX_S) -> None:
        """Wait, without faults, until nothing is in flight."""
        self._injections.injector.armed = False
        self.history.append(Phase(self.now_s(), "faults_over"))
        limit_s = self.now_s() + within_s
        still = 0
        while still < _STILL_POLLS and self.now_s() < limit_s:
            await asyncio.sleep(_POLL_S)
            still = still + 1 if self._interceptor.in_flight == 0 and self._server.copies == 0 else 0
        self.history.append(Phase(self.now_s(), "quiescence"))

    def verdicts(self, oracles: Sequence[Oracle]) -> tuple[Verdict, ...]:
        """What ``oracles`` say of what happened so far; unknown where a gateway cannot see what they need."""
        return (*(self._verdict(oracle) for oracle in oracles), *claim_verdicts(self.history))

    def _verdict(self, oracle: Oracle) -> Verdict:
        why = UNSEEN.get(oracle.name) or self.history.outgrown
        return Verdict(oracle.name, "unknown", 0, why) if why else judge(self.history, [oracle])[0]

    def check(self, *oracles: Oracle) -> tuple[Verdict, ...]:
        """The verdicts of ``oracles`` on what happened so far. Raises CheckFailed unless every one passes."""
        verdicts = self.verdicts(oracles)
        bad = refused(verdicts)
        if bad:
            again = f"Gateway(..., seed={self.seed}) draws the same faults; in real time a run is not the same twice"
            raise CheckFailed(bad, self.seed, again, self.history)
        return verdicts

    def receipts(self) -> Counter[tuple[str, str]]:
        """How often each fault struck, by its name and what is known of the effect."""
        faults = {struck.receipt: struck.fault for struck in self.history.of(Struck)}
        known = {resolved.receipt: resolved.effect for resolved in self.history.of(Resolved)}
        return Counter((fault, known.get(receipt, "unknown")) for receipt, fault in faults.items())


def refuse(faults: Sequence[Fault]) -> None:
    """Raises UnsupportedFault for a fault that needs more than the messages of an upstream that is not ours."""
    for fault in faults:
        if fault.plane is not Plane.MESSAGE:
            what = {
                Plane.STREAM: "acts on connections: put faultline proxy before the gateway",
                Plane.VENUE: "acts inside a venue, and the upstream is not ours",
                Plane.TARGET: "acts on the client, and a gateway does not run it",
            }[fault.plane]
            raise UnsupportedFault(f"{fault.kind} {what}")
