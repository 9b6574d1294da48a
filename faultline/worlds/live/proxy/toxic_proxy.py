"""A named proxy with toxics, as the control API knows it: a :class:`FaultProxy` and what is armed in it, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from faultline.faults.chance import Chance
from faultline.worlds.live.proxy.armed import Armed, FaultDecider
from faultline.worlds.live.proxy.bodies import ApiError, ToxicInput
from faultline.worlds.live.proxy.proxy import FaultProxy
from faultline.worlds.live.proxy.toxics import TOXICS, Value, Way

_WAYS: Mapping[str, Way] = {"upstream": "up", "downstream": "down"}


@dataclass(slots=True)
class Toxic:
    """One toxic of a proxy. ``stream`` is written as it was given."""

    name: str
    type: str
    stream: str
    toxicity: float
    first: int | None
    attributes: dict[str, Value]
    armed: Armed

    @property
    def way(self) -> Way:
        """The direction that it acts on."""
        return _WAYS[self.stream.lower()]

    def view(self) -> dict[str, object]:
        """As the control API shows it."""
        shown: dict[str, object] = {
            "attributes": self.attributes, "name": self.name, "type": self.type, "stream": self.stream,
            "toxicity": self.toxicity,
        }  # fmt: skip
        if self.first is not None:
            shown["first"] = self.first
        return shown


class ToxicProxy:
    """Adds, changes and removes toxics, and says what there is. Raises ApiError with the status to answer with."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.toxics: dict[str, Toxic] = {}

    @property
    def name(self) -> str:
        """Its name."""
        return self.proxy.name

    def view(self) -> dict[str, object]:
        """As the control API shows it, with the empty ``Logger`` that clients have come to see."""
        return {
            "name": self.name,
            "listen": self.proxy.listen,
            "upstream": self.proxy.upstream,
            "enabled": self.proxy.is_listening,
            "Logger": {},
            "toxics": self.listed(),
        }

    def listed(self) -> list[dict[str, object]]:
        """The toxics, those on the upstream first."""
        return [toxic.view() for way in ("up", "down") for toxic in self.toxics.values() if toxic.way == way]

    def get(self, name: str) -> Toxic:
        """A toxic by its name."""
        if name not in self.toxics:
            raise ApiError(404, "toxic not found")
        return self.toxics[name]

    def add(self, given: ToxicInput) -> Toxic:
        """A new toxic, in effect at once, also on open connections."""
        stream = given.stream or "downstream"
        if stream.lower() not in _WAYS:
            raise ApiError(400, "stream was invalid, can be either upstream or downstream")
        kind = given.type
        if kind is None or kind not in TOXICS:
            raise ApiError(400, "invalid toxic type")
        name = given.name or f"{kind}_{stream}"
        if "/" in name:
            raise ApiError(400, "bad request body: name holds a '/': it could never be addressed")
        if name in self.toxics:
            raise ApiError(409, "toxic already exists")
        attributes = given.read_attributes(TOXICS[kind], None)
        toxicity = 1.0 if given.toxicity is None else given.read_toxicity()
        chance = Chance(self.proxy.seed, self.name, name)
        decider = self._decider(kind, attributes, _WAYS[stream.lower()], chance)
        armed = Armed(
            name, decider, chance, toxicity=toxicity, first=given.read_first(), after=self.proxy.accepted,
            closes_when_removed=TOXICS[kind].closes_when_removed,
        )  # fmt: skip
        toxic = self.toxics[name] = Toxic(name, kind, stream, toxicity, armed.first, attributes, armed)
        self.proxy.arm(armed)
        return toxic

    def _decider(self, kind: str, attributes: Mapping[str, Value], way: Way, chance: Chance) -> FaultDecider:
        return FaultDecider(TOXICS[kind].faults(attributes, way), chance, self.name)

    def update(self, toxic: Toxic, given: ToxicInput) -> None:
        """New attributes over the old ones, and a new toxicity; the draws stay."""
        kind = TOXICS[toxic.type]
        attributes = given.read_attributes(kind, toxic.attributes)
        if given.toxicity is not None:
            toxic.toxicity = given.read_toxicity()
        toxic.attributes = attributes
        toxic.armed.toxicity = toxic.toxicity
        toxic.armed.decider = self._decider(
            toxic.type, attributes, toxic.way, Chance(self.proxy.seed, self.name, toxic.name)
        )
        self.proxy.rearm(toxic.armed)

    def remove(self, toxic: Toxic) -> None:
        """No more of it; a toxic that is no longer there is left alone."""
        if self.toxics.get(toxic.name) is toxic:
            del self.toxics[toxic.name]
            self.proxy.disarm(toxic.armed)

    def remove_all(self) -> None:
        """No more toxics. Connections stay, except those that a black hole had."""
        for toxic in list(self.toxics.values()):
            self.remove(toxic)
