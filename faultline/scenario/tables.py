"""What a scenario may name: faults, oracles and their groups, venue profiles, worlds.

The shipped tables are imported only when a file is loaded. Whoever brings faults or oracles of their own hands a
wider :class:`Tables` to the loader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faultline.faults.base import Fault


@dataclass(frozen=True, slots=True)
class Tables:
    """Names and what they stand for. ``settings`` maps a venue profile to the dataclass of its settings.

    ``groups`` maps a name to the oracles that it stands for.
    """

    faults: Mapping[str, type[Fault]]
    oracles: Mapping[str, type[Any]]
    settings: Mapping[str, type[Any]]
    groups: Mapping[str, Iterable[str]] = field(default_factory=dict)
    worlds: tuple[str, ...] = ("sim",)

    @classmethod
    def shipped(cls) -> Tables:
        """What comes with faultline."""
        from faultline.faults import FAULTS
        from faultline.oracles import GROUPS, ORACLES
        from faultline.venues import PROFILES
        from faultline.worlds import WORLDS

        settings = {name: profile.settings for name, profile in PROFILES.items()}
        return cls(FAULTS, ORACLES, settings, GROUPS, tuple(WORLDS))
