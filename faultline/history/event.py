"""The events of a history: all that oracles, reports and replays will ever see of a run.

Each is frozen and carries ``t``, seconds of the world's clock since the run began. Who writes what:

* the runner: :class:`Contracted`, :class:`Phase`, :class:`Intent`, :class:`Answer`, :class:`Belief`, :class:`Boot`,
  :class:`Crashed`, :class:`Gauge`, :class:`Stuck`, :class:`Trouble`;
* the interceptor: :class:`Received`, :class:`Answered`, :class:`Connected`, :class:`Disconnected`,
  :class:`Delivered`, :class:`Struck`, :class:`Resolved`;
* the venue: :class:`Effect`, :class:`TokenIssued`, :class:`TokenEnded`.

Money and quantities are decimal strings. Secrets never appear; a token is an alias (``<token#2>``).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from faultline.history.contract import Contract

VERSION = 1
"""Version of the JSON Lines format. A reader refuses a later one."""

Outcome = Literal["ok", "fail", "info"]
"""What the client told its caller: done; certainly not done; nobody can know."""

ClaimRule = Literal["always", "sometimes"]
"""When what code claims of itself must hold: whenever it is asked, or at least once over all runs."""

PhaseName = Literal["load", "faults_over", "tail", "quiescence", "judgement"]


class Event(msgspec.Struct, frozen=True, tag_field="kind"):
    """Base of all events."""

    t: float


class Contracted(Event, frozen=True, tag="contract"):
    """The rules of this run. Always the first event."""

    contract: Contract
    seed: int
    scenario: str = ""
    target: str = ""
    world: str = "sim"


class Phase(Event, frozen=True, tag="phase"):
    """The run entered this phase."""

    name: PhaseName


class Intent(Event, frozen=True, tag="intent"):
    """What the caller wanted: ``op`` is ``place``, ``cancel``, ``replace``, ``kill`` (open nothing more) or ``flatten``
    (close all positions); ``of`` is the intent that it acts upon."""

    id: str
    op: str
    symbol: str = ""
    side: str = ""
    quantity: str = "0"
    price: str = ""
    order_type: str = "limit"
    of: str = ""


class Answer(Event, frozen=True, tag="answer"):
    """What the client told the caller of an intent. An intent without one was never answered."""

    intent: str
    outcome: Outcome
    incarnation: int
    detail: str = ""


class OrderBelief(msgspec.Struct, frozen=True):
    """The client's view of one intent. ``state`` uses the contract's names, plus ``unknown``, ``pending`` (not yet
    acknowledged) and ``absent`` (no longer held)."""

    intent: str
    state: str
    filled: str = "0"
    order: str = ""


class AlertBelief(msgspec.Struct, frozen=True):
    """An alert that the client says it raised: ``key`` names the condition; ``resolved`` says that it is over."""

    key: str
    level: str
    resolved: bool = False


class Belief(Event, frozen=True, tag="belief"):
    """What the client thinks is true: only what changed since the last belief of this incarnation.

    ``fills`` are the ids of fills newly applied, once per application (a fill applied twice is there twice).
    ``stale`` is the client's own admission that its view may be old. ``alerts`` are those newly raised; a client that
    tells none has no such field in its history.
    """

    incarnation: int
    orders: tuple[OrderBelief, ...] = ()
    positions: tuple[tuple[str, str], ...] = ()
    fills: tuple[str, ...] = ()
    final: bool = False
    stale: bool = False
    alerts: tuple[AlertBelief, ...] | msgspec.UnsetType = msgspec.UNSET


class Boot(Event, frozen=True, tag="boot"):
    """A client process started. ``incarnation`` counts from 1."""

    incarnation: int


class Crashed(Event, frozen=True, tag="crash"):
    """A client process ended: ``how`` is ``fin`` or ``silence`` (died), ``stop`` (orderly) or ``exit`` (it could not
    start)."""

    incarnation: int
    how: str


class Received(Event, frozen=True, tag="received"):
    """A request arrived at the venue.

    ``request`` numbers arrivals; ``nth`` counts them per endpoint and entity. ``sent_t`` is when the client sent it
    where the world knows (None elsewhere). ``injected`` marks copies that faultline made: nobody charges them to
    the client. ``entity`` is the intent, or ``-``.
    """

    request: int
    connection: int
    endpoint: str
    entity: str
    nth: int
    sent_t: float | None = None
    token: str = ""
    key: str = ""
    injected: bool = False
    retry_of: int = 0


class Answered(Event, frozen=True, tag="answered"):
    """A response left the venue, or would have. ``fate`` says what became of it on the way.

    ``retry_after_s`` is None where the response carried none or an unreadable one.
    """

    request: int
    status: int
    fate: Literal["sent", "lost", "cut", "replaced"] = "sent"
    retry_after_s: float | None = None


class Connected(Event, frozen=True, tag="connected"):
    """A stream connection was opened, or ``topics`` were subscribed on it."""

    connection: int
    stream: str
    topics: tuple[str, ...] = ()
    token: str = ""


class Disconnected(Event, frozen=True, tag="disconnected"):
    """A stream connection ended, as the venue saw it."""

    connection: int
    stream: str
    code: int = 1006


class Delivered(Event, frozen=True, tag="delivered"):
    """A stream message was sent to one connection, or would have been.

    ``sequence`` is the venue's own number (0 where it has none); ``subject`` is the fill or order the message is
    about; ``entity`` is ``intent/kth effect``.
    """

    connection: int
    stream: str
    topic: str
    sequence: int
    entity: str
    nth: int
    subject: str = ""
    fate: Literal["sent", "dropped", "delayed", "duplicated", "lost"] = "sent"


class Effect(Event, frozen=True, tag="effect"):
    """The venue did something: one line of its ledger, the truth.

    ``what`` is ``order`` (accepted), ``reject``, ``fill``, ``cancel``, ``replace`` or ``expire``. ``intent`` is None
    when it could not be attributed, and ``tied_by`` says how it was: ``key``, ``watermark``, ``order`` or ``""``.
    ``before`` and ``after`` are order states; ``filled`` is the order's cumulative quantity afterwards, ``quantity``
    its size (of a fill: this fill's). ``request`` is the request that caused it, 0 for the venue's own doing.
    """

    sequence: int
    what: Literal["order", "reject", "fill", "cancel", "replace", "expire"]
    order: str
    intent: str | None
    tied_by: str
    before: str
    after: str
    key: str = ""
    symbol: str = ""
    side: str = ""
    quantity: str = "0"
    price: str = ""
    filled: str = "0"
    fill: str = ""
    fee: str = "0"
    request: int = 0


class TokenIssued(Event, frozen=True, tag="token_issued"):
    """An access token was issued, valid until ``until_t`` unless a :class:`TokenEnded` comes first."""

    token: str
    until_t: float


class TokenEnded(Event, frozen=True, tag="token_ended"):
    """A token stopped being valid before its time. A client cannot know until it is told."""

    token: str


class Struck(Event, frozen=True, tag="struck"):
    """First half of a receipt: a fault fired. ``point`` and ``action`` in the words of a schedule."""

    receipt: int
    fault: str
    plane: str
    endpoint: str
    entity: str
    nth: int
    phase: str
    action: str


class Resolved(Event, frozen=True, tag="resolved"):
    """Second half of a receipt: whether the operation struck took effect, read from the ledger."""

    receipt: int
    effect: Literal["applied", "not_applied", "unknown"]


class Gauge(Event, frozen=True, tag="gauge"):
    """What a process of the client held on to: unfinished tasks, timers that are due later, open connections. Sampled
    only in runs whose oracles ask for it."""

    incarnation: int
    tasks: int
    timers: int
    connections: int


class Stuck(Event, frozen=True, tag="stuck"):
    """A task of the client that still waited although nothing was left to wait for: at judgement, or when its process
    was stopped. ``start()``, ``stop()`` and intents that were never answered count too."""

    task: str
    waiting_at: str = ""


class Trouble(Event, frozen=True, tag="trouble"):
    """Something the client or the harness should not have done: an unhandled exception, a blocking call, an escape."""

    what: Literal["unhandled", "blocking", "escape", "swallowed"]
    detail: str
    incarnation: int = 0


class Claimed(Event, frozen=True, tag="claim"):
    """Code said what must hold, with ``fl.always`` or ``fl.sometimes``: the first time that it held, and each time that
    it did not (of ``sometimes`` the first). ``where`` is file and line."""

    rule: ClaimRule
    what: str
    held: bool
    where: str = ""


AnyEvent = (
    Contracted | Phase | Intent | Answer | Belief | Boot | Crashed | Received | Answered | Connected | Disconnected
    | Delivered | Effect | TokenIssued | TokenEnded | Struck | Resolved | Gauge | Stuck | Trouble | Claimed
)  # fmt: skip
