"""The plots: every value is where its axis says."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from hclx.evaluate.report.results_file import Bin
from hclx.evaluate.report.svg import (
    Axis,
    Point,
    Series,
    line_plot,
    nice_ticks,
    reliability_plot,
    strip,
)

SPAN = st.floats(1e-6, 1e6)


@hypothesis_given(st.floats(-1e5, 1e5), SPAN)
def test_ticks_are_few_and_around_all_values(low, span):
    ticks = nice_ticks(low, low + span)
    assert 2 <= len(ticks) <= 7
    slack = 1e-6 * span + 1e-9 * abs(low)
    assert ticks[0] <= low + slack and ticks[-1] >= low + span - slack
    steps = {round((b - a) / span, 6) for a, b in zip(ticks, ticks[1:])}
    assert max(steps) - min(steps) < 1e-3


def circles(svg):
    return [
        (float(c.get("cx")), float(c.get("cy"))) for c in ElementTree.fromstring(svg).iter("circle")
    ]


def texts(svg):
    return {
        t.text: (float(t.get("x")), float(t.get("y")))
        for t in ElementTree.fromstring(svg).iter("text")
    }


def test_points_are_where_the_labels_of_the_axes_are():
    points = (Point(0, 0.5), Point(4, 0.6), Point(16, 0.9, (0.8, 1.0)))
    svg = line_plot([Series("a", points)], Axis("examples", (0, 4, 16), math.log1p), 0.5, "t")
    labels = texts(svg)
    for (x, y), point in zip(circles(svg), points):
        assert x == pytest.approx(labels[f"{point.x:g}"][0], abs=0.02)
        assert y == pytest.approx(labels[f"{point.y:g}"][1] - 3.5, abs=0.02)
    lines = [e for e in ElementTree.fromstring(svg).iter("line") if e.get("class") == "chance"]
    assert float(lines[0].get("y1")) == pytest.approx(labels["0.5"][1] - 3.5, abs=0.02)


def test_positions_are_linear_in_the_value_and_in_the_axis():
    points = [Point(10**k, 0.1 * k) for k in range(1, 5)]
    axis = Axis("parameters", (10, 10_000), math.log10)
    places = circles(line_plot([Series("a", tuple(points))], axis, None, "t"))
    for k in (0, 1):
        steps = [b[k] - a[k] for a, b in zip(places, places[1:])]
        assert steps == pytest.approx([steps[0]] * 3, abs=0.02) and steps[0] * (1, -1)[k] > 0


def test_what_is_no_number_is_left_out():
    points = (Point(0, math.nan), Point(1, 0.5), Point(2, 0.7))
    assert len(circles(line_plot([Series("a", points)], Axis("x", (0, 1, 2)), None, "t"))) == 2


def test_a_strip_stays_within_its_ends():
    assert circles(strip(0.5, None, (0, 1), None, "s0")) == [(66.0, 9.0)]
    assert circles(strip(7, (0.2, 9), (0, 1), 0.5, "s0")) == [(126.0, 9.0)]


def test_a_calibrated_model_is_on_the_diagonal():
    bins = [Bin(k / 10, k / 10, 10 * k) for k in range(1, 10)] + [Bin(0.05, 0.9, 0)]
    svg = reliability_plot(bins, "t")
    assert len(circles(svg)) == 9
    for x, y in circles(svg):
        assert (x - 44) / 168 == pytest.approx((186 - y) / 178, abs=1e-3)


def test_texts_are_escaped():
    axis = Axis("<b>&", (0, 1))
    svg = line_plot([Series("<script>", (Point(0, 1, note="\"'<"),))], axis, None, '">')
    assert "<script" not in svg and "<b>" not in svg and ElementTree.fromstring(svg) is not None


def test_the_word_chance_is_beside_the_plot_and_not_over_it():
    points = (Point(0, 0.55, (0.48, 0.62)), Point(16, 0.505, (0.43, 0.58)))
    svg = line_plot([Series("a", points)], Axis("examples", (0, 16)), 0.5, "t")
    x, _ = texts(svg)["chance"]
    lines = ElementTree.fromstring(svg).iter("line")
    assert x > max(float(line.get("x2")) for line in lines)
    width = float(ElementTree.fromstring(svg).get("viewBox").split()[2])
    assert x + 34 < width + 1  # the word is 34 wide at 10.5 pixels
