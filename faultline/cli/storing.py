"""The options by which commands find the store of results, and how they open it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from faultline.campaign.model import Campaign
    from faultline.store.address import Address
    from faultline.store.results import Results
    from faultline.store.retention import Keep

F = TypeVar("F", bound=Callable[..., Any])


def storing(command: F) -> F:
    """The option that says where results are kept."""
    option = click.option(
        "--store",
        metavar="URL",
        envvar="FAULTLINE_STORE",
        help="Where results are kept: a file of SQLite (default: .faultline/results.db), or postgresql://user@host/name.",
    )
    return option(command)


@dataclass(frozen=True, slots=True)
class Recording:
    """Whether and where a campaign is recorded, decided before it begins, so that nothing runs for a misspelt store."""

    store: Address | None
    keep: Keep | None
    began_at: float

    @classmethod
    def asked(cls, store: str | None, keep: str | None) -> Recording:
        """Read the options. Raises UsageError."""
        from faultline.store import retention
        from faultline.store.address import address

        return cls(address(store), retention.keep(keep or retention.DEFAULT), time.time())

    def record(self, campaign: Campaign, code: int, meaning: str, label: str = "run") -> None:
        """Record what came of it. Never raises; what fails is said on stderr."""
        if self.store is None:
            return
        from faultline.reports.json import document
        from faultline.store.recorder import record

        record(self.store, document(campaign, code, meaning), self.began_at, keep=self.keep, label=label)


def store_address(text: str | None) -> Address:
    """The store that is asked for. Raises UsageError when that is none."""
    from faultline.errors import UsageError
    from faultline.store.address import address

    found = address(text)
    if found is None:
        raise UsageError("results are not kept here (store = none); name a store with --store")
    return found


def opened(text: str | None) -> Results:
    """The store, open, with everything taken in that was recorded. Raises UsageError or StoreError."""
    from faultline.reports.text import safe
    from faultline.store.opening import open_results

    results = open_results(store_address(text))
    for wrong in results.take_in():
        click.echo(safe(wrong), err=True)
    return results


def nothing_yet(results: Results) -> str:
    """What to say of a store without any run."""
    return f"no runs are recorded in {results.address.shown} yet; faultline run records each of its own"
