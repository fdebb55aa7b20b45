"""Boxes evaluated against ground truth, by hand."""

import numpy as np
import pytest

from clearsight.errors import DataError
from clearsight.evaluation import evaluate_boxes
from clearsight.localisation import Found

THINGS = [
    [((0, 0, 10, 10), "cat"), ((20, 0, 30, 10), "cat")],
    [((0, 0, 10, 10), "dog")],
    [],
]
FOUND = [
    [Found((0, 0, 10, 10), "cat", 0.9), Found((20, 0, 30, 6), "cat", 0.5), Found((0, 0, 10, 10), "dog", 0.8)],
    [Found((1, 0, 11, 10), "dog", 0.6)],
    [Found((0, 0, 5, 5), "cat", 0.7), Found((0, 0, 5, 5), "bird", 0.7)],
]


def test_every_figure_by_hand():
    known = np.array([[0, 1], [1, 2]])
    found = evaluate_boxes(
        FOUND, THINGS, peaks=[{"cat": (25, 5)}, {"dog": (10, 5)}, {}],
        segments=[(known, known), (known, known.T), (known * 0, known * 0)],
    )  # fmt: skip
    # cats by score: right, wrong (image 3), right: precision 1 and 2/3 at recalls 1/2 and 1
    assert found.average_precision["cat"] == pytest.approx((1 + 2 / 3) / 2)
    # dogs: wrong (image 1), right
    assert found.average_precision["dog"] == pytest.approx(1 / 2)
    assert found.mean_average_precision == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert (found.n, found.things, found.boxes) == (3, 3, 6)
    assert found.pointing == 0.5, "the dog's point lies on the far edge"
    assert found.mean_iou == 1
    assert set(found.to_dict()["average_precision"]) == {"cat", "dog"}


def test_a_stricter_overlap_finds_less():
    strict = evaluate_boxes(FOUND, THINGS, iou=0.9)
    assert strict.average_precision == {"cat": pytest.approx(1 / 2), "dog": 0}
    assert strict.pointing is None
    assert strict.mean_iou is None


def test_lists_of_different_images_are_refused():
    with pytest.raises(DataError, match="`found` and `things` have different lengths; found 2 and 3 images"):
        evaluate_boxes(FOUND[:2], THINGS)
