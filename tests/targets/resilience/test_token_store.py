"""A token file survives a restart, tells nothing to anybody else, and is never a reason to stop."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from faultline.session import Session
from targets.resilience.token_manager import Grant, TokenManager, TokenManagerConfig
from targets.resilience.token_store import FileTokenStore, TokenCipher, TokenState

ISSUED = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATE = TokenState("the access token", ISSUED + timedelta(hours=24), ISSUED, "the refresh token")
KEY = TokenCipher.new_key()


def at(path: Path, *, key: str = KEY, owner: str = "me at venue") -> FileTokenStore:
    return FileTokenStore(path, TokenCipher(key), owner)


def test_what_is_saved_is_read_again_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "state" / "token"
    assert at(path).load() is None
    at(path).save(STATE)
    elsewhere = STATE.expiry.astimezone(timezone(timedelta(hours=5)))
    at(path).save(TokenState(STATE.token, elsewhere, ISSUED, STATE.refresh_token))
    assert at(path).load() == STATE


def test_the_file_is_encrypted_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "token"
    left_behind = path.with_name("token.new")
    left_behind.touch(0o666)
    left_behind.chmod(0o666)
    at(path).save(STATE)
    content = path.read_bytes()
    assert b"token" not in content
    assert b"venue" not in content
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["token"]
    at(path).save(STATE)
    assert path.read_bytes() != content


def test_encryption_is_undone_with_the_same_key_only() -> None:
    cipher = TokenCipher(KEY)
    encrypted = cipher.encrypt("test_token_12345")
    assert encrypted != "test_token_12345"
    assert TokenCipher(KEY).decrypt(encrypted) == "test_token_12345"
    with pytest.raises(ValueError, match="not encrypted with this key"):
        TokenCipher(TokenCipher.new_key()).decrypt(encrypted)
    with pytest.raises(ValueError, match="not encrypted with this key"):
        cipher.decrypt("test_token_12345")


def kept(state: TokenState) -> bytes:
    """A file as this store writes it."""
    with tempfile.TemporaryDirectory() as folder:
        at(Path(folder) / "token").save(state)
        return (Path(folder) / "token").read_bytes()


DAMAGED = {
    "empty": b"",
    "cut": kept(STATE)[:-20],
    "changed": kept(STATE).replace(b"A", b"B"),
    "not_text": os.urandom(100),
    "plain": b'{"token": "somebody put it here by hand"}',
    "another_format": TokenCipher(KEY).encrypt('{"version": 9}').encode(),
    "not_json": TokenCipher(KEY).encrypt("token").encode(),
    "without_zones": kept(TokenState("token", datetime(2026, 3, 2), datetime(2026, 3, 1))),
}


@pytest.mark.parametrize("name", DAMAGED)
async def test_a_damaged_file_leads_to_a_login_and_is_replaced(
    faultline: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = tmp_path / "token"
    path.write_bytes(DAMAGED[name])
    assert await token_after_a_restart(path) == "new"
    assert "somebody put it here" not in caplog.text
    assert await token_after_a_restart(path) == "new"


async def token_after_a_restart(path: Path, **settings: str) -> str:
    class Venue:
        async def authenticate(self) -> Grant:
            return Grant("new", 86_400)

        async def refresh(self, token: str) -> Grant:
            raise AssertionError("nothing to refresh")

    given = {"encryption_key": KEY, "owner": "me at venue", **settings}
    manager = TokenManager(TokenManagerConfig(storage_type="file", storage_path=str(path), **given), Venue())
    await manager.initialize()
    return await manager.get_valid_token()


async def test_a_file_of_another_account_or_under_another_key_is_not_used(faultline: Session, tmp_path: Path) -> None:
    path = tmp_path / "token"
    now = datetime.now(UTC)
    live = TokenState("mine", now + timedelta(hours=24), now)
    at(path).save(live)
    assert await token_after_a_restart(path) == "mine"
    assert at(path, owner="you at venue").load() is None
    assert at(path, key=TokenCipher.new_key()).load() is None
    assert await token_after_a_restart(path, owner="you at venue") == "new"


def test_a_file_that_cannot_be_read_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    assert at(tmp_path / "token").load() is None


def test_a_crash_while_saving_leaves_the_old_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    at(path).save(STATE)

    def crashes(*paths: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(os, "replace", crashes)
    with pytest.raises(OSError, match="power cut"):
        at(path).save(TokenState("newer", STATE.expiry, ISSUED))
    assert at(path).load() == STATE


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "token.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"token\.new"):
        at(tmp_path / "token").save(STATE)
    assert not (tmp_path / "elsewhere").exists()


async def test_without_a_key_one_is_made_and_kept_beside_the_token(faultline: Session, tmp_path: Path) -> None:
    path, key = tmp_path / "token", tmp_path / "token.key"
    assert await token_after_a_restart(path, encryption_key="") == "new"
    made = key.read_text()
    assert key.stat().st_mode & 0o777 == 0o600
    assert at(path, key=made).load() is not None
    assert await token_after_a_restart(path, encryption_key="") == "new"
    assert key.read_text() == made
    key.write_text("damaged")
    assert await token_after_a_restart(path, encryption_key="") == "new"
    assert key.read_text() != "damaged"


def test_a_key_that_is_none_is_refused_and_not_quoted() -> None:
    for key in ("secret word", "c2hvcnQ=", "é" * 44):
        with pytest.raises(ValueError, match="encryption_key: not 32 bytes") as raised:
            TokenCipher(key)
        assert key not in str(raised.value)
        assert raised.value.__cause__ is None
