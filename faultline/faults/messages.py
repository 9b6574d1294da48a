"""Stream messages that get lost, doubled, late or out of order, on a connection that lives on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faultline.faults.actions import Action, Delay, Drop, Duplicate, Hold
from faultline.faults.base import Shape, at_least
from faultline.faults.chance import Chance
from faultline.faults.families import MessageFault
from faultline.faults.points import Moment
from faultline.units import Seconds


@dataclass(frozen=True, kw_only=True)
class DropMessage(MessageFault):
    """A stream message is never delivered, while its connection lives on.

    In the real world: a slow consumer whose venue skips messages, a publisher that fails over.
    By default it strikes every message with data on every stream; limit it with ``topic``, ``nth`` or
    ``probability``.

    Proves that a client sees gaps in sequence numbers and fetches what is missing, and where there are no numbers,
    that it compares with the venue now and then.
    """

    kind = "drop_message"

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Drop it."""
        return (Drop(),)


@dataclass(frozen=True, kw_only=True)
class DuplicateMessage(MessageFault):
    """A stream message is delivered more than once.

    In the real world: delivery "at least once", a publisher that fails over and sends its last messages again.
    ``copies`` (default 1) is how many follow the first. By default it strikes every message with data on every stream.

    Proves that a client recognises a fill that it has seen, instead of counting it twice.
    """

    kind = "duplicate_message"

    copies: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("copies", self.copies, 1)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Duplicate it."""
        return (Duplicate(self.copies),)


@dataclass(frozen=True, kw_only=True)
class ReorderMessages(MessageFault):
    """A stream message is overtaken by later ones.

    In the real world: a venue that publishes from several threads or machines.
    ``by`` (default 1) is how many later messages of its connection come first. When none come it is delivered after
    a while. By default it strikes every message with data on every stream.

    Proves that a client orders what it gets by sequence number or state, and does not go back to an older one.
    """

    kind = "reorder_messages"

    by: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("by", self.by, 1)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Hold it back."""
        return (Hold(overtaken_by=self.by),)


@dataclass(frozen=True, kw_only=True)
class DelayMessage(MessageFault):
    """A stream message is delivered late, and the later ones of its connection wait behind it.

    In the real world: a slow publisher; a fill that is reported by stream after the query already shows it.
    ``by`` (a duration, default 2s) is how much later. By default it strikes every message with data on every stream.

    Proves that a client does not mix an old message with newer knowledge from a query.
    """

    kind = "delay_message"

    by_s: Seconds = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("by", self.by_s, 0)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Delay it."""
        return (Delay(self.by_s),)


@dataclass(frozen=True, kw_only=True)
class SilentStream(MessageFault):
    """A stream goes silent: heartbeats and answers still come, messages with data do not.

    In the real world: a subscription that the venue lost, a publisher that is stuck behind a live connection. A check
    for heartbeats alone sees nothing wrong.
    By default it holds for every stream for the whole load; limit it with ``during``. ``probability`` is drawn for
    each connection.

    Proves that a client notices a stream that lives and says nothing, by sequence numbers in heartbeats or by
    comparing with the venue now and then.
    """

    kind = "silent_stream"
    shape: ClassVar[Shape] = "condition"

    def lot(self, moment: Moment) -> object:
        """A connection as a whole."""
        return (moment.point.endpoint, moment.connection)

    def actions(self, moment: Moment, chance: Chance) -> tuple[Action, ...]:
        """Drop it."""
        return (Drop(),)
