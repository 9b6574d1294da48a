"""What the parts of one run share: its world, its history, and what ties the two together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from faultline.errors import FaultlineError, HarnessError
from faultline.faults.injector import Injector
from faultline.history import Aliases, History
from faultline.history.attribution import Attribution
from faultline.history.event import Trouble
from faultline.worlds.base import World
from faultline.worlds.context import INCARNATION

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_LENGTH_MAX: Final = 2000


@dataclass(frozen=True, slots=True)
class Shared:
    """One run's world, the history it writes, and its injector, attribution and aliases."""

    world: World
    history: History
    injector: Injector
    attribution: Attribution
    aliases: Aliases = field(default_factory=Aliases)

    def plain(self, error: BaseException | str) -> str:
        """An exception (or a text) as the history may have it: no secret, and nothing that another process would
        not say as well, such as the address of an object."""
        ours = isinstance(error, str | FaultlineError)
        text = str(error) if ours else f"{type(error).__name__}: {error}"
        return _ADDRESS.sub("", self.aliases.scrub(text))[:_LENGTH_MAX]

    def void(self) -> bool:
        """Whether the code that runs now belongs to a process of the client that is dead."""
        incarnation = INCARNATION.get()
        return incarnation is not None and self.world.crashed(incarnation)

    def hear(self) -> HarnessError | None:
        """Write down what the world has seen of the client since the last time.

        An exception that nobody handled and that is not the client's is our own: it is returned, to end the run.
        """
        ours: HarnessError | None = None
        for complaint in self.world.complaints():
            if complaint.what == "unhandled" and not complaint.incarnation:
                if ours is None:
                    ours = HarnessError(f"faultline broke: {complaint.detail}")
                    ours.__cause__ = complaint.error
                continue
            trouble = Trouble(self.world.now_s(), complaint.what, self.plain(complaint.detail), complaint.incarnation)
            self.history.append(trouble)
        return ours
