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
from faultline.cli import exits
from faultline.cli.outputs import Outputs, read_reports
from faultline.errors import FaultlineError, HarnessError, UsageError
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
        _explain(report, item, [*str(error).splitlines(), *kept])
    elif isinstance(error, FaultlineError) and session is not None:
        _explain(report, item, [f"{type(error).__name__}: {error}", *kept])
    elif session is not None and history is not None:
        report.sections.append(("faultline", "\n".join([f"seed {session.seed}", *struck(history), *kept])))


def _explain(report: pytest.TestReport, item: pytest.Item, lines: Sequence[str]) -> None:
    """The lines in place of the traceback, with the place in the test at their end."""
    whole = report.longrepr
    crash = getattr(whole, "reprcrash", None)
    if crash is None:
        report.longrepr = "\n".join(lines)
        return
    entries = getattr(getattr(whole, "reprtraceback", None), "reprentries", ())
    places = [entry.reprfileloc for entry in entries if getattr(entry, "reprfileloc", None) is not None]
    in_test = [place for place in places if Path(place.path).name == item.path.name]
    where = [f"at {in_test[-1].path}:{in_test[-1].lineno}"] if in_test else []
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


def asked(report: str) -> Outputs:
    """What ``FILE`` or ``NAME=FILE`` asks for. Raises pytest's UsageError for a report that there is not, and for a
    file that cannot be written."""
    named = report if "=" in report else f"{SUFFIXES.get(Path(report).suffix, 'json')}={report}"
    try:
        return Outputs(named=read_reports([named]))
    except UsageError as error:
        raise pytest.UsageError(f"--faultline-report {report}: {error}") from error


def write(report: str, results: Sequence[str]) -> str:
    """Write the report of all scenarios. The reason why that did not succeed, else the empty string."""
    found: tuple[CaseResult, ...] = tuple(pickle.loads(base64.b64decode(result)) for result in results)
    campaign = Campaign(found, len(found), False, sum(result.wall_s for result in found))
    code = exits.of_campaign(campaign)
    try:
        # What GitHub is told of failing tests is for the host's own plugins.
        asked(report).write(campaign, code, exits.MEANING[code], env={})
    except (pytest.UsageError, HarnessError) as error:
        return str(error)
    return ""
