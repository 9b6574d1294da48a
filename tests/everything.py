"""One run with everything in it: REST, WebSocket, faults of all planes, retries, crashes and restarts.

``python -m tests.everything SEED`` prints its digest, for processes that are to agree.
"""

from __future__ import annotations

import logging
import sys

from faultline.faults import (
    Crash,
    Disconnect,
    DropMessage,
    DuplicateMessage,
    DuplicateRequest,
    Latency,
    LateRequest,
    LostRequest,
    LostResponse,
    PartialFill,
    ReorderMessages,
    ResetPeer,
    Restart,
    StaleRead,
    StatusStorm,
    StoreError,
    TokenExpiry,
)
from faultline.plan import Plan
from faultline.runner import Run, run
from faultline.venues.settings import GenericSettings
from tests.playing import CAREFUL, planned

FAULTS = (
    LostResponse(on="POST /orders", probability=0.2, during_s=(0.0, 8.0)),
    LostRequest(on="* /orders*", probability=0.1, during_s=(0.0, 8.0)),
    LateRequest(on="POST /orders", probability=0.05, by_s=4.0, during_s=(0.0, 8.0)),
    DuplicateRequest(on="POST /orders", probability=0.1, during_s=(0.0, 8.0)),
    StatusStorm(on="* /orders*", status=503, probability=0.3, during_s=(3.0, 4.0)),
    Disconnect(on="stream user", every_s=2.0, every_jitter_s=0.5, during_s=(1.0, 8.0)),
    DropMessage(probability=0.1, during_s=(0.0, 8.0)),
    DuplicateMessage(probability=0.1, during_s=(0.0, 8.0)),
    ReorderMessages(probability=0.1, during_s=(0.0, 8.0)),
    Latency(on="rest", delay_s=0.02, jitter_s=0.01, during_s=(2.0, 5.0)),
    ResetPeer(on="rest", every_s=3.0, during_s=(0.0, 9.0)),
    PartialFill(probability=0.3),
    StaleRead(probability=0.2, lag_s=1.0, during_s=(0.0, 8.0)),
    TokenExpiry(at_s=4.0),
    StoreError(error="busy", probability=0.03, during_s=(0.0, 8.0)),
    Crash(on="store", phase="before", probability=0.01, down_s=0.5, during_s=(0.0, 8.0)),
    Crash(at_s=5.0, down_s=1.0),
    Restart(at_s=7.0, down_s=0.5),
)


def plan_of_everything(target: str = CAREFUL) -> Plan:
    """Twenty orders, some of them cancelled or replaced, while all of that strikes."""
    settings = GenericSettings(idempotency="unique_forever", token_ttl_s=20.0, cancel_delay_s=0.1, resting=0.2)
    return planned(target, *FAULTS, settings=settings, orders=20, rate_per_s=4.0, cancels=0.2, replaces=0.1)


def play(seed: int, target: str = CAREFUL) -> Run:
    """One run of it. The clients log what they meet; nobody wants to read it here."""
    logging.getLogger("targets").addHandler(logging.NullHandler())
    return run(plan_of_everything(target), seed)


if __name__ == "__main__":
    logging.disable()
    print(play(int(sys.argv[1])).history.digest)
