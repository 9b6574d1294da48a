from __future__ import annotations

import dataclasses
import re

import pytest

import faultline.oracles
from faultline.oracles import GROUPS, ORACLES, NoLoss, Verdict
from faultline.oracles.base import FINDINGS_MAX, Finding, verdict


def test_the_table_names_every_oracle_by_what_it_calls_itself():
    assert all(name == oracle.name for name, oracle in ORACLES.items())


def test_every_oracle_says_what_it_is_for_and_which_checks_it_covers():
    for oracle in ORACLES.values():
        assert oracle.__doc__
        assert oracle.judge.__doc__
        assert oracle.checks
        assert all(re.fullmatch(r"C\d+|V", number) for number in oracle.checks)


def test_the_documented_table_agrees_with_the_classes():
    rows = re.findall(r"^(\w+) {2,}.*?((?: ?\b(?:C\d+|V))+)$", faultline.oracles.__doc__ or "", re.MULTILINE)

    assert {name: tuple(checks.split()) for name, checks in rows} == {
        name: oracle.checks for name, oracle in ORACLES.items()
    }


def test_every_parameter_has_a_default_so_that_a_bare_name_will_do():
    for oracle in ORACLES.values():
        assert dataclasses.is_dataclass(oracle)
        assert oracle() == oracle()
        with pytest.raises(dataclasses.FrozenInstanceError):
            oracle().name = "other"


def test_groups_name_oracles_of_the_table():
    assert GROUPS["no_loss"] == ("no_lost_intent", "no_lost_ack", "no_lost_events")
    assert all(name in ORACLES for names in GROUPS.values() for name in names)


def test_no_loss_fails_with_the_findings_of_its_parts(story):
    story.place("I1").place("I2").answer("I2")

    result = NoLoss().judge(story.end())

    assert result.verdict == "fail"
    assert result.count == 3  # two lost intents and one lost promise
    assert {finding.intent for finding in result.findings} == {"I1", "I2"}


def test_no_loss_passes_when_a_part_had_nothing_to_judge(new_story):
    story = new_story(booted=False).place("I1").order("o1", "I1").answer("I1")

    assert NoLoss().judge(story.history()).verdict == "pass"


def test_no_loss_is_unknown_when_a_part_is_in_doubt(story):
    result = NoLoss().judge(story.place("I1").answer("I1", "fail").order("o1", None).end())

    assert result.verdict == "unknown"
    assert result.why.startswith("no_lost_intent: 1 effect cannot be tied to an intent")


def test_a_client_that_never_came_back_leaves_no_loss_unknown(story):
    story.good_order(1).crash()

    assert NoLoss().judge(story.history()).verdict == "unknown"


def test_a_verdict_keeps_the_first_findings_and_counts_them_all():
    findings = [Finding(f"finding {number}", float(number)) for number in range(FINDINGS_MAX + 5)]

    result = verdict("x", 200, findings)

    assert len(result.findings) == FINDINGS_MAX
    assert result.count == FINDINGS_MAX + 5
    assert result.why == "finding 0"


def test_nothing_judged_is_never_a_pass():
    assert verdict("x", 0, ()) == Verdict("x", "unknown", 0, "there was nothing to judge")


def test_a_finding_outweighs_doubt():
    assert verdict("x", 1, [Finding("wrong", 0.0)], unknown="doubt").verdict == "fail"
