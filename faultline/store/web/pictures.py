"""The pictures of the page, as SVG: made of numbers, and of text that is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

WIDTH: Final = 150
HEIGHT: Final = 26
CELL: Final = 9
MARGIN: Final = 4


@dataclass(frozen=True, slots=True)
class Point:
    """One campaign in a picture, the oldest first. ``value`` is None where it had no figure."""

    value: float | None
    title: str
    link: str
    status: str


def strip(points: Sequence[Point]) -> Markup:
    """One cell for each campaign, coloured by what came of the case."""
    cells = Markup("").join(
        Markup('<rect class="{}" x="{}" y="3" width="{}" height="20" rx="2"><title>{}</title></rect>').format(
            point.status, number * CELL, CELL - 2, point.title
        )
        for number, point in enumerate(points)
    )
    failed = sum(point.status in ("fail", "broken") for point in points)
    said = f"failed in {failed} of {len(points)} runs"
    width = max(CELL, len(points) * CELL)
    head = Markup('<svg class="strip" width="{0}" height="26" viewBox="0 0 {0} 26" role="img" aria-label="{1}">')
    return head.format(width, said) + cells + Markup("</svg>")


def spark(points: Sequence[Point], unit: str = "ms") -> Markup:
    """A figure over time as a small line; a figure that was there once is a dot."""
    known = [(number, point.value) for number, point in enumerate(points) if point.value is not None]
    if not known:
        return Markup("")
    placed = _placed(known, len(points), WIDTH, HEIGHT, MARGIN)
    said = f"{known[0][1]:.0f} to {known[-1][1]:.0f} {unit}, at most {max(value for _, value in known):.0f}"
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    last_x, last_y = placed[-1]
    return Markup(
        '<svg class="spark" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">'
        '<title>{2}</title><polyline points="{3}"/><circle cx="{4:.1f}" cy="{5:.1f}" r="2.6"/></svg>'
    ).format(WIDTH, HEIGHT, said, line, last_x, last_y)


def chart(points: Sequence[Point], label: str, width: int = 1040, height: int = 190) -> Markup:
    """A figure over time, large: each campaign a point that leads to it, a scale on the left."""
    known = [(number, point.value) for number, point in enumerate(points) if point.value is not None]
    if not known:
        return Markup("")
    left = 64
    placed = [
        (x + left, y) for x, y in _placed(known, len(points), width - left, height, 14, top=_ceiling(known), bottom=0.0)
    ]
    parts = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(width, height, label),
        *_scale(_ceiling(known), width, height, left),
        Markup('<polyline points="{}"/>').format(" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)),
    ]
    for (number, value), (x, y) in zip(known, placed, strict=True):
        point = points[number]
        parts.append(
            Markup(
                '<a href="{}"><circle class="{}" cx="{:.1f}" cy="{:.1f}" r="5"><title>{}</title></circle></a>'
            ).format(point.link, point.status, x, y, f"{point.title}: {value:.1f} ms")
        )
    return Markup("").join([*parts, Markup("</svg>")])


def _scale(ceiling: float, width: int, height: int, left: int) -> list[Markup]:
    lines = []
    for share in (0.0, 0.5, 1.0):
        y = height - 14 - share * (height - 28)
        lines.append(
            Markup('<line x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text x="{3}" y="{4:.1f}">{5}</text>').format(
                left, width - 8, y, left - 10, y + 4, escape(_ms(ceiling * share))
            )
        )
    return lines


def _ms(value: float) -> str:
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.3g} ms"


def _ceiling(known: Sequence[tuple[int, float]]) -> float:
    return max(value for _, value in known) or 1.0


def _placed(
    known: Sequence[tuple[int, float]], count: int, width: float, height: float, margin: float,
    *, top: float | None = None, bottom: float | None = None,
) -> list[tuple[float, float]]:  # fmt: skip
    values = [value for _, value in known]
    low = min(values) if bottom is None else bottom
    span = ((max(values) if top is None else top) - low) or 1.0
    step = (width - 2 * margin) / max(1, count - 1)
    flat = low == max(values)
    return [
        (
            margin + number * step if count > 1 else width / 2,
            height / 2 if flat else height - margin - (value - low) / span * (height - 2 * margin),
        )
        for number, value in known
    ]
