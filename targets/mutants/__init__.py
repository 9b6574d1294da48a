"""The resilience layer broken on purpose, one rule at a time: ``faultline mutants``.

Every mutant is a class of bug that clients of remote APIs have had in public. It changes one behaviour, by a subclass
or a replaced method, and comes with its witness: the scenario in ``witnesses/`` (or the drive in this folder) under
which an oracle sees it, and which the layer as it is passes.
"""

from __future__ import annotations

from typing import Final

from targets.mutants import limits, orders, retry, risk, store, stream, tokens

FAULT_FREE: Final = "witnesses/fault_free.yaml"
MUTANTS: Final = (
    *tokens.MUTANTS,
    *stream.CONNECTION,
    *retry.MUTANTS,
    *limits.MUTANTS,
    *orders.MUTANTS,
    *stream.RECONCILER,
    *risk.RISK,
    *risk.ALERTS,
    *store.MUTANTS,
)
