"""The folder of a campaign: its report, and the schedules and histories of its failures.

A folder is written beside its place and moved there when it is whole, so a killed process leaves nothing that looks
like one. A file ``.pending`` in it says that the database does not have it yet.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from faultline.reports import document as doc
from faultline.store.revision import revision

REPORT: Final = "report.json"
ABOUT: Final = "run.json"
PENDING: Final = ".pending"
LATEST: Final = "latest"
ABANDONED_S: Final = 3600.0
"""A folder that has been half written for so long has lost its writer."""

_ID: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


class About(msgspec.Struct, frozen=True):
    """What a report does not say of itself. ``began_at`` in seconds since 1970, ``label`` the command that ran it.

    ``revision`` and ``branch`` are git's, empty where there is none.
    """

    id: str
    began_at: float
    label: str
    revision: str
    branch: str
    host: str


def about(began_at: float, label: str) -> About:
    """Name a campaign. The id sorts by time (UTC); its random end keeps parallel ones apart."""
    stamp = datetime.fromtimestamp(began_at, UTC).strftime("%Y%m%d-%H%M%S")
    commit, branch = revision(Path.cwd())
    return About(f"{stamp}-{secrets.token_hex(3)}", began_at, label, commit, branch, socket.gethostname())


def is_id(text: str) -> bool:
    """Whether this is the whole id of a campaign, and so safe as the name of a folder."""
    return _ID.fullmatch(text) is not None


def runs(root: Path) -> Path:
    """Where the folders are."""
    return root / "runs"


def write(root: Path, whose: About, report: doc.Report) -> Path:
    """Write the folder of a campaign and copy into it what its failures saved. Raises OSError; then nothing is left.

    In the copied report the paths, and the commands that repeat a failure, are those of the copies: the originals are
    overwritten by the next run of the same name.
    """
    parent = runs(root)
    parent.mkdir(parents=True, exist_ok=True)
    place = parent / whose.id
    part = parent / f".{whose.id}.part"
    part.mkdir()
    try:
        copied = _with_copies(report, part, place)
        (part / REPORT).write_bytes(msgspec.json.encode(copied) + b"\n")
        (part / ABOUT).write_bytes(msgspec.json.encode(whose) + b"\n")
        (part / PENDING).touch()
        part.rename(place)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return place


def _with_copies(report: doc.Report, part: Path, place: Path) -> doc.Report:
    def kept(path: str) -> str:
        source = Path(path)
        if not path or not source.is_file():
            return path
        shutil.copyfile(source, part / source.name)
        return str(place / source.name)

    results = []
    for result in report.results:
        failures = []
        for failure in result.failures:
            schedule, history = kept(failure.schedule), kept(failure.history)
            repeat = failure.repeat.replace(failure.schedule, schedule) if failure.schedule else failure.repeat
            failures.append(msgspec.structs.replace(failure, schedule=schedule, history=history, repeat=repeat))
        results.append(msgspec.structs.replace(result, failures=tuple(failures)))
    return msgspec.structs.replace(report, results=tuple(results))


def read(place: Path) -> tuple[About, doc.Report]:
    """What :func:`write` wrote. Raises OSError, or msgspec.DecodeError for what is not from there."""
    whose = msgspec.json.decode((place / ABOUT).read_bytes(), type=About)
    report = msgspec.json.decode((place / REPORT).read_bytes(), type=doc.Report)
    return whose, report


def pending(root: Path) -> list[Path]:
    """The folders that no database has yet, oldest first."""
    return [path.parent for path in sorted(runs(root).glob(f"*/{PENDING}")) if is_id(path.parent.name)]


def taken_in(place: Path) -> None:
    """A database has this folder now."""
    (place / PENDING).unlink(missing_ok=True)


def point_latest(root: Path, id: str) -> None:
    """Let ``latest`` lead to this campaign. Where links are not to be had there is none."""
    beside = root / f".{LATEST}.{os.getpid()}"
    try:
        beside.symlink_to(Path("runs") / id, target_is_directory=True)
        beside.replace(root / LATEST)
    except OSError:
        beside.unlink(missing_ok=True)


def remove(root: Path, id: str) -> None:
    """Remove a campaign's folder."""
    if is_id(id):
        shutil.rmtree(runs(root) / id, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove what killed writers left half written."""
    for path in runs(root).glob(".*.part"):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # another process was faster


def artifacts(root: Path, id: str) -> Iterator[Path]:
    """The files of a campaign that people may look at, by name. A link is none of them: it could lead anywhere."""
    place = runs(root) / id
    if not is_id(id) or place.is_symlink() or not place.is_dir():
        return
    for path in sorted(place.iterdir()):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            yield path
