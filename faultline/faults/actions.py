"""The closed list of what a fault may ask for.

A fault decides, a world carries out: every world and every venue knows these actions and no fault by name. Values
are frozen and print as the receipt shows them. Durations are seconds of the world's own clock.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

How = Literal["fin", "rst", "silence", "close"]
"""How a connection ends: an orderly FIN, a reset, nothing at all (the peer is simply gone), or, for a WebSocket,
a close frame with a code."""


class _Action(msgspec.Struct, frozen=True, tag_field="do"):
    """Base of all actions: immutable, comparable, written to a schedule with a ``do`` tag."""


class Delay(_Action, frozen=True, tag="delay"):
    """What was about to happen happens ``delay_s`` later. Order on one connection is kept."""

    delay_s: float


class Hold(_Action, frozen=True, tag="hold"):
    """Nothing gets through until the world's clock reads ``until_s`` (None: for ever). What was held follows then.

    For a message, ``overtaken_by`` holds it back until that many later messages of its connection have passed; when
    none come it follows after a few seconds.
    """

    until_s: float | None = None
    overtaken_by: int = 0


class Drop(_Action, frozen=True, tag="drop"):
    """A stream message is not delivered; its connection lives on. A proxy can do it to bytes too."""


class Duplicate(_Action, frozen=True, tag="duplicate"):
    """The same bytes arrive ``copies`` more times, ``gap_s`` apart. The first answer is the one that counts."""

    copies: int = 1
    gap_s: float = 0.0


class Replace(_Action, frozen=True, tag="replace"):
    """The payload becomes ``payload``; head and status stay."""

    payload: bytes


class Reply(_Action, frozen=True, tag="reply"):
    """This answer instead of the venue's own. Before the effect the venue never sees the request."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Cut(_Action, frozen=True, tag="cut"):
    """The connection ends after ``after_bytes`` bytes of what was being sent (a response's head included).

    With ``after_s`` it ends that much later instead, whatever is being sent then.
    """

    after_bytes: int = 0
    how: How = "rst"
    code: int = 1006
    after_s: float | None = None


class Goodbye(Cut, frozen=True, tag="goodbye"):
    """A stream connection ends after its peer was told ``text``: a protocol's own last words."""

    text: str = ""


class Shape(_Action, frozen=True, tag="shape"):
    """Bytes leave at ``rate_bytes_per_s`` (None: as fast as they can) in pieces of ``piece_bytes`` (None: whole).

    ``pieces_bytes`` are sizes to take in turn, over and over, instead of one size. After each piece comes a pause of
    ``gap_s``.
    """

    rate_bytes_per_s: float | None = None
    piece_bytes: int | None = None
    pieces_bytes: tuple[int, ...] = ()
    gap_s: float = 0.0


class Flip(_Action, frozen=True, tag="flip"):
    """Bit ``bit`` (0 to 7) of byte number ``byte`` of what is being sent arrives changed."""

    byte: int
    bit: int

    def applied_to(self, data: bytes) -> bytes:
        """``data`` with that bit changed; as it is when it is shorter than that."""
        if self.byte >= len(data):
            return data
        changed = bytearray(data)
        changed[self.byte] ^= 1 << self.bit
        return bytes(changed)


class FillPart(_Action, frozen=True, tag="fill_part"):
    """The venue fills the order in ``parts`` steps, ``gap_s`` apart, instead of at once."""

    parts: int
    gap_s: float


class Reject(_Action, frozen=True, tag="reject"):
    """The venue refuses the order for a business reason."""

    reason: str


class Stale(_Action, frozen=True, tag="stale"):
    """A read is answered from the ledger as it stood ``lag_s`` ago."""

    lag_s: float


class ExpireTokens(_Action, frozen=True, tag="expire_tokens"):
    """Every access token issued so far stops being valid. ``refresh_too`` also kills the refresh tokens."""

    refresh_too: bool = False


class Crash(_Action, frozen=True, tag="crash"):
    """The client's process dies at once and comes back ``down_s`` later with nothing but its store."""

    down_s: float = 0.5
    how: Literal["fin", "silence"] = "fin"


class Restart(_Action, frozen=True, tag="restart"):
    """The client is stopped the orderly way and started again ``down_s`` later."""

    down_s: float = 0.5


class Pause(_Action, frozen=True, tag="pause"):
    """The client's process stands still for ``lasts_s`` and then goes on as if nothing had been."""

    lasts_s: float = 1.0


class StepClock(_Action, frozen=True, tag="step_clock"):
    """The wall clock of the client's machine jumps by ``by_s`` seconds, back when negative. Its monotonic clock and
    the venue's clock go on as they were."""

    by_s: float


class StoreError(_Action, frozen=True, tag="store_error"):
    """The client's store refuses a statement: locked by another process, or the disk is full."""

    error: Literal["busy", "full", "io"] = "busy"


Action = (
    Delay | Hold | Drop | Duplicate | Replace | Reply | Cut | Goodbye | Shape | Flip
    | FillPart | Reject | Stale | ExpireTokens | Crash | Restart | Pause | StepClock | StoreError
)  # fmt: skip

TERMINAL: Final = (Drop, Reply, Cut)
"""The first of these at a point wins; the actions after it are neither carried out nor recorded."""
