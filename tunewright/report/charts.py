"""The report's pictures as inline SVG: whiskers, curves and stacked bars, without a script or a library.

Horizontal positions are percentages and heights are pixels, so one picture fits a phone and a desk and its text keeps
its size; colours are CSS classes of `report.css`, so dark mode costs nothing. Every chart is `role="img"` with its
content in words; the numbers themselves always stand in a table nearby.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high` with round `ticks`; `at` gives a position in percent."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, values: Iterable[float | None], ticks: int = 5, tight: bool = False) -> Scale:
        """The smallest axis with round ends that holds all `values` (None and NaN are left out); `tight` ends at the values."""
        known = [value for value in values if value is not None and math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        if high - low <= max(1e-12, 1e-9 * max(abs(low), abs(high))):  # the same value, or apart by rounding
            high = low + (abs(low) if abs(low) > 1e-9 else 1.0)
        rough = (high - low) / ticks
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * unit for unit in (1, 2, 2.5, 5, 10) if power * unit >= rough * 0.999)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        marks = tuple(round(step * number, 12) for number in range(first, last + 1))
        return cls(low, high, tuple(mark for mark in marks if low <= mark <= high)) if tight else cls(marks[0], marks[-1], marks)

    def at(self, value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)

    def label(self, value: float) -> str:
        step = self.ticks[1] - self.ticks[0]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{value:.{digits + (round(step * 10**digits, 6) % 1 != 0)}f}".replace("-", "−")


def _svg(height: int, label: str, parts: Iterable[str], css: str = "") -> Markup:
    role = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    # Every word in `parts` went through `escape` in `_text` or `stack`; the rest are numbers and our own class names.
    return Markup(f'<svg class="chart {css}" width="100%" height="{height}" {role}>{"".join(parts)}</svg>')  # noqa: S704


def _line(x1: float, x2: float, y1: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{x1}%" x2="{x2}%" y1="{y1}" y2="{y2}"/>'


def _text(x: float, y: float, words: str, css: str = "tick", anchor: str = "middle") -> str:
    return f'<text class="{css}" x="{x}%" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def axis(scale: Scale) -> Markup:
    """The tick labels that stand once above or below a column of whiskers."""
    return _svg(20, "", (_text(scale.at(tick), 14, scale.label(tick)) for tick in scale.ticks), "axis")


def whisker(scale: Scale, value: float, low: float | None, high: float | None, css: str, label: str = "") -> Markup:
    """One system's score as a dot with its interval, on the grid of `scale`."""
    parts = [_line(scale.at(tick), scale.at(tick), 0, 28, "grid") for tick in scale.ticks]
    return _svg(28, label, [*parts, *_interval(scale, value, low, high, 14, 5.5, css)], "row")


def _interval(scale: Scale, value: float, low: float | None, high: float | None, y: float, radius: float, css: str) -> list[str]:
    parts = [f'<circle class="dot {css}" cx="{scale.at(value)}%" cy="{y}" r="{radius}"/>']
    if low is not None and high is not None:
        ends = [_line(scale.at(end), scale.at(end), y - radius, y + radius, f"whisker {css}") for end in (low, high)]
        parts = [_line(scale.at(low), scale.at(high), y, y, f"whisker {css}"), *ends, *parts]
    return parts


def difference(value: float, low: float, high: float, needed: float | None, css: str, label: str) -> Markup:
    """The paired difference with its interval against zero and, if there is one, against the difference that was asked for."""
    scale = Scale.around([0.0, value, low, high, needed], 6)
    parts = [_line(scale.at(tick), scale.at(tick), 34, 74, "grid") for tick in scale.ticks]
    parts += [_text(scale.at(tick), 92, f"{'+' if tick > 0 else ''}{scale.label(tick)}") for tick in scale.ticks]
    marks = [(0.0, "no difference", "zero", 12)] + ([(needed, "asked for", "needed", 26)] if needed else [])
    for place, words, kind, y in marks:
        x = scale.at(place)
        parts.append(_line(x, x, y + 4, 78, kind))
        parts.append(_text(x, y, words, kind, "start" if x < 12 else "end" if x > 88 else "middle"))
    return _svg(98, label, [*parts, *_interval(scale, value, low, high, 54, 8, f"{css} thick")])


