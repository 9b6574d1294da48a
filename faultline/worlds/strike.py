"""How a world reads the actions that a decider answered with at connects, look-ups, and bytes on a connection."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.errors import UnsupportedFault
from faultline.faults.actions import Action, Cut, Delay, Drop, Flip, Hold, Shape


@dataclass(slots=True)
class Strike:
    """What is to happen at one point of the stream plane. Delays add up, the longest hold and the first cut win."""

    delay_s: float = 0.0
    until_s: float = 0.0
    for_ever: bool = False
    rate_bytes_per_s: float | None = None
    pieces_bytes: tuple[int, ...] = ()
    gap_s: float = 0.0
    flips: tuple[Flip, ...] = ()
    drop: bool = False
    cut: Cut | None = None


def read_actions(actions: tuple[Action, ...], *, drops: bool = False) -> Strike:
    """The strike that ``actions`` ask for, in their order. ``drops``: whether bytes can be thrown away.

    Raises UnsupportedFault for what cannot be done to bytes.
    """
    strike = Strike()
    for action in actions:
        if isinstance(action, Delay):
            strike.delay_s += action.delay_s
        elif isinstance(action, Hold):
            if action.until_s is None:
                strike.for_ever = True
            else:
                strike.until_s = max(strike.until_s, action.until_s)
        elif isinstance(action, Shape):
            strike.rate_bytes_per_s = action.rate_bytes_per_s or strike.rate_bytes_per_s
            own = action.pieces_bytes or ((action.piece_bytes,) if action.piece_bytes else ())
            strike.pieces_bytes = own or strike.pieces_bytes
            strike.gap_s += action.gap_s
        elif isinstance(action, Flip):
            strike.flips += (action,)
        elif drops and isinstance(action, Drop):
            strike.drop = True
            break
        elif isinstance(action, Cut):
            strike.cut = action
            break
        else:
            raise UnsupportedFault(
                f"the stream plane cannot carry out {action!r}: bytes can be delayed, held, shaped, changed and cut. "
                "Use a fault of the message plane."
            )
    return strike
