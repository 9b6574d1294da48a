from __future__ import annotations

from pathlib import Path

import pytest

from faultline.errors import UsageError
from faultline.store.address import Address, address
from faultline.store.revision import revision


@pytest.mark.parametrize(
    ("text", "file"),
    [
        (None, ".faultline/results.db"),
        ("", ".faultline/results.db"),
        ("a/b.db", "a/b.db"),
        ("sqlite:///a/b.db", "a/b.db"),
        ("sqlite:////tmp/b.db", "/tmp/b.db"),
    ],
)
def test_a_file_of_sqlite_has_its_artifacts_beside_it(text: str | None, file: str) -> None:
    found = address(text)
    assert found is not None
    assert (found.file, found.root, found.url) == (Path(file), Path(file).parent, f"sqlite:///{file}")
    assert found.shown == file


@pytest.mark.parametrize("text", ["none", "None", "off", "false", " False "])
def test_no_store(text: str) -> None:
    assert address(text) is None


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_password_is_used_and_never_shown(scheme: str) -> None:
    found = address(f"{scheme}://ci:p%40ss@db.example:5433/night?sslmode=require&password=other")
    assert isinstance(found, Address)
    assert found.url == "postgresql+psycopg://ci:p%40ss@db.example:5433/night?sslmode=require&password=other"
    assert found.shown == "postgresql://ci@db.example:5433/night"
    assert found.root == Path(".faultline")
    assert found.clean("no: p@ss, p%40ss, password=other x") == "no: ***, ***, password=*** x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mysql://u:secret@h/d", "mysql:// is not known"),
        ("postgresql://u:secret@h", "names no database"),
        ("postgresql://u:secret@h:nan/d", "not an address"),
        ("sqlite://secret.db", "write a file of SQLite like"),
        ("sqlite:///", "write a file of SQLite like"),
        ("/", "is a folder"),
    ],
)
def test_what_is_no_store_is_refused_without_repeating_a_password(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        address(text)
    assert "secret@" not in str(told.value)


def test_the_commit_is_read_from_the_files_of_git(tmp_path: Path) -> None:
    one, two = "1" * 40, "2" * 40
    git, inside = tmp_path / ".git", tmp_path / "src" / "deep"
    (git / "refs" / "heads").mkdir(parents=True)
    inside.mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert revision(inside) == ("", "main")
    (git / "packed-refs").write_text(f"# pack-refs\n{two} refs/heads/main\n")
    assert revision(inside) == (two, "main")
    (git / "refs" / "heads" / "main").write_text(one + "\n")
    assert revision(inside) == (one, "main")
    (git / "HEAD").write_text(two + "\n")
    assert revision(inside) == (two, "")
    linked = git / "worktrees" / "w"
    linked.mkdir(parents=True)
    (linked / "HEAD").write_text("ref: refs/heads/main\n")
    (linked / "commondir").write_text("../..\n")
    (inside / ".git").write_text(f"gitdir: {linked}\n")
    assert revision(inside) == (one, "main")
    (git / "HEAD").write_text("ref: ../../etc/passwd\n")
    assert revision(tmp_path) == ("", "")
    (git / "HEAD").write_bytes(b"\xff\xfe")
    assert revision(tmp_path) == ("", "")
