"""Reports by name: each makes the text of a file out of a campaign.

An installed package adds its own through the entry point group ``faultline.reports``: a function
``(campaign, code, meaning) -> str``, where ``code`` is the exit code and ``meaning`` what it means, in words. It gets
what came off the wire as it was, so it escapes what its format could obey.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from faultline.plugins import Table

if TYPE_CHECKING:
    from faultline.campaign.model import Campaign

Report = Callable[["Campaign", int, str], str]


def _json(campaign: Campaign, code: int, meaning: str) -> str:
    """One JSON document: results, runs, verdicts, receipts."""
    from faultline.reports import json

    return json.text(campaign, code, meaning)


def _junit(campaign: Campaign, code: int, meaning: str) -> str:
    """JUnit XML, as CI servers read it."""
    from faultline.reports import junit

    return junit.text(campaign)


def _html(campaign: Campaign, code: int, meaning: str) -> str:
    """One self-contained page, with the failing runs that were saved."""
    from faultline.reports import json, page, shown

    return page.text(json.document(campaign, code, meaning), shown.of_campaign(campaign))


def _trace(campaign: Campaign, code: int, meaning: str) -> str:
    """The first failing run that was saved, for Chrome's trace viewer or Perfetto."""
    from faultline.reports import shown, trace

    runs = shown.of_campaign(campaign)
    return trace.text(runs[0].history, runs[0].verdicts) if runs else trace.EMPTY


def _agent(campaign: Campaign, code: int, meaning: str) -> str:
    """The few keys that an agent or a dashboard asks for, as JSON."""
    from faultline.reports import agent, json

    return agent.text(json.document(campaign, code, meaning)) + "\n"


def why_no_report(name: str, found: object) -> str:
    """Why ``found`` cannot be the report called ``name``, or the empty string."""
    return "" if callable(found) else "cannot be called with (campaign, code, meaning)"


REPORTS: Final[Table[Report]] = Table(
    "faultline.reports",
    {"agent": _agent, "html": _html, "json": _json, "junit": _junit, "trace": _trace},
    why_no_report,
)
"""Every report by name: ours, and those of installed packages."""
