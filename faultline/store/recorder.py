"""Recording at the end of a campaign. Whatever goes wrong here is said in one line and changes nothing else.

The folder is written first; without SQLAlchemy it waits, silently, for the first command that can take it in.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from faultline.reports import document as doc
from faultline.reports.text import safe
from faultline.store import folder
from faultline.store.address import Address, StoreError
from faultline.store.opening import open_results
from faultline.store.retention import Keep, prune


def record(
    address: Address, report: doc.Report, began_at: float, *, keep: Keep | None = None, label: str = "run"
) -> str | None:
    """Record what came of a campaign that began at ``began_at`` (seconds since 1970), then prune what is too old.

    Returns its id, None when nothing of it was kept. Never raises; says on stderr what failed. What is in its folder
    but not in the database yet is taken in later.
    """
    try:
        whose = folder.about(began_at, label)
        try:
            folder.write(address.root, whose, report)
        except OSError as error:
            _say(f"this run was not recorded in {folder.runs(address.root)}: {error.strerror or error}")
            return None
        if find_spec("sqlalchemy") is not None:
            _take_in(address, keep)
        return whose.id
    except KeyboardInterrupt:
        _say("recording was interrupted")
    except Exception as error:  # a bug of ours; the verdicts are not to suffer for it
        _say(f"this run was not recorded: {type(error).__name__}: {error}")
    return None


def _take_in(address: Address, keep: Keep | None) -> None:
    try:
        results = open_results(address)
        for wrong in results.take_in():
            _say(wrong)
    except StoreError as error:
        _say(f"this run is not in the store yet, the next command that opens it takes it in: {error}")
        return
    try:
        if keep is not None:
            prune(results, keep)
    except StoreError as error:
        _say(f"old runs were not removed: {error}")


def _say(what: str) -> None:
    print(f"faultline: {safe(what)}", file=sys.stderr)
