"""A sequence diagram as SVG: lanes from left to right, time from top to bottom, each fault as a bolt on its arrow.

Made here and not by a script, so that it is there without one, on paper too. Colours are those of the page's style
sheet; every text is set as text of an element, so nothing in it can be markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as Tree

from faultline.reports.sequence import Lane, Step
from faultline.reports.text import safe, shortened

X: Final[dict[Lane, int]] = {"caller": 150, "client": 330, "wire": 560, "venue": 790, "store": 960}
WIDTH: Final = 930
WIDTH_WITH_STORE: Final = 1030
TIME_X: Final = 66
TOP: Final = 58
NOTE_CHARACTERS_MAX: Final = 38
TEXT_CHARACTERS_MAX: Final = 64
_PX_PER_CHARACTER: Final = 6.7
_BOLT: Final = "M2,-12 L-8,3 L-1,3 L-4,13 L8,-4 L1,-4 L5,-12 Z"


@dataclass(slots=True)
class _Pen:
    svg: Tree.Element
    y: float = TOP

    def add(self, tag: str, text: str = "", **attributes: object) -> Tree.Element:
        names = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()}
        element = Tree.SubElement(self.svg, tag, names)
        if text:
            element.text = safe(text)
        return element

    def text(self, x: float, y: float, words: str, kind: str, anchor: str = "middle") -> None:
        self.add("text", words, x=round(x, 1), y=round(y, 1), class_=kind, text_anchor=anchor)


def svg(steps: Sequence[Step], label: str) -> str:
    """The whole picture. ``label`` says what it shows to those who cannot see it."""
    stored = any("store" in (step.source, step.target) for step in steps)
    width = WIDTH_WITH_STORE if stored else WIDTH
    lanes = [lane for lane in X if lane != "store" or stored]
    root = Tree.Element("svg", {"role": "img", "aria-label": safe(label), "class": "sequence"})
    below = _Pen(Tree.SubElement(root, "g", {"aria-hidden": "true"}))
    pen = _Pen(Tree.SubElement(root, "g", {"aria-hidden": "true"}))
    asked: dict[str, float] = {}
    for step in steps:
        _step(pen, step, width)
        _waiting(below, asked, step, pen.y)
    bottom = pen.y + 26
    for y in asked.values():
        _bar(below, y, bottom - 8, "unsure open")
    _lanes(below, lanes, bottom)
    root.set("viewBox", f"0 0 {width} {bottom:.0f}")
    root.set("width", str(width))
    return Tree.tostring(root, encoding="unicode")


def _lanes(pen: _Pen, lanes: Sequence[Lane], bottom: float) -> None:
    for lane in lanes:
        pen.add("line", x1=X[lane], y1=40, x2=X[lane], y2=round(bottom, 1), class_=f"lane {lane}")
        pen.add("rect", x=X[lane] - 44, y=10, width=88, height=28, rx=7, class_=f"head {lane}")
        pen.text(X[lane], 29, lane, "lane-name")


def _waiting(pen: _Pen, asked: dict[str, float], step: Step, y: float) -> None:
    """The bar on the caller's lane from an intent to its answer."""
    if not step.intent or step.is_note:
        return
    if step.source == "caller":
        asked.setdefault(step.intent, y)
    elif step.target == "caller" and step.intent in asked:
        _bar(pen, asked.pop(step.intent), y, "unsure" if step.tone == "unsure" else "known")


def _bar(pen: _Pen, top: float, bottom: float, kind: str) -> None:
    height = round(max(4.0, bottom - top), 1)
    pen.add("rect", x=X["caller"] - 5, y=round(top, 1), width=10, height=height, rx=4, class_=f"waiting {kind}")


def _step(pen: _Pen, step: Step, width: int) -> None:
    if step.skipped:
        pen.y += 18
        events = "event" if step.skipped == 1 else "events"
        pen.text(X["caller"] + 14, pen.y, f"… {step.skipped} unrelated {events}", "gap", "start")
        pen.y += 2
    if step.source == "caller" and step.target == "venue":
        _moment(pen, step, width)
    elif step.is_note:
        _note(pen, step)
    else:
        _arrow(pen, step)
    if step.alike:
        pen.y += 26 if step.is_note or step.fault else 16
        pen.text(X["wire"], pen.y, f"… and {step.alike} more events like this", "gap")
        pen.y += 2


