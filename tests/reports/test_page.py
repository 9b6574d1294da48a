"""The page as a file: what it says, how large it is, and that hostile text stays text; its script: test_browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from faultline.reports import page
from faultline.reports.cone import cone
from faultline.reports.timeline import BARS_MAX, EVENTS_MAX, Bar, bins, data, slices
from tests.reports.histories import long, twice
from tests.reports.kit import report, shown

SIZE_MAX = 300_000

HOSTILE = (
    "\x1b[2J\u202e<script>alert(1)</script></script><!--<script>\"'><img src=x onerror=alert(2)> javascript:alert(3) "
    "{{ 7*7 }} {% raw %} &lt;b&gt; \x00\x08\x1b[31m\u2028\u202e]]> </svg></style><style>*{display:none}</style>"
)


class Parsed(HTMLParser):
    """The elements of a page as a browser sees them, roughly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.embedded = ""
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if not self._in:
            self.words.append(data)
        elif data.startswith('{"'):
            self.embedded += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def made(words: str = "", crash: bool = False) -> str:
    run = shown(twice(words=words, crash=crash), words=words)
    return page.text(report(run, words), [run])


def test_the_verdict_comes_first_then_why_then_the_three_views_then_how_to_repeat_it() -> None:
    text = Parsed(made()).text.partition("Skip to the verdict")[2]
    places = [
        text.index(words)
        for words in (
            "✗ failed",
            "Intent A (buy 4 NQ at 100) became 2 orders (o1 at 0.200 s, o2 at 2.000 s)",
            "The response to POST /orders of A was lost at 0.200 s, after the venue had done it",
            "Send it again only under the same idempotency key",
            "Wanted, done, believed",
            "1 of 13 faults is enough (5 replays). Without it this oracle does not fail.",
            "from here on no_duplicates fails",
            "faultline replay .faultline/a.json",
            "The failing run over time",
            "All events",
        )
    ]
    assert places == sorted(places)


def test_what_contradicts_is_marked() -> None:
    cells = re.findall(r'<td class="wrong">([^<]*)', made())
    assert cells == ["o1 new, 0 of 4 filled; o2 new, 0 of 4 filled"], "the belief agrees with the venue's figures"


def test_behind_each_picture_stands_its_table() -> None:
    text = made()
    for words in ("The sequence as", "The faults as", "Latency over time as", "The distribution as"):
        assert f"<summary>{words} a table</summary>" in text
    parsed = Parsed(text)
    pictures = [attributes for _, attributes in parsed.elements if attributes.get("class") in ("chart", "sequence")]
    assert len(pictures) == 4
    assert all(attributes.get("aria-label") for attributes in pictures)
    headings = [tag for tag, _ in parsed.elements if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1


def test_a_run_that_passes_is_shown_without_blame() -> None:
    run = shown(long(50), "reconciled")
    run = type(run)(**{**{name: getattr(run, name) for name in run.__slots__}, "verdict": None, "failure": None})
    text = Parsed(page.text(report(run), [run])).text
    assert "Everything held" in text
    assert "led to it" not in text
    assert Parsed(page.text(report(run), [])).text.endswith("uses no network.")


@pytest.mark.parametrize("crash", [False, True])
def test_hostile_text_stays_text(crash: bool) -> None:
    """The same elements and attributes as with harmless text: nothing that came off a wire became one."""
    harmless, hostile = Parsed(made("x", crash)), Parsed(made(HOSTILE, crash))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert [set(attributes) for _, attributes in hostile.elements] == [
        set(attributes) for _, attributes in harmless.elements
    ]
    links = [attributes.get("href") for tag, attributes in hostile.elements if tag == "a"]
    assert all(link and link.startswith("#") for link in links)
    assert "alert(1)" in hostile.text, "it is shown"
    text = made(HOSTILE, crash)
    assert not set("\x00\x08\x1b\u2028\u202e") & set(text)
    assert "49" not in re.findall(r"orders[^<]{0,20}", text)
    assert json.loads(hostile.embedded)["events"], "and the data of the script can be read"
    assert not set("<>&") & set(hostile.embedded)


def test_the_page_may_run_its_own_script_and_nothing_else() -> None:
    text = made(HOSTILE)
    policy = str(re.search(r'Content-Security-Policy" content="([^"]*)', text)[1]).replace("&#39;", "'")  # type: ignore[index]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert (len(scripts), len(styles)) == (1, 1)
    for rule, inside in (("script-src", scripts[0]), ("style-src", styles[0])):
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules.pop(rule) == f"'sha256-{digest}'"
    assert set(rules.values()) == {"'none'"}
    assert not re.search(r"""\s(src|href|action|style|on\w+)=["'](?!#)""", text)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://(?!www\.w3\.org)", scripts[0]
    )


def test_a_page_of_ten_thousand_operations_stays_small_and_says_what_it_leaves_out() -> None:
    history = long(10_000)
    run = shown(history, "no_duplicates")
    text = page.text(report(run), [run])
    assert len(text.encode()) < SIZE_MAX
    words = Parsed(text).text
    assert f"{BARS_MAX} of 10000 operations are drawn" in words
    assert re.search(rf"\d+ of {len(history)} events are here", words)
    drawn = data(history, cone(history, None))
    assert len(drawn["bars"]["t"]) == BARS_MAX
    assert len(drawn["events"]) <= EVENTS_MAX
    assert drawn["bars"]["o"].count(3) == 10, "each operation without an answer is drawn"
    assert sum(number for _, _, number in drawn["bins"]) == 9990, "the distribution is of all"


def test_a_page_full_of_hostile_text_stays_small_too() -> None:
    run = shown(twice(words=HOSTILE * 300), words=HOSTILE * 300)
    assert len(page.text(report(run, HOSTILE * 300), [run] * 9).encode()) < SIZE_MAX


def test_the_distribution_has_steps_of_one_two_five() -> None:
    took_ms = [0.9, 1.0, 1.9, 2.0, 4.9, 5.0, 99.0]
    found = bins([Bar("x", 1.0, 1.0 + ms / 1000, "ok", "") for ms in took_ms] + [Bar("y", 1.0, None, "none", "")])
    assert [(each.low_ms, each.high_ms, each.count) for each in found] == [
        (0.5, 1.0, 1), (1.0, 2.0, 2), (2.0, 5.0, 2), (5.0, 10.0, 1), (10.0, 20.0, 0), (20.0, 50.0, 0), (50.0, 100.0, 1),
    ]  # fmt: skip
    assert bins([]) == []


def test_latency_over_time_is_of_all_in_each_part() -> None:
    many = [Bar("x", 0.001, 0.001 + n / 1000, "ok", "") for n in range(1, 101)]
    (first, last) = slices([*many, Bar("y", 9.99, 10.0, "ok", "")], 10.0)
    assert (first.count, round(first.p50), round(first.p99), round(first.worst)) == (100, 50, 99, 100)
    assert (last.count, round(last.p50)) == (1, 10)
