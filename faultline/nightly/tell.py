"""What a night is told as: lines for people, one JSON object for a webhook, and whether anybody has to be told at all.

Somebody is told only when what is failing has changed: a job that says the same every morning is soon read by nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from faultline.campaign.model import CaseResult, target_label
from faultline.errors import HarnessError
from faultline.nightly.memory import Memory, key_of
from faultline.nightly.night import Outcome
from faultline.nightly.proof import failure_rate_max, shown_rate
from faultline.oracles.base import plural
from faultline.reports.facts import headline

TIMEOUT_S: Final = 10.0
APPRISE: Final = "apprise:"


def lines(outcome: Outcome, memory: Memory) -> list[str]:
    """What is new first, then what each case has proven."""
    told = [f"ended by {outcome.ended_by} after {plural(outcome.rounds, 'round')} of fresh seeds"]
    for what, keys in (("NEW", outcome.new), ("fixed", outcome.fixed), ("still failing", outcome.still)):
        told += [f"{what}: {key}" for key in keys]
    again = [each for each in outcome.replayed if each.why]
    if outcome.replayed:
        told.append(f"{plural(len(outcome.replayed), 'saved schedule')} repeated, {len(again)} failed again")
    told += [f"  {each.why}: faultline replay {each.path}" for each in again]
    told += [_proof(result, memory) for result in outcome.campaign.results]
    return told


def _proof(result: CaseResult, memory: Memory) -> str:
    name = f"{result.case.scenario.name} [{target_label(result.case.target)}]"
    bad = {seed for seeds in result.unexpected.values() for seed in seeds} | {run.seed for run in result.broken}
    runs = len(result.runs)
    text = f"{name}: {plural(len(bad), 'failure')} in {plural(runs, 'run')}"
    if len(bad) < runs:
        text += f": below {shown_rate(failure_rate_max(runs, len(bad)))} at 95 %"
    clean = memory.of(result.case).clean_runs
    if not bad and clean > runs:
        text += f"; over nights {clean} runs without one: below {shown_rate(failure_rate_max(clean))}"
    return text


def failing_now(outcome: Outcome) -> list[str]:
    """Everything that is not as it should be, as a sorted list: what a change is told by."""
    found = [*outcome.new, *outcome.still]
    found += [f"{key_of(r.case)}: inconclusive" for r in outcome.campaign.having("inconclusive")]
    return sorted(found)


def message(outcome: Outcome, told_before: Sequence[str], code: int, meaning: str) -> Mapping[str, Any] | None:
    """What to tell, None when nothing has changed since somebody was last told."""
    now = failing_now(outcome)
    if now == sorted(told_before):
        return None
    results = {key_of(result.case): result for result in outcome.campaign.results}
    return {
        "title": f"faultline nightly: {plural(len(now), 'thing')} failing" if now else "faultline nightly: all is well",
        "exit_code": code,
        "meaning": meaning,
        "new": [name for name in now if name not in told_before],
        "fixed": [name for name in told_before if name not in now],
        "still": [name for name in now if name in told_before],
        "details": {key: headline(result) for key, result in results.items() if result.status != "pass"},
        "repeat": [
            f"faultline replay {failure.schedule_path}"
            for result in results.values()
            for failure in result.failures
            if failure.schedule_path and failure.stated is None
        ],
    }


def notify(url: str, told: Mapping[str, Any]) -> None:
    """Send ``told`` to a webhook, or with ``apprise:URL`` to anything that Apprise knows.

    Raises HarnessError, without the address, which may hold a secret.
    """
    if url.startswith(APPRISE):
        _by_apprise(url.removeprefix(APPRISE), told)
    else:
        asyncio.run(_post(url, told))


def _by_apprise(url: str, told: Mapping[str, Any]) -> None:
    try:
        import apprise
    except ImportError as error:
        raise HarnessError("Apprise is not installed: pip install 'faultline-chaos[notify]'") from error
    sender = apprise.Apprise()
    body = "\n".join(f"{what}: {name}" for what in ("new", "fixed", "still") for name in told[what]) or told["meaning"]
    if not sender.add(url) or not sender.notify(title=told["title"], body=body):
        raise HarnessError("nobody could be told: Apprise did not take or deliver the message")


async def _post(url: str, told: Mapping[str, Any]) -> None:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, json=told, allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise HarnessError(f"nobody could be told: {type(error).__name__}") from error
    if not 200 <= status < 300:
        raise HarnessError(f"nobody could be told: the webhook answered {status}")


def freshness(memory: Memory, now_s: float, limit_s: float) -> str:
    """Why the job is overdue, or the empty string. For a monitor that asks whether the night still happens."""
    if not memory.nights:
        return "no night has ever ended here"
    age_s = now_s - memory.finished_at_s
    if age_s <= limit_s:
        return ""
    return f"the last night ended {age_s / 3600:.1f} hours ago, more than the {limit_s / 3600:.1f} that are allowed"
