"""Oracles: one property each, checked on a finished history in one linear pass.

=====================  ================================================================  ===========
name                   holds when                                                        checks
=====================  ================================================================  ===========
no_duplicates          one intent became one order, one fill was applied once            C1
no_lost_intent         every intent took effect, or its caller was told that it did not  C2
no_lost_ack            what was answered ok is there, and the client still knows it      C3
no_lost_events         the client knows of everything that happened to its orders        C4 C5 C7
fills_conserved        fills, quantities and positions add up on both sides              C8
counter_bounds         what is counted lies between what must and what can be            C9
legal_order_states     orders and beliefs only take steps that the contract allows       C6 C10 C14 C30
read_your_writes       what was answered ok is not denied by a later view                C15
reconciled             the belief is the truth at the end, and never ahead of it         C11 C12 C13
resolved_unknowns      what the client did not know it found out, and right              C2 C11
crash_consistent       a new process comes up and stands by what the dead one said       C27
recovers               every caller is answered soon after the last fault                C17 C28
no_stuck_tasks         nothing waits for ever, no exception disappears                   C17
no_leaks               what faults make a client hold on to, it lets go again            C29
rate_limit_respected   sends keep within the limits and wait when told to                C20 C21
retry_after_honoured   who is told to wait, waits                                        C21
retry_budget           no call is attempted more often than allowed                      C23
retry_policy           what must not be sent again is not                                C26
backoff                between attempts the client waits, as it declares                 C24
breaker_legal          an open breaker sends nothing, a half-open one only probes        C22
single_flight_refresh  a token is renewed by one request at a time, when it has to be    C19
thundering_herd        clients that lost the same venue do not all come back at once     C25
token_valid_at_send    no token is used that the client could know to be dead            C18
exposure_bounded       what could come to be owned never exceeds what may be             C31
alerts_delivered       each condition is told of in time, once, and for itself           C33
latency                percentiles of the time to an answer are within bounds            C28
not_vacuous            something struck, so that the others could have failed            V
=====================  ================================================================  ===========

``no_loss`` stands for the three loss oracles. The numbers are those of the catalogue of checkers; each class has
them in ``checks``. A new oracle is one file and one line in :data:`ORACLES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from faultline.oracles.alerts_delivered import AlertsDelivered
from faultline.oracles.backoff import Backoff
from faultline.oracles.base import Finding, Oracle, Verdict, VerdictName, verdict, why_no_oracle
from faultline.oracles.breaker_legal import BreakerLegal
from faultline.oracles.counter_bounds import CounterBounds
from faultline.oracles.crash_consistent import CrashConsistent
from faultline.oracles.exposure_bounded import ExposureBounded
from faultline.oracles.fills_conserved import FillsConserved
from faultline.oracles.latency import Latency
from faultline.oracles.legal_order_states import LegalOrderStates
from faultline.oracles.no_duplicates import NoDuplicates
from faultline.oracles.no_leaks import NoLeaks
from faultline.oracles.no_loss import NoLoss
from faultline.oracles.no_lost_ack import NoLostAck
from faultline.oracles.no_lost_events import NoLostEvents
from faultline.oracles.no_lost_intent import NoLostIntent
from faultline.oracles.no_stuck_tasks import NoStuckTasks
from faultline.oracles.rate_limit import RateLimitRespected
from faultline.oracles.read_your_writes import ReadYourWrites
from faultline.oracles.reconciled import Reconciled
from faultline.oracles.recovers import Recovers
from faultline.oracles.resolved_unknowns import ResolvedUnknowns
from faultline.oracles.retry_after import RetryAfterHonoured
from faultline.oracles.retry_budget import RetryBudget
from faultline.oracles.retry_policy import RetryPolicy
from faultline.oracles.single_flight import SingleFlightRefresh
from faultline.oracles.thundering_herd import ThunderingHerd
from faultline.oracles.token_valid_at_send import TokenValidAtSend
from faultline.oracles.vacuity import Evidence, NotVacuous, inconclusive
from faultline.plugins import Table

ORACLES: Final[Table[type[Oracle]]] = Table(
    "faultline.oracles",
    {
        oracle.name: oracle
        for oracle in (
            NoDuplicates,
            NoLostIntent,
            NoLostAck,
            NoLostEvents,
            FillsConserved,
            CounterBounds,
            LegalOrderStates,
            ReadYourWrites,
            Reconciled,
            ResolvedUnknowns,
            CrashConsistent,
            Recovers,
            NoStuckTasks,
            NoLeaks,
            RateLimitRespected,
            RetryAfterHonoured,
            RetryBudget,
            RetryPolicy,
            Backoff,
            BreakerLegal,
            SingleFlightRefresh,
            ThunderingHerd,
            TokenValidAtSend,
            ExposureBounded,
            AlertsDelivered,
            Latency,
            NotVacuous,
        )
    },
    why_no_oracle,
)
"""Every oracle by the name that a scenario calls it: ours, and those of installed packages. Parameters are the fields
of the class."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"no_loss": ("no_lost_intent", "no_lost_ack", "no_lost_events")}
)
"""Names that stand for several oracles."""

__all__ = [
    "GROUPS",
    "ORACLES",
    "AlertsDelivered",
    "Backoff",
    "BreakerLegal",
    "CounterBounds",
    "CrashConsistent",
    "Evidence",
    "ExposureBounded",
    "FillsConserved",
    "Finding",
    "Latency",
    "LegalOrderStates",
    "NoDuplicates",
    "NoLeaks",
    "NoLoss",
    "NoLostAck",
    "NoLostEvents",
    "NoLostIntent",
    "NoStuckTasks",
    "NotVacuous",
    "Oracle",
    "RateLimitRespected",
    "ReadYourWrites",
    "Reconciled",
    "Recovers",
    "ResolvedUnknowns",
    "RetryAfterHonoured",
    "RetryBudget",
    "RetryPolicy",
    "SingleFlightRefresh",
    "ThunderingHerd",
    "TokenValidAtSend",
    "Verdict",
    "VerdictName",
    "inconclusive",
    "verdict",
]
