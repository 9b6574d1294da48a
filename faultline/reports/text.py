"""Small helpers for plain text."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final


def safe(text: str) -> str:
    """``text`` without anything that a terminal could obey: what came off a wire may hold escape codes."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def columns(rows: Sequence[Sequence[str]], gap: int = 3) -> list[str]:
    """Rows with their cells aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return [
        (" " * gap).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def shortened(text: str, width: int) -> str:
    """``text``, or as much of it as fits."""
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def wrapped(text: str, width: int, indent: str) -> list[str]:
    """``text`` in lines of at most ``width``, each after ``indent``; a word that is longer stays whole."""
    lines: list[str] = []
    line = indent
    for word in text.split():
        if len(line) + len(word) + 1 > width and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += word + " "
    return [*lines, line.rstrip()]


_SAYS_NOTHING: Final = (None, 0, 0.0, "", b"", (), False)


def action_text(action: str) -> str:
    """An action as receipts have it, ``Cut(after_bytes=0, how='rst', code=1006)``, in few words: ``cut how=rst``."""
    try:
        call = ast.parse(action, mode="eval").body
    except SyntaxError:
        return safe(action)
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return safe(action)
    words = [call.func.id.lower()]
    for keyword in call.keywords:
        value = ast.literal_eval(keyword.value)
        if value in _SAYS_NOTHING or (keyword.arg == "code" and value == 1006):
            continue
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        words.append(f"{keyword.arg}={safe(shown)}")
    return shortened(" ".join(words), 60)
