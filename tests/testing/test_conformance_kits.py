"""The kits: everything of ours keeps what they ask for, and each of them sees something that is broken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import random
from typing import Any, ClassVar

import pytest

import faultline as fl
from faultline.faults import FAULTS
from faultline.faults.actions import Action, Cut, Delay
from faultline.faults.families import RequestFault
from faultline.history.event import Intent
from faultline.oracles import ORACLES, Verdict, verdict
from faultline.reports.table import REPORTS
from faultline.testing import (
    NonConforming,
    check_fault,
    check_oracle,
    check_report,
    check_venue,
    check_world,
)
from faultline.venues import PROFILES
from faultline.venues.generic import GenericVenue
from faultline.worlds import WORLDS
from faultline.worlds.sim.world import SimWorld
from tests.history.test_builder import good
from tests.oracles.conftest import Story
from tests.oracles.test_sensitivity import flawless


@pytest.mark.parametrize("kind", FAULTS)
def test_our_faults_conform(kind: str) -> None:
    check_fault(FAULTS[kind])


@pytest.mark.parametrize("name", PROFILES)
def test_our_venues_conform(name: str) -> None:
    check_venue(PROFILES[name])


@pytest.mark.parametrize("name", ["sim", "live"])
def test_our_worlds_conform(name: str) -> None:
    check_world(name)


@pytest.mark.parametrize("name", REPORTS)
def test_our_reports_conform(name: str) -> None:
    check_report(REPORTS[name])


def history(events: list[Any]) -> fl.History:
    made = fl.History(events)
    made.seal()
    return made


BAD = {
    "no_duplicates": good().order("o2", "I1", quantity=2).sealed(),
    "no_lost_intent": fl.HistoryBuilder().intent("I1", quantity=2, price=3).answer("I1").sealed(),
    "fills_conserved": good().believe(positions={"NQ": 7}, final=True).sealed(),
}


@pytest.mark.parametrize("name", ORACLES)
def test_our_oracles_conform(name: str) -> None:
    oracle = ORACLES[name]
    story = history(flawless(Story))
    # Some judge what this story does not have; they are still held to the rest.
    judged = oracle().judge(story).verdict == "pass"
    check_oracle(oracle, good=[story] if judged else [], bad=[BAD[name]] if name in BAD else [])


# Broken ones


def broken(kit: Any, *subject: Any, **more: Any) -> str:
    with pytest.raises(NonConforming) as raised:
        kit(*subject, **more)
    assert str(raised.value).splitlines()[1:] == [f"  - {what}" for what in raised.value.broken]
    return str(raised.value)


@dataclass(frozen=True, kw_only=True)
class Good(RequestFault):
    """Something happens to a request, ``depth`` deep."""

    kind = "good"
    phases = frozenset({"before"})

    depth: int = 1

    def actions(self, moment: Any, chance: Any) -> tuple[Action, ...]:
        return (Delay(1.0),)


class Idle(Good):
    def actions(self, moment: Any, chance: Any) -> tuple[Action, ...]:
        return ()


class Moody(Good):
    """Draws by itself."""

    def actions(self, moment: Any, chance: Any) -> tuple[Action, ...]:
        return (Delay(random()),)


class Chatty(Good):
    """Asks for what there is not."""

    def actions(self, moment: Any, chance: Any) -> Any:
        return ["a cut"]


class Fragile(Good):
    """Breaks."""

    def actions(self, moment: Any, chance: Any) -> tuple[Action, ...]:
        raise LookupError("mine")


class Placeless(Good):
    """Is nowhere."""

    phases = frozenset({"tomorrow"})


@dataclass(frozen=True, kw_only=True)
class Silent(Good):
    """Has a key that nobody explains: not ``depth``."""

    height: int = 1


@dataclass(frozen=True, kw_only=True)
class Needy(Good):
    """Cannot do without ``name``."""

    name: str


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Idle, "it never strikes, at no point of the phases ['before']"),
        (Idle, "it has no docstring"),
        (Moody, "it decides differently"),
        (Chatty, "which is no tuple of actions"),
        (Fragile, "LookupError: mine"),
        (Placeless, "its phases ['tomorrow'] are not among"),
        (Silent, "its docstring does not explain ``height``"),
        (Needy, "it cannot be made without arguments"),
        (Verdict, "is no subclass of faultline.faults.Fault"),
    ],
)
def test_a_fault_that_does_not_conform_is_told(fault: Any, said: str) -> None:
    check_fault(Good)
    check_fault(Good(depth=2, on="PUT /x"))
    assert said in broken(check_fault, fault)


@dataclass(frozen=True)
class Wanted:
    """Every intent wants more than zero."""

    name: ClassVar[str] = "wanted"
    checks: ClassVar[tuple[str, ...]] = ("W1",)

    def judge(self, history: fl.History) -> Verdict:
        """Fails on zero."""
        intents = history.of(Intent)
        zero = [
            fl.oracles.Finding(f"{intent.id} wants nothing", intent.t) for intent in intents if intent.quantity == "0"
        ]
        return verdict(self.name, len(intents), zero)


class Lenient(Wanted):
    """Passes all."""

    def judge(self, history: fl.History) -> Verdict:
        return Verdict(self.name, "pass", 1)


class Vague(Wanted):
    """Does not say what is wrong."""

    def judge(self, history: fl.History) -> Verdict:
        found = super().judge(history)
        return replace_verdict(found, findings=(), count=0)


class Writing(Wanted):
    """Writes into it."""

    def judge(self, history: fl.History) -> Verdict:
        found = super().judge(history)
        history._events.append(history._events[-1])
        return found


class Forgetful(Wanted):
    """Signs with another name."""

    def judge(self, history: fl.History) -> Verdict:
        return replace_verdict(super().judge(history), oracle="somebody")


class Short(Wanted):
    """Wants an answer."""

    def judge(self, history: fl.History) -> Verdict:
        assert history.ledger.oks or len(history) < 2, "no answer"
        return super().judge(history)


def replace_verdict(found: Verdict, **fields: Any) -> Verdict:
    return Verdict(**({name: getattr(found, name) for name in found.__struct_fields__} | fields))


@pytest.mark.parametrize(
    ("oracle", "said"),
    [
        (Lenient, "it passes a history in which nothing happened"),
        (Lenient, "a bad history is pass"),
        (Vague, "it fails without a finding"),
        (Writing, "it changes the history that it judges"),
        (Forgetful, "its verdict is signed 'somebody'"),
        (Short, "it breaks on a history that ends after 2 events: AssertionError: no answer"),
        (Good, "is no dataclass with a method judge"),
    ],
)
def test_an_oracle_that_does_not_conform_is_told(oracle: Any, said: str) -> None:
    bad = fl.HistoryBuilder().intent("I1", quantity=0).answer("I1").sealed()
    check_oracle(Wanted, good=good().sealed(), bad=[bad])
    assert said in broken(check_oracle, oracle, good=good().sealed(), bad=bad)
    assert "a good history is fail" in broken(check_oracle, Wanted(), good=bad, bad=())


class Clumsy(GenericVenue):
    """Breaks on a body that it cannot read."""

    def handle(self, request: Any) -> Any:
        if request.body == b"{":
            raise ValueError("what is that")
        return super().handle(request)


@dataclass
class Loose:
    """Can be changed."""

    heartbeat_s: float = 1.0


@dataclass
class Bare:
    heartbeat_s: float = 1.0


Bare.__doc__ = None


def test_a_venue_that_does_not_conform_is_told() -> None:
    generic = PROFILES["generic"]
    assert "its settings have no docstring" in broken(check_venue, replace(generic, settings=Bare))
    assert "settings can be changed after they were made" in broken(check_venue, replace(generic, settings=Loose))
    nowhere = replace(generic, endpoints=dict.fromkeys(generic.endpoints, ()))
    assert "it names no REST endpoint" in broken(check_venue, nowhere)
    moon = replace(
        generic, endpoints={plane: (*names, "GET /moon/{phase}") for plane, names in generic.endpoints.items()}
    )
    assert "a request to GET /moon/{phase} is not booked under that name" in broken(check_venue, moon)
    clumsy = replace(generic, build=lambda settings, *rest: Clumsy(settings, *rest))
    assert "it breaks when it is asked" in broken(check_venue, clumsy)
    assert "is no faultline.venues.Profile" in broken(check_venue, "generic")


class Forgetting(SimWorld):
    """Loses what a run returns."""

    def run(self, main: Any, ended: Any = lambda: None) -> Any:
        super().run(main, ended)


class Deaf(SimWorld):
    """Starts late, and swallows what a run raises."""

    def now_s(self) -> float:
        return super().now_s() + 100

    def run(self, main: Any, ended: Any = lambda: None) -> Any:
        try:
            return super().run(main, ended)
        except Exception:
            return None


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (Forgetting, "a run returned 'done', and None came out of it"),
        (Deaf, "its clock begins at 100 s"),
        (Deaf, "what a run raises is swallowed"),
    ],
)
def test_a_world_that_does_not_conform_is_told(world: type[SimWorld], said: str) -> None:
    kind = WORLDS["sim"]._replace(make=lambda seed, limit_s: world(seed, time_limit_s=limit_s))
    assert said in broken(check_world, kind)
    assert "there is no such world" in broken(check_world, "mars")


NUMBERS = iter(range(99))


def counted(campaign: Any, code: int, meaning: str) -> str:
    return f"no_duplicates {next(NUMBERS)}"


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (counted, "made again it is another"),
        (lambda campaign, code, meaning: b"no_duplicates", "it gives bytes, and not text"),
        (lambda campaign, code, meaning: campaign.results[0].failures[0].findings[0], "it breaks on an empty campaign"),
        (
            lambda campaign, code, meaning: "".join(
                fact for each in campaign.results for fact in each.failures[0].findings
            ),
            r"it passes on control characters: '\x00', '\x1b'",
        ),
        (
            lambda campaign, code, meaning: (
                "<p>no_duplicates" + "".join(each.failures[0].rows[0].wanted[13:] for each in campaign.results)
            ),
            "it does not escape what came off the wire",
        ),
    ],
)
def test_a_report_that_does_not_conform_is_told(report: Any, said: str) -> None:
    assert said in broken(check_report, report)


def test_a_cut_is_an_action() -> None:
    assert isinstance(Cut(), Action)
