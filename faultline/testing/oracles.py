"""What every oracle keeps: it judges any history, changes none, and says pass only of what it looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import FrozenInstanceError
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Final

from faultline.history import Contract, History
from faultline.history.event import Contracted
from faultline.oracles.base import Oracle, Verdict, why_no_oracle
from faultline.testing.conformance import Promises

_PREFIXES_MAX: Final = 200


def check_oracle(
    oracle: Oracle | type[Oracle], *, good: History | Iterable[History], bad: History | Iterable[History]
) -> None:
    """Raises NonConforming for an oracle that does not keep what ours keep.

    ``good`` are histories that it must pass, ``bad`` those that it must fail; write them with
    :class:`faultline.HistoryBuilder`, or load them. It must give the same verdict each time, also on a history that was
    saved and read back; leave the history as it is; not break on one that ends anywhere; and not pass one in which
    nothing happened.
    """
    kind = oracle if isinstance(oracle, type) else type(oracle)
    promises = Promises(f"oracle {getattr(kind, 'name', kind.__name__)!r}")
    why = why_no_oracle(getattr(kind, "name", ""), kind)
    promises.that(not why, f"{kind.__name__} {why}")
    promises.that(
        (kind.__doc__ or "").strip() and not (kind.__doc__ or "").startswith(f"{kind.__name__}("), "it has no docstring"
    )
    made = promises.works(kind, "it cannot be made without arguments, so its bare name is no oracle")
    judge = made if isinstance(oracle, type) else oracle
    if not promises.broken and judge is not None:
        _check_frozen(promises, judge)
        _check_nothing(promises, judge)
        for history in _all(good):
            _check_good(promises, judge, history)
        for history in _all(bad):
            _check_bad(promises, judge, history)
    promises.keep()


def _all(histories: History | Iterable[History]) -> list[History]:
    return [histories] if isinstance(histories, History) else list(histories)


def _check_frozen(promises: Promises, oracle: Oracle) -> None:
    try:
        type(oracle).__setattr__(oracle, "name", "other")
    except (FrozenInstanceError, AttributeError):
        return
    promises.that(False, "it can be changed after it was made: write @dataclass(frozen=True)")


def _check_nothing(promises: Promises, oracle: Oracle) -> None:
    empty = History([Contracted(0.0, Contract("nothing"), 0)])
    empty.seal()
    verdict = promises.works(lambda: oracle.judge(empty), "it breaks on a history in which nothing happened")
    promises.that(verdict is None or verdict.verdict != "pass", "it passes a history in which nothing happened")


def _judged(promises: Promises, oracle: Oracle, history: History) -> Verdict | None:
    before = (history.digest, len(history))
    verdict: Verdict | None = promises.works(lambda: oracle.judge(history), "it breaks")
    if verdict is None:
        return None
    promises.that((history.digest, len(history)) == before, "it changes the history that it judges")
    promises.that(isinstance(verdict, Verdict), f"its answer {verdict!r} is no Verdict")
    promises.that(verdict.oracle == oracle.name, f"its verdict is signed {verdict.oracle!r}")
    promises.that(oracle.judge(history) == verdict, "asked twice it judges differently")
    with tempfile.TemporaryDirectory() as folder:
        history.write(Path(folder) / "history.jsonl")
        again = oracle.judge(History.load(Path(folder) / "history.jsonl"))
    promises.that(again == verdict, "of the same history, saved and read back, it judges differently")
    return verdict


def _check_good(promises: Promises, oracle: Oracle, history: History) -> None:
    verdict = _judged(promises, oracle, history)
    if verdict is None:
        return
    promises.that(verdict.verdict == "pass", f"a good history is {verdict.verdict}: {verdict.why}")
    promises.that(verdict.judged > 0, "it passes without having looked at anything (judged is 0)")
    promises.that(not verdict.findings, "it passes with findings")
    events = list(history)
    for length in range(1, min(len(events), _PREFIXES_MAX)):
        prefix = History(events[:length])
        prefix.seal()
        told = promises.works(partial(oracle.judge, prefix), f"it breaks on a history that ends after {length} events")
        if told is None:
            return


def _check_bad(promises: Promises, oracle: Oracle, history: History) -> None:
    verdict = _judged(promises, oracle, history)
    if verdict is None:
        return
    if not promises.that(verdict.verdict == "fail", f"a bad history is {verdict.verdict}: {verdict.why}"):
        return
    promises.that(verdict.findings and verdict.count >= len(verdict.findings), "it fails without a finding")
    for finding in verdict.findings:
        promises.that(
            finding.what.strip() and isfinite(finding.t), f"the finding {finding!r} does not say what and when"
        )
