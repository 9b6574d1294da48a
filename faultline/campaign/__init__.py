"""Many runs: scenarios against targets over seeds, what came of them, and one failure of each explained."""

from __future__ import annotations

from faultline.campaign.conductor import Watcher, conduct
from faultline.campaign.model import Campaign, Case, CaseResult, Failure, RunRecord

__all__ = ["Campaign", "Case", "CaseResult", "Failure", "RunRecord", "Watcher", "conduct"]
