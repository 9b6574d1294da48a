"""What a report says of a test in a world, and what is kept: an explanation, a history, and a line that repeats it.

What goes from a worker to the one who reports (xdist) are plain values in the report.
"""

from __future__ import annotations

import base64
import os
import pickle
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest._code.code import ExceptionChainRepr, ReprEntryNative, ReprTraceback

from faultline.campaign.model import Campaign, CaseResult
from faultline.checked import CheckFailed
from faultline.history import History
from faultline.oracles.claims import claim_verdicts
from faultline.pytest_plugin.scenarios import FOLDER, ScenarioFailed
from faultline.pytest_plugin.settings import SETTINGS
from faultline.reports.explained import struck
from faultline.session import Session

SUFFIXES = {".json": "json", ".xml": "junit", ".html": "html"}
NAME_MAX = 120


def complete(
    report: pytest.TestReport,
    item: pytest.Item,
    error: BaseException | None,
    session: Session | None,
    result: CaseResult | None,
) -> None:
    """Put into ``report`` what is to be shown of the test, and what all tests together are judged by."""
    if session is not None:
        held = {each.oracle: each.verdict == "pass" for each in claim_verdicts(session.history)}
        told = {what: held[what] for what in held if what.startswith("sometimes: ")}
        report.__dict__["faultline_sometimes"] = told
    if result is not None and item.config.stash[SETTINGS].report:
        report.__dict__["faultline_result"] = base64.b64encode(pickle.dumps(result)).decode()
    if not report.failed:
        return
    history = error.history if isinstance(error, CheckFailed) else None
    history = history if history is not None or session is None else session.history
    kept = [] if history is None else _kept(history, item, session)
    if isinstance(error, CheckFailed | ScenarioFailed):
        _explain(report, [*str(error).splitlines(), *kept])
    elif session is not None and history is not None:
        report.sections.append(("faultline", "\n".join([f"seed {session.seed}", *struck(history), *kept])))


def _explain(report: pytest.TestReport, lines: Sequence[str]) -> None:
    """The lines in place of the traceback, with the place in the test at their end."""
    whole = report.longrepr
    crash = getattr(whole, "reprcrash", None)
    if crash is None:
        report.longrepr = "\n".join(lines)
        return
    entries = getattr(getattr(whole, "reprtraceback", None), "reprentries", ())
    places = [entry.reprfileloc for entry in entries if getattr(entry, "reprfileloc", None) is not None]
    where = [f"at {places[0].path}:{places[0].lineno}"] if places else []
    text = [f"{line}\n" for line in [*lines, *where]]
    traceback = ReprTraceback([ReprEntryNative(text)], None, "native")
    report.longrepr = ExceptionChainRepr([(traceback, crash, None)])


def _kept(history: History, item: pytest.Item, session: Session | None) -> list[str]:
    """Save the history. The lines say where it is and how to repeat the test."""
    folder = item.config.rootpath / FOLDER
    seed = "" if session is None else f"-seed{session.seed}"
    name = re.sub(r"[^A-Za-z0-9_.]+", "_", item.nodeid).strip("_.")[-NAME_MAX:]
    path = folder / f"{name}{'' if seed in name else seed}.history.jsonl"
    try:
        folder.mkdir(exist_ok=True)
        history.write(path)
    except OSError as error:
        return [f"history  cannot be written to {path}: {error.strerror}"]
    lines = [f"history  {os.path.relpath(path)}"]
    if session is not None:
        lines.append(f"repeat   pytest '{item.nodeid}' --faultline-seed={item.config.stash[SETTINGS].seed}")
    return lines


def write(report: str, results: Sequence[str]) -> None:
    """Write the report of all scenarios to ``FILE``, or to the file of ``NAME=FILE``. Raises UsageError for a name that
    there is not, or a file that cannot be written."""
    from faultline.cli import exits
    from faultline.reports.table import REPORTS

    name, _, file = report.rpartition("=")
    path = Path(file)
    name = name or SUFFIXES.get(path.suffix, "json")
    if name not in REPORTS:
        raise pytest.UsageError(f"--faultline-report: no report is called {name!r}; there are: {', '.join(REPORTS)}")
    found: tuple[CaseResult, ...] = tuple(pickle.loads(base64.b64decode(result)) for result in results)
    campaign = Campaign(found, len(found), False, sum(result.wall_s for result in found))
    code = exits.of_campaign(campaign)
    try:
        path.write_text(REPORTS[name](campaign, code, exits.MEANING[code]), encoding="utf-8")
    except OSError as error:
        raise pytest.UsageError(f"--faultline-report: {path}: {error.strerror}") from error
