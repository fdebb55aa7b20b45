"""Notes say exactly which classes are in every set for want of calibration images."""

from dataclasses import replace

import numpy as np
import pytest

from clearsight.calibration.prediction_sets import ConformalScores
from clearsight.tasks.predict_options import PredictOptions
from clearsight.tasks.predictions import LabelsPrediction, NumbersPrediction, OutputsPrediction, Prediction
from clearsight.tasks.set_notes import beyond_training, few_calibration_images, interval_notes, needed_images


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


def test_notes_on_intervals():
    """Of the numbers whose intervals leave the range of the training images, and how many do."""
    rows = [NumbersPrediction("a", {"x": 1.0, "y": 1.0}, {"x": (-0.5, 2.0), "y": (0.5, 2.0)})]
    rows += [NumbersPrediction("b", {"x": 1.0, "y": 1.0}, {"x": (0.5, 4.5), "y": (0.5, 2.0)})]
    (note,) = beyond_training(rows, {"x": (0.0, 4.0), "y": (0.0, 4.0)})
    assert note.startswith("2 ranges of x extend beyond the values of the training images, 0 to 4; ")
    assert "--within LOW,HIGH" in note
    assert interval_notes(0.9) == ("each range contains the true value with a probability of 90 %",)


def test_an_unknown_image_is_named_first_for_every_kind_of_prediction():
    known = {"ood_percentile": 1.0, "is_ood": True}
    for one in (
        Prediction("a", "cat", 0.9, 0.4, {"cat": 0.9, "dog": 0.1}, **known),
        LabelsPrediction("a", ("cat",), {"cat": 0.9}, 0.4, **known),
        NumbersPrediction("a", {"x": 1.0}, {"x": (0.0, 2.0)}, **known),
        OutputsPrediction("a", {"out": {"x": 1.0}}, **known),
    ):
        assert one.line().startswith("unknown: OOD score higher than for all known images; ")
        assert not replace(one, is_ood=False).line().startswith("unknown")
