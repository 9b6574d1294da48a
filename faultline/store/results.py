"""Writing campaigns into the store and reading them out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, Table, delete, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from faultline.errors import UsageError
from faultline.store import folder
from faultline.store.address import Address, StoreError
from faultline.store.database import Database
from faultline.store.rows import Rows, rows_of
from faultline.store.schema import CAMPAIGNS, CASES, FAILURES, RUNS
from faultline.store.values import Entry, Figures, Sample, Seen, StoredCase, StoredFailure, Whole

T = TypeVar("T")

AT_ONCE: Final = 500
"""Ids in one statement: databases bound the number of its parameters."""
_BACK: Final = re.compile(r"latest(?:~(\d+))?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which campaigns: those with a scenario whose name or path holds ``scenario``, begun ``since`` and not
    after ``until`` (seconds since 1970; 0: no bound), with one of the exit ``codes``; the last ``limit`` of them."""

    scenario: str = ""
    since: float = 0.0
    until: float = 0.0
    codes: tuple[int, ...] = ()
    limit: int = 0


class Results:
    """The store, open. Raises StoreError when it cannot be used."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._database = Database(address)
        self._database.up_to_date()

    # Writing

    def take_in(self) -> list[str]:
        """Take in the folders that are not in the database yet. Returns what is wrong with those that cannot be."""
        wrong = []
        for place in folder.pending(self.address.root):
            try:
                rows = rows_of(*folder.read(place))
            except (OSError, msgspec.DecodeError, ValueError) as error:
                wrong.append(f"{place} cannot be read, and was not recorded: {error}")
                continue
            self._insert(rows)
            folder.taken_in(place)
            folder.point_latest(self.address.root, place.name)
        folder.sweep(self.address.root)
        return wrong

    def _insert(self, rows: Rows) -> None:
        """All rows of one campaign, or none. One that is there already was taken in by another process."""
        with self._database.writing() as connection:
            known = select(CAMPAIGNS.c.id).where(CAMPAIGNS.c.id == rows.campaign["id"])
            if connection.execute(known).first() is not None:
                return
            try:
                connection.execute(insert(CAMPAIGNS), dict(rows.campaign))
            except IntegrityError:
                connection.rollback()
                return
            for table, values in ((CASES, rows.cases), (FAILURES, rows.failures), (RUNS, rows.runs)):
                if values:
                    connection.execute(insert(table), [dict(row) for row in values])

    def remove(self, ids: Sequence[str]) -> None:
        """Forget campaigns: first their rows, then their folders."""
        with self._database.writing() as connection:
            for part in _parts(ids):
                connection.execute(delete(CAMPAIGNS).where(CAMPAIGNS.c.id.in_(part)))
        for id in ids:
            folder.remove(self.address.root, id)

    # Reading

    def entries(self, wanted: Wanted = Wanted()) -> list[Entry]:
        """Campaigns, the latest first."""
        query = _latest_first(select(CAMPAIGNS)).where(CAMPAIGNS.c.began_at >= wanted.since)
        if wanted.until:
            query = query.where(CAMPAIGNS.c.began_at <= wanted.until)
        if wanted.scenario:
            named = or_(*(_holds(CASES.c[name], wanted.scenario) for name in ("scenario", "path")))
            query = query.where(CAMPAIGNS.c.id.in_(select(CASES.c.campaign).where(named)))
        if wanted.codes:
            query = query.where(CAMPAIGNS.c.exit_code.in_(wanted.codes))
        return self._read(query.limit(wanted.limit) if wanted.limit else query, Entry)

    def find(self, ref: str) -> Entry:
        """The campaign that ``ref`` names: an id or its beginning, ``latest``, ``latest~2``, a branch or a commit.

        Of several of one branch or commit, the latest. Raises UsageError when there is none, or two ids begin so.
        """
        back = _BACK.fullmatch(ref)
        if back is not None:
            found = self._read(_latest_first(select(CAMPAIGNS)).offset(int(back[1] or 0)).limit(1), Entry)
        else:
            found = self._named(ref)
        if not found:
            raise UsageError(f"{self.address.shown} has no run {ref!r}; faultline history lists them")
        return found[0]

    def _named(self, ref: str) -> list[Entry]:
        if not ref:
            return []
        begins = CAMPAIGNS.c.id.startswith(ref, autoescape=True)
        found = self._read(_latest_first(select(CAMPAIGNS).where(begins)).limit(3), Entry)
        if len(found) > 1:
            several = ", ".join(entry.id for entry in found)
            raise UsageError(f"several runs begin with {ref!r}: {several}")
        if found:
            return found
        of_git = [CAMPAIGNS.c.branch == ref]
        if re.fullmatch(r"[0-9a-f]{4,64}", ref):
            of_git.append(CAMPAIGNS.c.revision.startswith(ref, autoescape=True))
        return self._read(_latest_first(select(CAMPAIGNS).where(or_(*of_git))).limit(1), Entry)

    def before(self, entry: Entry) -> Entry | None:
        """The last campaign before this one that ran any of its cases, or None."""
        own = CASES.alias()  # without a name of its own the inner select would be about the outer one's rows
        mine = select(own.c.case_key).where(own.c.campaign == entry.id)
        sharing = select(CASES.c.campaign).where(CASES.c.case_key.in_(mine))
        earlier = (CAMPAIGNS.c.began_at < entry.began_at) & CAMPAIGNS.c.id.in_(sharing)
        found = self._read(_latest_first(select(CAMPAIGNS).where(earlier)).limit(1), Entry)
        return found[0] if found else None

    def whole(self, entry: Entry) -> Whole:
        """A campaign with its cases, failures and runs."""
        cases = self._read(_of(CASES, entry.id), StoredCase)
        failures = self._read(_of(FAILURES, entry.id), StoredFailure)
        return Whole(entry, tuple(cases), tuple(failures), tuple(self._read(_of(RUNS, entry.id), Sample)))

    def seen(self, keys: Iterable[str] | None, entries: Sequence[Entry]) -> dict[str, list[Seen]]:
        """What came of cases (None: of all) in these campaigns, by case, in the order of ``entries``."""
        wanted = None if keys is None else set(keys)
        by_id = {entry.id: number for number, entry in enumerate(entries)}
        cases: list[StoredCase] = []
        failures: list[StoredFailure] = []
        for part in _parts(list(by_id)):
            cases += self._read(select(CASES).where(CASES.c.campaign.in_(part)), StoredCase)
            failed = select(FAILURES).where(FAILURES.c.campaign.in_(part), FAILURES.c.stated.is_(False))
            failures += self._read(failed, StoredFailure)
        by_case: dict[tuple[str, int], list[StoredFailure]] = {}
        for failure in failures:
            by_case.setdefault((failure.campaign, failure.number), []).append(failure)
        found: dict[str, list[Seen]] = {}
        for case in sorted(cases, key=lambda case: by_id[case.campaign]):
            if wanted is None or case.key in wanted:
                mine = by_case.get((case.campaign, case.number), [])
                found.setdefault(case.key, []).append(Seen(entries[by_id[case.campaign]], case, tuple(mine)))
        return found

    def figures(self, entries: Sequence[Entry]) -> dict[tuple[str, int], Figures]:
        """Means over the runs of each case, by campaign and the number of the case in it."""
        columns = [func.avg(RUNS.c[name]).label(name) for name in Figures.__struct_fields__]
        found: dict[tuple[str, int], Figures] = {}
        for part in _parts([entry.id for entry in entries]):
            query = select(RUNS.c.campaign, RUNS.c.number, *columns).where(RUNS.c.campaign.in_(part))
            with self._database.reading() as connection:
                for campaign, number, *means in connection.execute(query.group_by(RUNS.c.campaign, RUNS.c.number)):
                    found[campaign, number] = Figures(*means)
        return found

    def _read(self, query: Select[Any], kind: type[T]) -> list[T]:
        with self._database.reading() as connection:
            return [_value(row, kind) for row in connection.execute(query).mappings()]


def _latest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(CAMPAIGNS.c.began_at.desc(), CAMPAIGNS.c.id.desc())


def _of(table: Table, campaign: str) -> Select[Any]:
    order = [column for column in table.primary_key.columns if column.name != "campaign"]
    return select(table).where(table.c.campaign == campaign).order_by(*order)


def _holds(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    return column.icontains(text, autoescape=True)


def _parts(ids: Sequence[str]) -> Iterable[list[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield list(ids[start : start + AT_ONCE])


def _value(found: Mapping[Any, Any], kind: type[T]) -> T:
    """A row as a value. Lists are JSON in the tables; a row that somebody changed by hand may be no value."""
    row = {str(name): value for name, value in found.items()}  # names of columns are a kind of str that is not one
    try:
        for name in ("seeds", "oracles"):
            if name in row:
                row[name] = msgspec.json.decode(row[name])
        if "case_key" in row:
            row["key"] = row.pop("case_key")
        return msgspec.convert(row, kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise StoreError(f"a row of {kind.__name__} in the store is damaged: {error}") from error
