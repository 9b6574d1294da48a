"""The nightly job: fresh seeds every night, and everything that ever failed.

============ ===========================================================================
``memory``   what is known from earlier nights, in one small file that is never half written
``lock``     one night at a time
``share``    who gets how much of the time: what failed or changed lately first
``night``    the night itself: known failures, then rounds of fresh seeds until the time is over
``proof``    what a number of runs without a failure proves
``tell``     the report of a night, and whom to tell when something changed
``install``  units for cron, systemd, Kubernetes and GitHub
============ ===========================================================================
"""

from faultline.nightly.memory import Known, Memory
from faultline.nightly.night import Night, Outcome, Repeated, Terms
from faultline.nightly.proof import failure_rate_max

__all__ = ["Known", "Memory", "Night", "Outcome", "Repeated", "Terms", "failure_rate_max"]
