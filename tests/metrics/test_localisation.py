"""Boxes, detections, points and masks against numbers worked by hand and against independent libraries."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, jaccard_score

from clearsight.metrics.localisation import (
    box_iou,
    detection_average_precision,
    matched,
    mean_iou,
    overlap_counts,
    points_in_boxes,
)


def test_overlap_of_boxes_by_hand():
    a = np.array([[0, 0, 4, 2]])
    b = np.array([[2, 0, 6, 2], [0, 0, 4, 2], [4, 0, 8, 2], [1, 1, 2, 2], [3, 1, 3, 2]])
    # 4 of 12 shared; the same; touching edges share nothing; 1 of 8; a box without area
    np.testing.assert_allclose(box_iou(a, b), [[4 / 12, 1, 0, 1 / 8, 0]])


def test_boxes_without_area_overlap_nothing():
    point = np.array([3, 1, 3, 1])
    assert box_iou(point, point).tolist() == [[0]]
    assert box_iou(point[:0].reshape(0, 4), point).shape == (0, 1)


def test_a_thing_is_found_once_and_by_the_best_box():
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]])
    boxes = np.array([[0, 0, 10, 8], [0, 0, 10, 10], [20, 0, 30, 4], [21, 0, 30, 10], [50, 50, 60, 60]])
    scores = np.array([0.6, 0.9, 0.8, 0.7, 0.95])
    # the second takes the first thing before the first box comes; the third overlaps by 0.4 only
    assert matched(boxes, scores, truth).tolist() == [False, True, False, True, False]
    assert matched(boxes, scores, truth, iou=0.4).tolist() == [False, True, True, False, False]
    assert not matched(boxes, scores, truth[:0]).any()


def test_average_precision_of_detections_by_hand():
    right, scores = np.array([True, False, True, False, True]), np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    # recalls 1/4, 2/4, 3/4 with precisions 1, 2/3, 3/5; the fourth thing is never found
    assert detection_average_precision(right, scores, 4) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    # interpolation: precision at recall 1/2 is that of recall 1, 2/3, though it is 1/2 there itself
    assert detection_average_precision(np.array([False, True, True]), np.array([3, 2, 1]), 2) == pytest.approx(2 / 3)
    assert np.isnan(detection_average_precision(right, scores, 0))
    assert detection_average_precision(right[:0], scores[:0], 3) == 0


def test_average_precision_of_a_ranking_whose_precision_only_falls_is_scikit_learns():
    right = np.array([True] * 8 + [False, True, False, False, True] + [False] * 5)
    scores = np.linspace(1, 0, len(right))
    hits = np.cumsum(right)
    at_hits = (hits / np.arange(1, len(right) + 1))[right]
    assert (np.diff(at_hits) <= 0).all(), "so that interpolation changes nothing"
    expected = average_precision_score(right, scores)
    assert detection_average_precision(right, scores, int(right.sum())) == pytest.approx(expected)
    # of twice as many things, half can be found at most
    assert detection_average_precision(right, scores, 2 * int(right.sum())) == pytest.approx(expected / 2)


def test_the_pointing_game_by_hand():
    boxes = [
        np.array([[0, 0, 4, 4], [10, 10, 12, 12]]),
        np.array([[0, 0, 4, 4]]),
        np.array([[5, 5, 6, 6]]),
        np.zeros((0, 4)),
    ]
    points = np.array([[11, 10], [4, 2], [np.nan, np.nan], [1, 1]])
    assert points_in_boxes(points, boxes) == 1 / 4, "the far edge is outside"
    assert np.isnan(points_in_boxes(np.zeros((0, 2)), []))


def test_overlap_of_masks_by_hand_and_as_scikit_learn():
    truth, given = np.array([[0, 0, 1], [1, 2, 2]]), np.array([[0, 1, 1], [1, 2, 0]])
    counts = overlap_counts(truth, given, 4)
    assert counts.tolist() == [[1, 3], [2, 3], [1, 2], [0, 0]]
    assert mean_iou(counts) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 3, (2, 5, 8, 8))
    added = sum(overlap_counts(t, g, 3) for t, g in zip(*pairs, strict=True))
    assert mean_iou(added) == pytest.approx(jaccard_score(pairs[0].ravel(), pairs[1].ravel(), average="macro"))
    assert np.isnan(mean_iou(np.zeros((2, 2), int)))
