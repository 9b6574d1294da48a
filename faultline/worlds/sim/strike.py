"""How the network reads the actions that a decider answered with, at connects, look-ups and segments."""

from __future__ import annotations

from dataclasses import dataclass

from faultline.errors import UnsupportedFault
from faultline.faults.actions import Action, Cut, Delay, Hold, Shape


@dataclass(slots=True)
class Strike:
    """What is to happen at one point of the stream plane. Delays add up, the longest hold and the first cut win."""

    delay_s: float = 0.0
    until_s: float = 0.0
    for_ever: bool = False
    rate_bytes_per_s: float | None = None
    piece_bytes: int | None = None
    cut: Cut | None = None


def read_actions(actions: tuple[Action, ...]) -> Strike:
    """The strike that ``actions`` ask for, in their order. Raises UnsupportedFault for what bytes cannot do."""
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
            strike.piece_bytes = action.piece_bytes or strike.piece_bytes
        elif isinstance(action, Cut):
            strike.cut = action
            break
        else:
            raise UnsupportedFault(
                f"the stream plane cannot carry out {action!r}: bytes can be delayed, held, shaped and cut. "
                "Use a fault of the message plane."
            )
    return strike