@dataclass(frozen=True)
class Curve:
    points: Sequence[Point]
    css: str
    dots: bool = False
    band: Sequence[tuple[float, float, float]] = ()  # x, low, high


def curves(lines: Sequence[Curve], x: Scale, y: Scale, label: str, height: int = 120, mark: Point | None = None) -> Markup:
    """Curves on shared scales. `mark` rings one point (the checkpoint that was kept)."""
    top, floor = 8, height - 20
    span = floor - top

    def down(value: float) -> float:
        return round(floor - span * y.at(value) / 100, 2)

    def path(points: Iterable[Point]) -> str:
        return " ".join(f"{x.at(a)},{down(b)}" for a, b in points if math.isfinite(b))

    parts = []
    for tick in y.ticks:
        parts += [_line(0, 100, down(tick), down(tick), "grid"), _text(-1, down(tick) + 4, y.label(tick) + "\u2009", "tick", "end")]
    parts += [_text(x.at(tick), height - 2, x.label(tick)) for tick in x.ticks]
    stretched = []
    for line in lines:
        if line.band:
            around = [(a, high) for a, _, high in line.band] + [(a, low) for a, low, _ in reversed(line.band)]
            stretched.append(f'<polygon class="band {line.css}" points="{path(around)}"/>')
        stretched.append(f'<polyline class="curve {line.css}" points="{path(line.points)}"/>')
    parts.append(f'<svg width="100%" height="{height}" viewBox="0 0 100 {height}" preserveAspectRatio="none">{"".join(stretched)}</svg>')
    for line in lines:
        for a, b in line.points if line.dots else ():
            parts.append(f'<circle class="dot {line.css}" cx="{x.at(a)}%" cy="{down(b)}" r="3.5"/>')
    if mark is not None:
        parts.append(f'<circle class="ring" cx="{x.at(mark[0])}%" cy="{down(mark[1])}" r="7"/>')
    return Markup('<div class="gutter">{}</div>').format(_svg(height, label, parts))


def stack(parts: Sequence[tuple[str, float, str]], label: str) -> Markup:
    """One bar of (name, amount, css) parts side by side."""
    total, start, drawn = sum(amount for _, amount, _ in parts) or 1.0, 0.0, []
    for name, amount, css in parts:
        width = 100 * amount / total
        drawn.append(
            f'<rect class="part {css}" x="{start:.3f}%" width="{width:.3f}%" y="0" height="26">'
            f"<title>{escape(name)}: {amount:,.0f}</title></rect>"
        )
        start += width
    return _svg(26, label, drawn, "stack")


def trend(values: Sequence[float | None], thresholds: Sequence[float | None], alarms: Sequence[bool], label: str) -> Markup:
    """A signal window by window as a small curve on its threshold (dashed); dots where it was beyond. None leaves a gap."""
    known = [one for one in (*values, *thresholds) if one is not None and math.isfinite(one)]
    y, height, last = Scale.around(known, tight=True), 34, max(1, len(values) - 1)

    def place(number: int, value: float) -> Point:
        return round(100 * number / last, 2), round(height - 5 - (height - 10) * y.at(value) / 100, 2)

    def runs(line: Sequence[float | None], css: str) -> Iterable[str]:
        found: list[list[Point]] = [[]]
        for number, value in enumerate(line):
            if value is None or not math.isfinite(value):
                found.append([])
            else:
                found[-1].append(place(number, value))
        for run in found:
            points = run if len(run) > 1 else [(a + shift, b) for a, b in run for shift in (0, 1.5)]  # one window is still seen
            if points:
                yield f'<polyline class="curve {css}" points="{" ".join(f"{a},{b}" for a, b in points)}"/>'

    drawn = [*runs(thresholds, "limit"), *runs(values, "winner")]
    parts = [f'<svg width="100%" height="{height}" viewBox="0 0 100 {height}" preserveAspectRatio="none">{"".join(drawn)}</svg>']
    for number, (value, alarm) in enumerate(zip(values, alarms, strict=True)):
        if alarm and value is not None and math.isfinite(value):
            x, down = place(number, value)
            parts.append(f'<circle class="dot bad" cx="{x}%" cy="{down}" r="3.5"/>')
    return _svg(height, label, parts, "trend")
