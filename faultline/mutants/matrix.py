"""All results together: the matrix mutant x oracle, the score, and what is not as recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

from faultline.mutants.model import Mutant, Outcome, Result
from faultline.oracles.base import plural
from faultline.reports.text import columns, safe, shortened

_LETTERS: Final = ascii_lowercase + ascii_uppercase
_WIDTH: Final = 110
NO_CLASS: Final = "not of retrying"


@dataclass(frozen=True, slots=True)
class Score:
    """How many of the mutants with a witness were killed."""

    killed: int
    tried: int

    def __str__(self) -> str:
        return f"{self.killed}/{self.tried}"


@dataclass(frozen=True, slots=True)
class Matrix:
    """The results, in the order of the table, and what was recorded as killed."""

    results: tuple[Result, ...]
    recorded: Mapping[str, tuple[str, ...]]

    def having(self, *outcomes: Outcome) -> tuple[Result, ...]:
        """The results with one of these outcomes."""
        return tuple(result for result in self.results if result.outcome in outcomes)

    @property
    def regressions(self) -> tuple[Result, ...]:
        """Mutants that were killed once and now live, or fail without a fault although they are not said to."""
        lives = self.having("survived", "misjudged")
        return tuple(
            result
            for result in self.results
            if result.mistagged or (result in lives and result.mutant.id in self.recorded)
        )

    @property
    def undecided(self) -> tuple[Result, ...]:
        """Those of which nothing was learnt."""
        return self.having("refuted", "broken")

    @property
    def oracles(self) -> tuple[str, ...]:
        """All oracles that judged, in the order in which they first did."""
        return tuple(dict.fromkeys(name for result in self.results for trial in result.trials for name in trial.asked))

    def scores(self, by: Callable[[Mutant], str]) -> dict[str, Score]:
        """The score of each group. What has no witness counts nowhere."""
        groups: dict[str, list[Result]] = {}
        for result in self.results:
            if result.outcome != "unwitnessed":
                groups.setdefault(by(result.mutant), []).append(result)
        return {name: _score(results) for name, results in groups.items()}

    @property
    def by_component(self) -> dict[str, Score]:
        """The score of each component."""
        return self.scores(lambda mutant: mutant.component)

    @property
    def by_class(self) -> dict[str, Score]:
        """The score of each WASABI class."""
        return dict(sorted(self.scores(lambda mutant: mutant.wasabi or NO_CLASS).items()))

    @property
    def score(self) -> Score:
        """All together."""
        return _score([result for result in self.results if result.outcome != "unwitnessed"])

    def record(self) -> dict[str, tuple[str, ...]]:
        """What to record: the oracles that have seen each mutant that was killed."""
        return {result.mutant.id: (*result.killed_by, *result.also) for result in self.having("killed")}


def _score(results: Sequence[Result]) -> Score:
    return Score(sum(result.outcome == "killed" for result in results), len(results))


def text(matrix: Matrix) -> str:
    """The matrix for people."""
    return "\n".join([*_grid(matrix), "", *_exceptions(matrix), *_scores(matrix)])


def _grid(matrix: Matrix) -> Iterator[str]:
    letters = dict(zip(matrix.oracles, _LETTERS, strict=False))
    yield "O: the oracle that was expected to see it did.  o: another one saw it too.  .: it passed, or cannot tell."
    yield from columns([(letter, name) for name, letter in letters.items()])
    yield ""
    rows = []
    for result in matrix.results:
        cells = "".join(_cell(result, name) for name in letters)
        mutant = result.mutant
        about = shortened(safe(mutant.about), _WIDTH - len(letters) - 20)
        rows.append((mutant.id, cells, result.outcome, about + " (needs no fault)" * mutant.fault_free))
    yield from columns([("", "".join(letters.values()), "", ""), *rows])


def _cell(result: Result, oracle: str) -> str:
    if oracle in result.killed_by:
        return "O"
    if oracle in result.also:
        return "o"
    return "." if any(oracle in trial.asked for trial in result.trials) else " "


def _exceptions(matrix: Matrix) -> Iterator[str]:
    """Everything that is not simply a kill, with why."""
    titles: dict[Outcome, str] = {
        "survived": "Survivors",
        "misjudged": "Seen only by oracles that were not expected to (no kill)",
        "refuted": "The client as it is fails too, so nothing is proven",
        "broken": "A run did not come to its end",
        "unwitnessed": "No witness is known, so not in the score",
    }
    for outcome, title in titles.items():
        found = matrix.having(outcome)
        if found:
            yield f"{title}:"
            yield from columns([("  " + each.mutant.id, _by(each), safe(each.why)) for each in found])
            yield ""
    mistagged = [each for each in matrix.results if each.mistagged]
    if mistagged:
        yield "Not said to need no fault, and need none:"
        yield from columns([("  " + each.mutant.id, ", ".join(each.tried.without_faults)) for each in mistagged])
        yield ""
    lost = [each.mutant.id for each in matrix.regressions if not each.mistagged]
    if lost:
        yield f"Were killed once, and are not now: {', '.join(lost)}"
        yield ""


def _by(result: Result) -> str:
    return ", ".join(result.also) if result.outcome == "misjudged" else ""


def _scores(matrix: Matrix) -> Iterator[str]:
    for title, scores in (("component", matrix.by_component), ("WASABI class", matrix.by_class)):
        yield f"By {title}: " + ", ".join(f"{name} {score}" for name, score in scores.items())
    yield f"Killed: {matrix.score} of {plural(matrix.score.tried, 'mutant')} with a witness"


def document(matrix: Matrix, code: int) -> dict[str, Any]:
    """The matrix for programs, as what JSON can hold."""
    return {
        "exit_code": code,
        "score": {"killed": matrix.score.killed, "tried": matrix.score.tried},
        "by_component": _plain(matrix.by_component),
        "by_wasabi_class": _plain(matrix.by_class),
        "regressions": [result.mutant.id for result in matrix.regressions],
        "mutants": [_mutant(result) for result in matrix.results],
    }


def _plain(scores: Mapping[str, Score]) -> dict[str, dict[str, int]]:
    return {name: {"killed": score.killed, "tried": score.tried} for name, score in scores.items()}


def _mutant(result: Result) -> dict[str, Any]:
    mutant = result.mutant
    return {
        "id": mutant.id,
        "component": mutant.component,
        "about": mutant.about,
        "wasabi": mutant.wasabi,
        "fault_free": mutant.fault_free,
        "expected": list(mutant.expected),
        "outcome": result.outcome,
        "killed_by": list(result.killed_by),
        "also": list(result.also),
        "without_faults": list(result.tried.without_faults),
        "why": result.why,
        "trials": [
            {
                "seed": trial.seed,
                "failed": list(trial.failed),
                "reference_failed": list(trial.refuted),
                "faults": trial.faults,
                "error": trial.error,
            }
            for trial in result.trials
        ],
    }
