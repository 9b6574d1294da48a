"""A history by hand, judged by the oracles as if it had happened here."""

from __future__ import annotations

from pathlib import Path

import pytest

import faultline as fl
from faultline.errors import UsageError
from faultline.history.event import TokenEnded


def good() -> fl.HistoryBuilder:
    return (
        fl.HistoryBuilder()
        .intent("I1", "buy", quantity=2, price=100, symbol="NQ")
        .strike("lost_response", "POST /orders", entity="I1", applied=True)
        .order("o1", "I1", quantity=2, symbol="NQ")
        .fill("o1", 1)
        .fill("o1", 1, fill="last")
        .answer("I1")
        .faults_over(at=10)
        .believe({"I1": ("filled", 2)}, positions={"NQ": 2}, fills=["fill1", "last"], final=True)
    )


ORACLES = (fl.oracles.NoDuplicates(), fl.oracles.NoLoss(), fl.oracles.FillsConserved(), fl.oracles.NotVacuous())


def test_oracles_judge_what_was_written_by_hand_and_read_back(tmp_path: Path) -> None:
    history = good().sealed()
    assert {oracle.name: oracle.judge(history).verdict for oracle in ORACLES} == {
        "no_duplicates": "pass",
        "no_loss": "pass",
        "fills_conserved": "pass",
        "not_vacuous": "pass",
    }
    history.write(tmp_path / "by-hand.jsonl")
    assert fl.History.load(tmp_path / "by-hand.jsonl").digest == history.digest
    assert fl.History.load(str(tmp_path / "by-hand.jsonl")).ledger.orders["o1"].state == "filled"


def test_what_is_wrong_in_it_is_found() -> None:
    twice = good().order("o2", "I1", quantity=2).cancel("o2").sealed()
    assert fl.oracles.NoDuplicates().judge(twice).verdict == "fail"
    unfilled = fl.HistoryBuilder().intent("I1", quantity=2, price=3).answer("I1").sealed()
    assert fl.oracles.NoLoss().judge(unfilled).verdict == "fail"
    loose = good().order("o9", None).sealed()
    assert fl.oracles.NoDuplicates().judge(loose).verdict == "unknown"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"there is no order 'o7'; say .order\('o7', ...\) before it"):
        good().fill("o7", 1)
    with pytest.raises(UsageError, match=r"TokenEnded is at 1\.0 s, and the event before it at 10"):
        good().add(TokenEnded(1.0, "<token#1>"))
