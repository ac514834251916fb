"""Small plots as inline SVG: pure functions from numbers to markup. Colours are classes of
templates/report.css, so that a plot follows the light or dark page that it stands on.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

from markupsafe import Markup

COLORS = 6  # .s0 to .s5
_WIDTH, _HEIGHT = 340, 212
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 328, 10, 176
_CHANCE = 30  # room for the word beside its line
_MIN_GAP = 30  # between labels of the horizontal axis


@dataclasses.dataclass(frozen=True)
class Point:
    """A value with its interval; `note` is shown when somebody points at it."""

    x: float
    y: float
    interval: tuple[float, float] | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Series:
    """Points that belong together; `color` is a number, or "published" for grey."""

    name: str
    points: tuple[Point, ...]
    color: int | str = 0


@dataclasses.dataclass(frozen=True)
class Axis:
    """A horizontal axis.

    Attributes:
      place: value -> position, in any unit: the logarithm for sizes.
      ticks: values that are labelled if there is room.
      label: ticks -> texts.
    """

    title: str
    ticks: tuple[float, ...]
    place: Callable[[float], float] = float
    label: Callable[[float], str] = "{:g}".format


def line_plot(series: Sequence[Series], axis: Axis, chance: float | None, title: str) -> Markup:
    """Draws values with their intervals, a line through those of each series.

    Args:
      series: each point has a place on the axis.
      axis: the horizontal one; the vertical one follows from the values.
      chance: a dashed line; None: no line.
      title: read aloud in place of the picture.
    """
    svg = _svg(_WIDTH, _HEIGHT, title, "plot")
    ticks = nice_ticks(*_extent(series, chance))
    y = _scale(ticks[0], ticks[-1], _BOTTOM, _TOP)
    places = [axis.place(value) for value in axis.ticks]
    right = _RIGHT if chance is None else _RIGHT - _CHANCE
    x = _scale(min(places), max(places), _LEFT + 14, right - 14)
    for tick in ticks:
        _add(svg, "line", x1=_LEFT, x2=right, y1=y(tick), y2=y(tick), class_="grid")
        _add(svg, "text", f"{tick:g}", x=_LEFT - 5, y=y(tick) + 3.5, class_="end")
    last = -math.inf
    for tick in axis.ticks:
        at = x(axis.place(tick))
        if at - last >= _MIN_GAP:
            last = at
            _add(svg, "text", axis.label(tick), x=at, y=_BOTTOM + 15, class_="middle")
    _add(svg, "text", axis.title, x=(_LEFT + right) / 2, y=_HEIGHT - 4, class_="middle")
    if chance is not None:
        _add(svg, "line", x1=_LEFT, x2=right, y1=y(chance), y2=y(chance), class_="chance")
        # Outside the plot, where no point or interval can hide it.
        _add(svg, "text", "chance", x=right + 4, y=y(chance) + 3.5)
    for line in series:
        _draw(svg, line, lambda value: x(axis.place(value)), y)
    return _markup(svg)


def strip(
    value: float,
    interval: tuple[float, float] | None,
    domain: tuple[float, float],
    reference: float | None,
    color: str,
) -> Markup:
    """Draws a value on a line of its own: a dot, its interval and a mark for chance or for 0.

    Args:
      domain: the values at both ends; what lies beyond is drawn at the end.
      reference: where the mark is; None: no mark.
      color: a class, such as "s0".
    """
    svg = _svg(132, 18, f"{value:.3g} between {domain[0]:g} and {domain[1]:g}", "strip")
    place = _scale(*domain, 6, 126)
    x = lambda number: min(126.0, max(6.0, place(number)))
    _add(svg, "line", x1=6, x2=126, y1=9, y2=9, class_="grid")
    if reference is not None:
        _add(svg, "line", x1=x(reference), x2=x(reference), y1=2, y2=16, class_="mark")
    if interval:
        low, high = map(x, interval)
        _add(svg, "line", x1=low, x2=high, y1=9, y2=9, class_=f"range {color}")
    _add(svg, "circle", cx=x(value), cy=9, r=3.5, class_=color)
    return _markup(svg)


def reliability_plot(bins: Sequence, title: str) -> Markup:
    """Draws accuracy against confidence; the area of a circle is the share of predictions. On the
    diagonal a model is as often right as its probabilities say (Guo et al. 2017).

    Args:
      bins: with `confidence`, `accuracy` and `count`.
    """
    svg = _svg(220, 220, title, "plot square")
    x, y = _scale(0, 1, 44, 212), _scale(0, 1, 186, 8)
    _add(svg, "text", "accuracy", x=-97, y=9, class_="middle", transform="rotate(-90)")
    for tick in (0, 0.25, 0.5, 0.75, 1):
        _add(svg, "line", x1=44, x2=212, y1=y(tick), y2=y(tick), class_="grid")
        _add(svg, "text", f"{tick:g}", x=39, y=y(tick) + 3.5, class_="end")
        _add(svg, "text", f"{tick:g}", x=x(tick), y=200, class_="middle")
    _add(svg, "text", "confidence", x=128, y=216, class_="middle")
    _add(svg, "line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="chance")
    full = [bin for bin in bins if bin.count]
    most = max((bin.count for bin in full), default=1)
    points = " ".join(f"{x(bin.confidence):.2f},{y(bin.accuracy):.2f}" for bin in full)
    _add(svg, "polyline", points=points, class_="line s0")
    for bin in full:
        at = {"cx": x(bin.confidence), "cy": y(bin.accuracy)}
        radius = max(2.5, 9 * math.sqrt(bin.count / most))
        circle = _add(svg, "circle", **at, r=radius, class_="bubble s0")
        counts = f"{bin.count:,} predictions of confidence {bin.confidence:.2f}"
        _add(circle, "title", f"{counts}: {bin.accuracy:.2f} are right")
    return _markup(svg)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Returns at most `most` round numbers with equal steps of 1, 2 or 5 times a power of ten; the
    first is at most `low`, the last at least `high`.
    """
    if high <= low:
        low, high = low - 0.05, high + 0.05
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power, 2 * power, 5 * power, 10 * power, 20 * power):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return [round(k * step, 10) for k in range(first, last + 1)]


