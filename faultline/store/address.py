"""Where results are kept: a file of SQLite or a PostgreSQL database, and the folder with the artifacts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from faultline.errors import HarnessError, UsageError

FOLDER: Final = Path(".faultline")
DEFAULT: Final = str(FOLDER / "results.db")
OFF: Final = ("none", "off", "false")
"""What to write for no store at all."""

_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")
_KEY: Final = re.compile(r"\b(password|passfile|sslkey|sslpassword)=[^\s&]*", re.IGNORECASE)


class StoreError(HarnessError):
    """The store of results cannot be used. Says which one, and why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A store. ``url`` is for SQLAlchemy and may hold a password; :attr:`shown` never does.

    ``file`` is the database file of SQLite, None for PostgreSQL. Artifacts are in ``root / "runs"``.
    """

    url: str
    root: Path
    file: Path | None

    @property
    def shown(self) -> str:
        """The address as people may see it."""
        if self.file is not None:
            return str(self.file)
        parts = urlsplit(self.url)
        user = f"{parts.username}@" if parts.username else ""
        port = f":{parts.port}" if parts.port else ""
        return f"postgresql://{user}{parts.hostname or ''}{port}{parts.path}"

    def clean(self, text: str) -> str:
        """``text`` without the password of this store: drivers put what they were given into their errors."""
        text = _KEY.sub(r"\1=***", text)
        password = None if self.file is not None else urlsplit(self.url).password
        for secret in {password or "", unquote(password or "")} - {""}:
            text = text.replace(secret, "***")
        return text


def address(text: str | None = None) -> Address | None:
    """Read what ``--store`` takes: a path, ``sqlite:///path``, ``postgresql://user@host/name``, or ``none``.

    The artifacts of a SQLite store are beside its file, those of PostgreSQL under ``.faultline/`` here. None for no
    store. Raises UsageError; the text is not repeated in it, as it may hold a password.
    """
    text = (text or "").strip() or DEFAULT
    if text.lower() in OFF:
        return None
    scheme, found, rest = text.partition("://")
    if not found:
        return _file(Path(text))
    if scheme == "sqlite":
        path = rest.removeprefix("/")
        if not path or rest == path:
            raise UsageError("--store: write a file of SQLite like sqlite:///results.db, or just results.db")
        return _file(Path(path))
    if scheme not in _POSTGRES:
        raise UsageError(f"--store: {scheme}:// is not known; a file of SQLite, or postgresql://user@host/name")
    try:
        parts = urlsplit(f"postgresql://{rest}")
        _ = parts.port
    except ValueError as error:
        raise UsageError("--store: that is not an address of a PostgreSQL database") from error
    if not parts.path.strip("/"):
        raise UsageError("--store: the address names no database: postgresql://user@host/name")
    return Address(f"postgresql+psycopg://{rest}", FOLDER, None)


def _file(path: Path) -> Address:
    if path.is_dir():
        raise UsageError(f"--store: {path} is a folder; name a file in it, {path / 'results.db'} for example")
    return Address(f"sqlite:///{path}", path.parent, path)
