"""Reports by name: each makes the text of a file out of a campaign.

An installed package adds its own through the entry point group ``faultline.reports``: a function
``(campaign, code, meaning) -> str``, where ``code`` is the exit code and ``meaning`` what it means, in words. It gets
what came off the wire as it was, so it escapes what its format could obey.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from faultline.plugins import Table

if TYPE_CHECKING:
    from faultline.campaign.model import Campaign

Report = Callable[["Campaign", int, str], str]


def _json(campaign: Campaign, code: int, meaning: str) -> str:
    """One JSON document: results, runs, verdicts, receipts."""
    text: str = import_module("faultline.reports.json").text(campaign, code, meaning)
    return text


def _junit(campaign: Campaign, code: int, meaning: str) -> str:
    """JUnit XML, as CI servers read it."""
    text: str = import_module("faultline.reports.junit").text(campaign)
    return text


def why_no_report(name: str, found: object) -> str:
    """Why ``found`` cannot be the report called ``name``, or the empty string."""
    return "" if callable(found) else "cannot be called with (campaign, code, meaning)"


REPORTS: Final[Table[Report]] = Table("faultline.reports", {"json": _json, "junit": _junit}, why_no_report)
"""Every report by name: ours, and those of installed packages."""
