"""Clients broken on purpose, and whether faultline sees it, for the right reason.

A mutant is a client with one rule taken away. Its *witness* is a scenario (or a test driven by hand) under which it
fails. A kill counts only differentially: an oracle that was *expected* to fail fails for the mutant, and passes for
the client as it is, on the same schedule and seed. What is measured by that is faultline and its scenarios, not the
client: a mutant that survives is a class of bugs that nobody would have noticed.
"""

from __future__ import annotations

from faultline.mutants.matrix import Matrix
from faultline.mutants.model import Driven, Mutant, Outcome, Patch, Result, Trial, Tried, Wasabi
from faultline.mutants.table import Table, load_table
from faultline.mutants.work import try_mutant

__all__ = [
    "Driven",
    "Matrix",
    "Mutant",
    "Outcome",
    "Patch",
    "Result",
    "Table",
    "Trial",
    "Tried",
    "Wasabi",
    "load_table",
    "try_mutant",
]
