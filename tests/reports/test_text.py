"""Plain text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.reports.text import action_text, columns, safe, shortened, wrapped


@given(st.text())
def test_nothing_that_a_terminal_could_obey_is_left(text: str) -> None:
    assert safe(text).isprintable()


def test_text_that_is_harmless_stays_as_it_is() -> None:
    assert safe("naïve → 4 [bold]") == "naïve → 4 [bold]"
    assert safe("a\x1b[0m\n") == "a\\x1b[0m\\n"


def test_columns_are_aligned_and_end_without_blanks() -> None:
    assert columns([("a", "bbb", "c"), ("aaaa", "b", "")]) == ["a      bbb   c", "aaaa   b"]
    assert columns([]) == []


@given(st.text(alphabet="ab ", max_size=200), st.integers(10, 40))
def test_wrapping_loses_no_word(text: str, width: int) -> None:
    lines = wrapped(text, width, "  ")
    assert " ".join(lines).split() == text.split()
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("Cut(after_bytes=0, how='silence', code=1006)", "cut how=silence"),
        ("Delay(delay_s=0.25)", "delay delay_s=0.25"),
        (
            "Reply(status=429, headers=(('Retry-After', '2'),), body=b'')",
            "reply status=429 headers=(('Retry-After', '2'),)",
        ),
        ("Drop()", "drop"),
        ("not a call", "not a call"),
        ("f(", "f("),
    ],
)
def test_an_action_in_few_words(action: str, words: str) -> None:
    assert action_text(action) == words


def test_a_long_action_is_shortened() -> None:
    assert len(action_text(f"Replace(payload={b'x' * 500!r})")) == 60
    assert shortened("abcdef", 5) == "ab..."
