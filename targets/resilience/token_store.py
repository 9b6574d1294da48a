"""Where a token survives a restart, so that a client which restarts often does not log in each time.

**A file is encrypted** (Fernet: AES-128-CBC with HMAC-SHA256, from ``cryptography``) and readable by its owner only;
it is replaced in one step, so that a crash leaves the old one or the new one. The key comes from the configuration,
where it should have been put by whatever keeps the machine's secrets. Without one, a key is made and kept in a file
beside the token. That still protects a token file that gets into a backup, a log bundle or a bug report; it does not
protect against somebody who can read both files.

**A file is never a reason to stop.** One that is damaged, was encrypted with another key, or belongs to another
account counts as absent, and the client logs in. Nor is a disk that is full: the token in memory is good all the same.

Moments are stored by the wall clock, the only clock that another process shares. Nothing here is ever logged or
quoted: errors name the file and what kind of thing is wrong with it.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec
from cryptography.fernet import Fernet, InvalidToken

log = logging.getLogger(__name__)

OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True)
class TokenState:
    """A token, and from when (``refresh_time``) to when (``expiry``) it is valid; both with a time zone.

    ``refresh_token`` is what renews it, empty where the token itself does.
    """

    token: str = field(repr=False)
    expiry: datetime
    refresh_time: datetime
    refresh_token: str = field(default="", repr=False)


class TokenStore(Protocol):
    """Keeps one token."""

    def load(self) -> TokenState | None:
        """What was saved last; None if there is nothing that can be used. Raises nothing."""
        ...

    def save(self, state: TokenState) -> None:
        """Keep ``state`` in place of what was there. Raises OSError."""
        ...


class MemoryTokenStore:
    """Keeps a token for as long as the process lives."""

    def __init__(self) -> None:
        self._state: TokenState | None = None

    def load(self) -> TokenState | None:
        """What was saved last."""
        return self._state

    def save(self, state: TokenState) -> None:
        """Keep ``state``."""
        self._state = state


class TokenCipher:
    """Encrypts texts under one key: 32 bytes in URL-safe Base64. Raises ValueError for anything else as a key."""

    def __init__(self, key: str) -> None:
        try:
            self._fernet = Fernet(key)
        except ValueError:
            # The error of the library is not passed on: it is about a secret.
            raise ValueError("encryption_key: not 32 bytes in URL-safe Base64; make one with new_key()") from None

    @staticmethod
    def new_key() -> str:
        """A key at random."""
        return Fernet.generate_key().decode()

    @classmethod
    def with_key_file(cls, path: Path) -> TokenCipher:
        """With the key in ``path``, which is made if need be. Raises OSError; a damaged key is replaced."""
        try:
            return cls(path.read_text("ascii").strip())
        except FileNotFoundError:
            log.info("made a new key in %s", path)
        except ValueError:
            log.warning("%s holds no key; made a new one", path)
        key = cls.new_key()
        write_for_owner_only(path, key.encode())
        return cls(key)

    def encrypt(self, text: str) -> str:
        """``text``, unreadable and signed."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """What :meth:`encrypt` was given. Raises ValueError for anything that it did not make under this key."""
        try:
            return self._fernet.decrypt(encrypted).decode()
        except InvalidToken:
            raise ValueError("not encrypted with this key, or damaged") from None


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a token file, once decrypted."""

    owner: str
    token: str
    refresh_token: str
    expiry: datetime
    refresh_time: datetime


class FileTokenStore:
    """Keeps a token in ``path``, encrypted. ``owner`` names the account at the venue: a token of another is not used.

    One process at a time should use a file. Two do no harm, but each overwrites what the other saved.
    """

    def __init__(self, path: Path, cipher: TokenCipher, owner: str = "") -> None:
        self._path = path
        self._cipher = cipher
        self._owner = owner

    def load(self) -> TokenState | None:
        """What was saved last; None if the file is absent, damaged, foreign or unreadable."""
        try:
            kept = msgspec.json.decode(self._cipher.decrypt(self._path.read_text("ascii")), type=_Kept)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            # Only the kind of error: the text of a decoding error may quote what it decoded.
            log.warning("the token in %s cannot be used (%s); logging in instead", self._path, type(error).__name__)
            return None
        if kept.owner != self._owner:
            log.warning("the token in %s is somebody else's; logging in instead", self._path)
            return None
        if kept.expiry.tzinfo is None or kept.refresh_time.tzinfo is None:
            return None
        return TokenState(kept.token, kept.expiry, kept.refresh_time, kept.refresh_token)

    def save(self, state: TokenState) -> None:
        """Replace the file. Raises OSError, and the old file is still there."""
        kept = _Kept(self._owner, state.token, state.refresh_token, state.expiry, state.refresh_time)
        write_for_owner_only(self._path, self._cipher.encrypt(msgspec.json.encode(kept).decode()).encode())


def write_for_owner_only(path: Path, content: bytes) -> None:
    """Put ``content`` into ``path`` in one step and durably, readable by its owner only. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        # One that a crash has left behind may have any mode.
        os.fchmod(file.fileno(), OWNER_ONLY)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
