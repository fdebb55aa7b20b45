"""Notes say exactly which classes are in every set for want of calibration images."""

import numpy as np
import pytest

from clearsight.calibration.prediction_sets import ConformalScores
from clearsight.tasks.predict_options import PredictOptions
from clearsight.tasks.set_notes import few_calibration_images, needed_images


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_as_many_as_a_finite_threshold_needs(coverage):
    needed = needed_images(coverage)
    for n, finite in ((needed, True), (needed - 1, False)):
        scores = ConformalScores((0,) * n, {"lac": tuple(np.linspace(0, 0.5, n))})
        assert np.isfinite(scores.threshold(coverage)) == finite


def test_the_classes_that_are_in_every_set_are_named():
    labels = np.repeat([0, 1, 2], [20, 9, 4])
    scores = ConformalScores(
        tuple(labels.tolist()), {"lac": (0.1,) * 33}, {"site": ("A",) * 28 + ("B",) * 5}
    )  # class 2 and one of class 1 are at site B
    names = ("cat", "dog", "fox")
    p = np.array([[0.98, 0.01, 0.01]])
    for options in (
        PredictOptions(), PredictOptions(by_class=True), PredictOptions(by_class=True, group=("site", "A")),
        PredictOptions(group=("site", "B")), PredictOptions(0.99),
    ):  # fmt: skip
        held = scores.sets(p, options.coverage, options.sets, options.by_class, options.group)[0]
        notes = " ".join(few_calibration_images(scores, names, options))
        assert bool(notes) == bool(held[1:].any())
        if options.by_class:
            assert all((name in notes) == inside for name, inside in zip(names[1:], held[1:], strict=True))
    assert few_calibration_images(scores, names, PredictOptions(by_class=True)) == (
        "1 class (fox) has fewer calibration images than the 9 required for a coverage of 90 %, so it is in every set",
    )
