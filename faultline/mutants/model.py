"""What a mutant is, and what came of trying it.

A mutant changes attributes of classes and modules for as long as a run lasts (:class:`Patch`), so that it needs no
seam in the client: replacing a component is setting its name in the module that puts the client together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from faultline.oracles.base import Oracle
from faultline.session import Session

Wasabi = Literal["IF", "WHEN", "HOW", ""]
"""What is wrong with the retrying: if it is tried again, when, or how (the classes of the WASABI study, SOSP 2024).
Empty where the bug is not one of retrying."""

Outcome = Literal["killed", "misjudged", "survived", "refuted", "broken", "unwitnessed"]
"""``misjudged``: only oracles failed that were not expected to. ``refuted``: the client as it is does not pass the
witness either. ``broken``: a run did not come to its end. ``unwitnessed``: nobody knows how it would show."""


class Patch:
    """Changes attributes, and remembers what they were."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, bool, Any]] = []

    def set(self, owner: Any, name: str, value: object) -> None:
        """Set attribute ``name`` of a class or a module. Raises AttributeError for one that is not there."""
        getattr(owner, name)
        self._before.append((owner, name, name in vars(owner), vars(owner).get(name)))
        setattr(owner, name, value)

    def wrap(self, owner: Any, name: str, make: Callable[[Any], object]) -> None:
        """Set it to what ``make`` gives for what it is now."""
        self.set(owner, name, make(getattr(owner, name)))

    def undo(self) -> None:
        """Put everything back, the last change first."""
        while self._before:
            owner, name, own, value = self._before.pop()
            if own:
                setattr(owner, name, value)
            else:
                delattr(owner, name)


@dataclass(frozen=True, slots=True)
class Driven:
    """A witness that is no scenario: ``drive`` does what a test would, in a session, and ``oracles`` judge it.

    For what a scenario cannot have: several clients, or a component without a venue around it.
    """

    drive: Callable[[Session], Awaitable[None]]
    oracles: tuple[Oracle, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule taken away from a client.

    ``plant`` takes it away; its docstring says which. ``witness`` is the scenario file (beside the table) or the drive
    under which that shows, None where nobody knows one: then ``note`` says why. ``expected`` are the oracles that have
    to say so, ``faults`` the fewest faults it takes, in words, ``venues`` the settings of a venue on which it shows.
    ``fault_free``: it needs no fault. ``seen`` are public reports of the same defect.
    """

    id: str
    component: str
    plant: Callable[[Patch], None]
    witness: str | Driven | None
    expected: tuple[str, ...]
    faults: str = ""
    venues: str = "any"
    wasabi: Wasabi = ""
    fault_free: bool = False
    seen: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.witness is None and not self.note:
            raise ValueError(f"mutant {self.id} has no witness, and no note that says why")
        if self.witness is not None and not self.expected:
            raise ValueError(f"mutant {self.id} expects no oracle to fail")

    @property
    def about(self) -> str:
        """What it does wrong, in one line."""
        return (self.plant.__doc__ or self.plant.__name__).strip().partition("\n")[0].rstrip(".")

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Within the block, the client has this bug."""
        patch = Patch()
        try:
            self.plant(patch)
            yield
        finally:
            patch.undo()


@dataclass(frozen=True, slots=True)
class Trial:
    """One mutant under its witness and one seed.

    ``failed`` are the oracles that failed for it, ``passed`` those that passed for the client as it is, in every run
    of it; ``refuted`` those that failed there. ``asked`` are all that judged. ``faults`` is how many struck.
    """

    seed: int
    asked: tuple[str, ...]
    failed: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    refuted: tuple[str, ...] = ()
    faults: int = 0
    finding: str = ""
    error: str = ""

    @property
    def differs(self) -> tuple[str, ...]:
        """The oracles that tell the mutant from the client as it is."""
        return tuple(name for name in self.failed if name in self.passed)


@dataclass(frozen=True, slots=True)
class Tried:
    """All trials of one mutant. ``without_faults`` are the oracles that failed where nothing struck."""

    trials: tuple[Trial, ...] = ()
    without_faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one mutant."""

    mutant: Mutant
    tried: Tried = Tried()

    @property
    def trials(self) -> tuple[Trial, ...]:
        """One for each seed."""
        return self.tried.trials

    @property
    def killed_by(self) -> tuple[str, ...]:
        """The expected oracles that saw it, under one seed at least."""
        return tuple(name for name in self.mutant.expected if any(name in trial.differs for trial in self.trials))

    @property
    def also(self) -> tuple[str, ...]:
        """Oracles that saw it and were not expected to."""
        seen = dict.fromkeys(name for trial in self.trials for name in trial.differs)
        return tuple(name for name in seen if name not in self.mutant.expected)

    @property
    def outcome(self) -> Outcome:
        """What it comes to."""
        if self.mutant.witness is None:
            return "unwitnessed"
        if any(trial.refuted for trial in self.trials):
            return "refuted"
        if self.killed_by:
            return "killed"
        if any(trial.error for trial in self.trials):
            return "broken"
        return "misjudged" if self.also else "survived"

    @property
    def mistagged(self) -> bool:
        """Whether it fails without any fault although it is not said to."""
        return bool(self.tried.without_faults) and not self.mutant.fault_free

    @property
    def why(self) -> str:
        """What there is to say of it, in a few words."""
        trial = next((each for each in self.trials if each.error or each.refuted or each.finding), None)
        if self.mistagged:
            return f"fails without a fault: {', '.join(self.tried.without_faults)}"
        if self.outcome in ("unwitnessed", "survived") or trial is None:
            return self.mutant.note
        if trial.refuted:
            return f"the client as it is fails too: {', '.join(trial.refuted)} (seed {trial.seed})"
        return trial.error or trial.finding