def _time(pen: _Pen, step: Step) -> None:
    pen.text(TIME_X, pen.y + 4, f"{step.t:.3f} s", "time", "end")


def _moment(pen: _Pen, step: Step, width: int) -> None:
    pen.y += 34
    _time(pen, step)
    pen.add("line", x1=TIME_X + 12, y1=pen.y, x2=width - 12, y2=pen.y, class_="moment")
    words = shortened(step.text, TEXT_CHARACTERS_MAX)
    half = len(words) * _PX_PER_CHARACTER / 2 + 12
    pen.add("rect", x=X["wire"] - half, y=pen.y - 13, width=round(2 * half, 1), height=26, rx=13, class_="moment-label")
    pen.text(X["wire"], pen.y + 4, words, "moment-text")
    pen.y += 12


def _note(pen: _Pen, step: Step) -> None:
    pen.y += 33
    _time(pen, step)
    words = shortened(step.text, NOTE_CHARACTERS_MAX)
    detail = shortened(step.detail, NOTE_CHARACTERS_MAX + 6)
    fault = shortened(step.fault, TEXT_CHARACTERS_MAX)
    # On the wire the fault is the news, elsewhere the text is.
    if step.source == "wire":
        words, detail, fault = shortened(fault, NOTE_CHARACTERS_MAX), words, ""
    bold = 1.12 if step.tone in ("bad", "lost") else 1.0
    half = max(len(words) * bold, len(detail) * 0.9) * _PX_PER_CHARACTER / 2 + 12
    height = 38 if detail else 26
    x = X[step.source]
    kind = f"note {step.tone}" + (" fault" if step.fault else "")
    pen.add("rect", x=round(x - half, 1), y=pen.y - 13, width=round(2 * half, 1), height=height, rx=5, class_=kind)
    pen.text(x, pen.y + 4, words, f"note-text {step.tone}")
    if detail:
        pen.text(x, pen.y + 18, detail, "detail")
    if step.fault:
        _bolt(pen, x - half - 6, pen.y)
        if fault:
            pen.text(x + half + 8, pen.y + 4, fault, "fault-text", "start")
    pen.y += height - 22


def _bolt(pen: _Pen, x: float, y: float) -> None:
    pen.add("path", d=_BOLT, transform=f"translate({x:.1f},{y:.1f})", class_="bolt")


def _arrow(pen: _Pen, step: Step) -> None:
    pen.y += 42
    _time(pen, step)
    begin, end = X[step.source], X[step.target]
    right = end > begin
    tip = end - 5 if right else end + 5
    gone = step.target == "wire" or step.tone == "lost"
    kind = "lost" if gone else step.tone
    pen.add("line", x1=begin, y1=pen.y, x2=tip, y2=pen.y, class_=f"arrow {kind}")
    if not gone:
        back = -9 if right else 9
        points = f"{end},{pen.y} {end + back},{pen.y - 5} {end + back},{pen.y + 5}"
        pen.add("polygon", points=points, class_=f"tip {kind}")
    # Text stands over the part of the way that is nobody else's lane.
    ends = sorted((begin, end))
    middle = (ends[0] + ends[1]) / 2
    pen.text(middle, pen.y - 9, shortened(step.text, TEXT_CHARACTERS_MAX), f"arrow-text {kind}")
    if step.detail:
        pen.text(middle, pen.y + 15, step.detail, "detail")
    below = 8 if step.detail else 0
    if step.fault:
        words = shortened(step.fault, TEXT_CHARACTERS_MAX)
        _bolt(pen, X["wire"], pen.y)
        if gone:
            # The half of the way that was never gone has room for the reason.
            away = 14 if right else -14
            pen.text(X["wire"] + away, pen.y + 4, words, "fault-text", "start" if right else "end")
        else:
            pen.text(X["wire"], pen.y + 18 + below, words, "fault-text")
            below += 14
    elif gone:
        pen.add("path", d="M-6,-6 L6,6 M-6,6 L6,-6", transform=f"translate({end},{pen.y})", class_="cross")
    pen.y += below
