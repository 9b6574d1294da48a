"""What a scenario may name: faults, oracles and their groups, venue profiles, worlds.

The tables are imported only when a file is loaded. They hold what is shipped and what installed packages add
(:mod:`faultline.plugins`), of which only what a file names is imported. Whoever has further names hands a wider
:class:`Tables` to the loader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from faultline.faults.base import Fault
from faultline.venues.profile import Profile


class _Settings(Mapping[str, type[Any]]):
    """The settings of each profile. A profile of an installed package is not imported before it is asked for."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = profiles

    def __getitem__(self, name: str) -> type[Any]:
        return self._profiles[name].settings

    def __iter__(self) -> Iterator[str]:
        return iter(self._profiles)

    def __len__(self) -> int:
        return len(self._profiles)


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
        """What comes with faultline, and with installed packages."""
        from faultline.faults import FAULTS
        from faultline.oracles import GROUPS, ORACLES
        from faultline.venues import PROFILES
        from faultline.worlds import WORLDS

        return cls(FAULTS, ORACLES, _Settings(PROFILES), GROUPS, tuple(WORLDS))
