"""The report that CI servers read: JUnit's XML, one ``testcase`` per scenario and target.

The format has no authority, so this is what Jenkins, GitLab and GitHub actions agree on: ``failure`` for a verdict that
should have been another, ``error`` for a run that broke, ``skipped`` for what proved nothing or did not run to its end.
Unknown is never pass: a case without proof is skipped with the reason, not green.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from faultline.campaign.model import Campaign, CaseResult, Failure, target_label
from faultline.reports.facts import headline, told

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped. What came off a wire may have them."""


def text(campaign: Campaign) -> str:
    """The whole document."""
    root = ElementTree.Element("testsuites", name="faultline", time=_seconds(campaign.wall_s))
    for path, results in _by_file(campaign.results).items():
        suite = ElementTree.SubElement(root, "testsuite", name=_clean(path), time=_seconds(_time_of(results)))
        for result in results:
            _case(suite, result)
        _count(suite)
    _count(root)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _by_file(results: Sequence[CaseResult]) -> dict[str, list[CaseResult]]:
    files: dict[str, list[CaseResult]] = {}
    for result in results:
        files.setdefault(result.case.scenario.path, []).append(result)
    return files


def _case(suite: ElementTree.Element, result: CaseResult) -> None:
    scenario = result.case.scenario
    name = f"{scenario.name} [{target_label(result.case.target)}]"
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_clean(scenario.path.replace("/", ".")),
        name=_clean(name),
        file=_clean(scenario.path),
        line=str(scenario.where("name")[0]),
        time=_seconds(result.wall_s),
    )
    kind = {"fail": "failure", "broken": "error", "inconclusive": "skipped", "unfinished": "skipped"}.get(result.status)
    if kind is not None:
        outcome = ElementTree.SubElement(case, kind, type=result.status, message=_clean(headline(result)))
        outcome.text = _clean("\n\n".join(_block(failure) for failure in result.failures if failure.stated is None))
    seeds = f"seeds {', '.join(str(run.seed) for run in result.runs)}; {result.receipt_count} receipts"
    ElementTree.SubElement(case, "system-out").text = _clean(seeds)


def _block(failure: Failure) -> str:
    return "\n".join(told(failure))


def _count(element: ElementTree.Element) -> None:
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    for attribute, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(case.find(child) is not None for case in cases)))


def _time_of(results: Sequence[CaseResult]) -> float:
    return sum(result.wall_s for result in results)


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _clean(value: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