def _extent(series: Sequence[Series], chance: float | None) -> tuple[float, float]:
    """The least and greatest of all values and bounds."""
    points = [point for line in series for point in line.points]
    values = [bound for point in points for bound in (point.y, *(point.interval or ()))]
    values += [] if chance is None else [chance]
    values = [value for value in values if math.isfinite(value)]
    return min(values, default=0.0), max(values, default=1.0)


def _draw(svg, line: Series, x: Callable, y: Callable) -> None:
    """Adds a series: its line, intervals and dots."""
    color = f"s{line.color % COLORS}" if isinstance(line.color, int) else line.color
    points = [point for point in line.points if math.isfinite(point.y)]
    path = " ".join(f"{x(point.x):.2f},{y(point.y):.2f}" for point in points)
    if len(points) > 1:
        _add(svg, "polyline", points=path, class_=f"line {color}")
    for point in points:
        if point.interval:
            low, high = map(y, point.interval)
            _add(svg, "line", x1=x(point.x), x2=x(point.x), y1=low, y2=high, class_=f"bar {color}")
        dot = _add(svg, "circle", cx=x(point.x), cy=y(point.y), r=3.2, class_=color)
        _add(dot, "title", f"{line.name}{', ' if point.note else ''}{point.note}")


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The linear map of [low, high] onto [start, end]; all to the middle if they are equal."""
    if high == low:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _svg(width: int, height: int, title: str, class_: str) -> ElementTree.Element:
    svg = ElementTree.Element("svg", viewBox=f"0 0 {width} {height}", role="img")
    svg.set("aria-label", title)
    svg.set("class", class_)
    return svg


def _add(parent, tag: str, text: str | None = None, **attributes) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, tag)
    for name, value in attributes.items():
        shown = value if isinstance(value, str) else f"{value:.2f}"
        child.set(name.rstrip("_"), shown)
    child.text = text
    return child


def _markup(svg: ElementTree.Element) -> Markup:
    return Markup(ElementTree.tostring(svg, encoding="unicode", short_empty_elements=False))
