"""Reliability bins and the expected calibration error, worked by hand and against an independent loop."""

from __future__ import annotations

import numpy as np
import pytest

from clearsight.metrics import expected_calibration_error, reliability_bins


def two(confidence: list[float]) -> np.ndarray:
    """Two classes, the first being predicted with the confidence given."""
    return np.stack([np.array(confidence), 1 - np.array(confidence)], axis=1)


def test_by_hand():
    probabilities = two([0.95, 0.91, 0.65, 0.65, 0.55])
    targets = np.array([0, 1, 0, 0, 0])
    bins = reliability_bins(targets, probabilities, bins=10)
    assert [(b.lower, b.upper, b.count, b.accuracy) for b in bins] == [
        (0.5, 0.6, 1, 1.0),
        (0.6, 0.7, 2, 1.0),
        (0.9, 1.0, 2, 0.5),
    ]
    assert [b.confidence for b in bins] == pytest.approx([0.55, 0.65, 0.93])
    assert expected_calibration_error(targets, probabilities, bins=10) == pytest.approx(
        (1 * 0.45 + 2 * 0.35 + 2 * 0.43) / 5
    )


@pytest.mark.parametrize("bins", [2, 3, 7, 10, 15, 20])
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(bins):
    for edge in range((bins + 1) // 2, bins + 1):
        if edge / bins > 0.5:
            (found,) = reliability_bins(np.array([0]), two([edge / bins]), bins)
            assert found.upper == edge / bins


def test_against_a_loop():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), 500)
    targets = rng.integers(0, 5, 500)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    total = 0.0
    for low, high in zip(np.arange(15) / 15, np.arange(1, 16) / 15, strict=True):
        members = [i for i in range(500) if low < confidence[i] <= high]
        if members:
            total += abs(sum(right[members]) - sum(confidence[members]))
    assert expected_calibration_error(targets, probabilities) == pytest.approx(total / 500)


def test_perfect_and_hopeless():
    assert expected_calibration_error(np.array([0, 0]), two([1.0, 1.0])) == 0
    assert expected_calibration_error(np.array([1, 1]), two([1.0, 1.0])) == 1
    # 10 images of confidence 0.8, 8 of them correct
    assert expected_calibration_error(np.array([0] * 8 + [1] * 2), two([0.8] * 10)) == pytest.approx(0)
