"""What installed packages add: faults, oracles, venue profiles and reports, through entry points.

A package names what it brings in its own ``pyproject.toml``::

    [project.entry-points."faultline.faults"]
    solar_flare = "my_package.faults:SolarFlare"

and every scenario can name ``solar_flare`` from then on. The groups are ``faultline.faults``, ``faultline.oracles``,
``faultline.venues`` and ``faultline.reports``.

Nothing of this costs anything until it is needed: the metadata of installed packages are read when a name is not one
of ours or when all names are asked for, and a package is imported when one of its names is used. A package cannot take
a name that there is already: who reads a scenario must know what its words mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from faultline.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
GROUPS: Final = ("faultline.faults", "faultline.oracles", "faultline.venues", "faultline.reports")


class Origin(NamedTuple):
    """The distribution that a name comes from, and the object that it stands for (``package.module:name``)."""

    distribution: str
    value: str


class Table(Mapping[str, T], Generic[T]):
    """The names of one group: ``shipped`` ones, and those of installed packages.

    ``check`` gives the reason why an object cannot be what its name says, or the empty string. Looking up or listing
    what is not shipped raises UsageError for a package that takes a name that there is already, that does not import,
    or whose object is none of this group.
    """

    def __init__(self, group: str, shipped: Mapping[str, T], check: Callable[[str, object], str]) -> None:
        self.group = group
        self.shipped = shipped
        self._check = check
        self._added: dict[str, EntryPoint] | None = None
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name in self.shipped:
            return self.shipped[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(name, self._entries()[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.shipped or name in self._entries()

    def __iter__(self) -> Iterator[str]:
        yield from self.shipped
        yield from self._entries()

    def __len__(self) -> int:
        return len(self.shipped) + len(self._entries())

    @property
    def added(self) -> Mapping[str, Origin]:
        """The names that installed packages add, without importing any of them."""
        return {name: Origin(_distribution(entry), entry.value) for name, entry in self._entries().items()}

    def forget(self) -> None:
        """Look for installed packages anew at the next question."""
        self._added = None
        self._loaded = {}

    def _entries(self) -> dict[str, EntryPoint]:
        if self._added is None:
            from importlib.metadata import entry_points

            found: dict[str, EntryPoint] = {}
            for entry in sorted(entry_points(group=self.group), key=lambda entry: (entry.name, _distribution(entry))):
                other = found.get(entry.name)
                # One package may be seen twice, installed and from its source folder.
                if other is not None and (other.value, _distribution(other)) == (entry.value, _distribution(entry)):
                    continue
                if entry.name in self.shipped or other is not None:
                    whose = "faultline itself" if other is None else _distribution(other)
                    raise UsageError(
                        f"entry point {entry.name!r} of group {self.group} (package {_distribution(entry)}): "
                        f"{whose} has that name already; give it another one, or uninstall one of them"
                    )
                found[entry.name] = entry
            self._added = found
        return self._added

    def _load(self, name: str, entry: EntryPoint) -> T:
        where = f"entry point {name!r} of group {self.group} (package {_distribution(entry)})"
        try:
            loaded = entry.load()
        except Exception as error:
            what = f"{where}: {entry.value} does not import: {type(error).__name__}: {error}"
            raise UsageError(what) from error
        why = self._check(name, loaded)
        if why:
            raise UsageError(f"{where}: {entry.value} {why}")
        found: T = loaded
        return found


def _distribution(entry: EntryPoint) -> str:
    return "?" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
