"""What code said of itself with ``always`` and ``sometimes``: each claim is an oracle of its own.

They need no name in a scenario. One that must hold sometimes cannot fail: a run in which it did not hold is unknown,
and the rule of vacuity asks for one run in which it did.
"""

from __future__ import annotations

from faultline.history import History
from faultline.history.event import Claimed
from faultline.oracles.base import Finding, Verdict, seconds, verdict


def claim_verdicts(history: History) -> tuple[Verdict, ...]:
    """A verdict on each claim of the history, in the order in which they were first made."""
    claims: dict[tuple[str, str], list[Claimed]] = {}
    for claimed in history.of(Claimed):
        claims.setdefault((claimed.rule, claimed.what), []).append(claimed)
    return tuple(_judged(rule, what, found) for (rule, what), found in claims.items())


def _judged(rule: str, what: str, claims: list[Claimed]) -> Verdict:
    name = f"{rule}: {what}"
    if rule == "always":
        broken = [claim for claim in claims if not claim.held]
        findings = [Finding(f"did not hold at {claim.where} ({seconds(claim.t)}): {what}", claim.t) for claim in broken]
        return verdict(name, len(claims), findings, summary="it always held")
    held = next((claim for claim in claims if claim.held), None)
    if held is None:
        return verdict(name, 0, (), nothing=f"it never held (asked at {claims[0].where})")
    return verdict(name, 1, (), summary=f"it held at {held.where} ({seconds(held.t)})")
