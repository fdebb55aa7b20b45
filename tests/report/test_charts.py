"""The geometry of the charts, by hand."""

from __future__ import annotations

import re

import pytest

from clearsight.metrics.calibration import ReliabilityBin
from clearsight.report.components.charts import RELIABILITY, Curve, interval_bar, learning_curve, reliability, share_bar
from clearsight.report.components.svg import Frame, coordinate, element, ticks


def test_elements_escape_what_is_inside_and_in_attributes() -> None:
    assert element("text", "a < b", class_='"x"', x=1.005, text_anchor="end") == (
        '<text class="&#34;x&#34;" x="1" text-anchor="end">a &lt; b</text>'
    )
    assert element("g", element("line", x1=0)) == '<g><line x1="0"/></g>'


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (-0.001, "0"), (12.5, "12.5"), (100, "100"), (-2.346, "-2.35")])
def test_coordinates(value: float, text: str) -> None:
    assert coordinate(value) == text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.27, 1, [0.2, 0.4, 0.6, 0.8, 1]),
        (0, 2.13, [0, 0.5, 1, 1.5, 2, 2.5]),
        (1, 37, [0, 10, 20, 30, 40]),
        (3, 3, [3, 3.2, 3.4, 3.6, 3.8, 4]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_frame_maps_values_to_places() -> None:
    frame = Frame(10, 20, 100, 200, (0, 4), (1, 3))
    assert (frame.x(1), frame.y(1), frame.y(2), frame.y(3)) == (35, 220, 120, 20)


def test_a_reliability_point_stands_at_its_confidence_and_accuracy() -> None:
    assert (RELIABILITY.left, RELIABILITY.top, RELIABILITY.width, RELIABILITY.height) == (50, 14, 270, 270)
    drawn = reliability("r", "title", [ReliabilityBin(0.6, 0.7, 40, 0.65, 0.5), ReliabilityBin(0.9, 1, 10, 0.95, 1)])
    # x = 50 + 270 confidence; y = 14 + 270 (1 - accuracy)
    assert '<circle cx="225.5" cy="149" r="8" class="dot val"/>' in drawn  # the largest bin: radius 3 + 5
    assert '<circle cx="306.5" cy="14" r="5.5" class="dot val"/>' in drawn  # a quarter of its images: 3 + 5/2
    assert '<line x1="225.5" y1="188.96" x2="225.5" y2="109.04" class="whisker"/>' in drawn  # Wilson: 0.352 to 0.648
    assert (
        '<line x1="225.5" y1="108.5" x2="225.5" y2="149" class="gap" stroke-width="5"/>' in drawn
    )  # confidence to accuracy
    assert "<title>40 images: confidence 65.0 %, accuracy 50.0 %</title>" in drawn


def test_histogram_bars_grow_with_the_images() -> None:
    drawn = reliability("r", "title", [ReliabilityBin(0.6, 0.7, 40, 0.65, 0.5), ReliabilityBin(0.9, 1, 10, 0.95, 1)])
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" class="bar val"', drawn)]
    assert heights == [44, 11]
    assert ">40</text>" in drawn
    assert ">10</text>" in drawn


def test_learning_curve_marks_the_best_epoch() -> None:
    curves = [Curve("training", "train", [2.0, 1.0, 0.5]), Curve("validation", "val", [2.5, 0.5, 1.0])]
    drawn = learning_curve("loss", "Loss", [1, 2, 3], curves, 2, shares=False)
    # frame: left 46, width 278, top 30, height 196; values 0 to 2.5
    assert '<polyline points="46,69.2 185,147.6 324,186.8" class="curve train"/>' in drawn
    assert '<polyline points="46,30 185,186.8 324,147.6" class="curve val"/>' in drawn
    assert '<line x1="185" y1="30" x2="185" y2="226" class="best"/>' in drawn
    assert "best: epoch 2" in drawn
    assert "3 epochs: training from 2 to 0.5; validation from 2.5 to 1. Best epoch: 2." in drawn


def test_learning_curves_of_one_epoch_and_of_lost_numbers() -> None:
    one = learning_curve("a", "A", [1], [Curve("training", "train", [0.5])], 1, shares=True)
    assert '<circle cx="185"' in one
    lost = learning_curve("a", "A", [1, 2, 3], [Curve("t", "val", [0.5, float("nan"), float("inf")])], 1, shares=False)
    assert "nan" not in re.sub(r"<desc.*?</desc>", "", lost)


def test_interval_bar() -> None:
    drawn = interval_bar(0.5, (0.25, 0.75), 0.1)
    assert '<rect x="37" y="4" width="66" height="8" rx="2" class="range"/>' in drawn  # x = 4 + 132 share
    assert '<line x1="70" y1="2" x2="70" y2="14" class="value"/>' in drawn
    assert 'd="M17.2,8l' in drawn


def test_share_bar_stacks() -> None:
    drawn = share_bar([("train", 0.6), ("val", 0.4)])
    assert re.findall(r'x="([\d.]+)" y="0" width="([\d.]+)"', drawn) == [("0", "120"), ("120", "80")]
