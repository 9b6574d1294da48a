"""Which commit the working tree is at, read from git's own files: starting git would take longer than recording."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_HASH: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF: Final = re.compile(r"refs/[\w./@+-]+")


def revision(folder: Path) -> tuple[str, str]:
    """The commit and the branch of the work tree that holds ``folder``; empty where there is none."""
    try:
        for above in (folder.resolve(), *folder.resolve().parents):
            git = above / ".git"
            if git.exists():
                return _head(_place(git))
    except (OSError, UnicodeDecodeError):
        pass  # a repository that cannot be read is no reason to lose a result
    return "", ""


def _place(git: Path) -> Path:
    """Git's folder; in a linked work tree ``.git`` is a file that names it."""
    if git.is_dir():
        return git
    named = git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
    return (git.parent / named).resolve()


def _head(git: Path) -> tuple[str, str]:
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    if _HASH.fullmatch(head):
        return head, ""
    ref = head.removeprefix("ref:").strip()
    if not _REF.fullmatch(ref) or ".." in ref:
        return "", ""
    branch = ref.removeprefix("refs/heads/")
    common = git / "commondir"
    shared = (git / common.read_text(encoding="utf-8").strip()).resolve() if common.exists() else git
    for place in (git, shared):
        if (place / ref).is_file():
            found = (place / ref).read_text(encoding="utf-8").strip()
            return (found if _HASH.fullmatch(found) else ""), branch
    packed = shared / "packed-refs"
    if packed.is_file():
        for line in packed.read_text(encoding="utf-8").splitlines():
            value, _, name = line.partition(" ")
            if name == ref and _HASH.fullmatch(value):
                return value, branch
    return "", branch
