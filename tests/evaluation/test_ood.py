"""Coverage, sizes and false alarms on images that belong to the data, by hand."""

import numpy as np
import pytest

from clearsight.calibration.binary import BinaryCalibration
from clearsight.calibration.prediction_sets import ConformalScores
from clearsight.evaluation import check_ood
from clearsight.ood.detector import LeftOut, OODDetector
from clearsight.ood.scores import Bank
from clearsight.ood.tails import Tail
from clearsight.tasks import Classification, OODScores, Ordinal, Regression

PROBABILITIES = np.array([[0.91, 0.09], [0.6, 0.4], [0.45, 0.55], [0.2, 0.8]])


@pytest.fixture
def found():
    """What a detector finds of four images with these probabilities, and their logits."""
    draw = np.random.default_rng(0)
    features, statistics = draw.normal(size=(40, 3)).astype(np.float32), draw.random((40, 4), np.float32)
    bank = Bank.fit(features, np.arange(40) % 2, statistics)
    tails = {"max-softmax": (Tail.fit(-np.log(np.linspace(0.7, 1.0, 50))),)}  # of largest probabilities
    threshold = float(tails["max-softmax"][0].surprise(-np.log([0.701]))[0])
    detector = OODDetector(bank, tails, np.linspace(0, threshold, 50), threshold, 0.04, LeftOut({}, (), ""))
    logits = np.log(PROBABILITIES)
    percentile, flagged, score = detector.detect(logits, features[:4], statistics[:4])
    return OODScores(percentile, flagged, detector, score), logits


def test_by_hand(found):
    ood, logits = found
    scores = tuple(np.linspace(0.05, 0.5, 10))  # the 9th and the 10th: 0.45 and 0.5
    task = Classification(("a", "b"), conformal=ConformalScores((0,) * 10, {"lac": scores}))
    check = check_ood(task, ood, logits, np.array([0, 0, 0, 0]), coverage=0.9)
    # threshold: the ceil(11 x 0.9) = 10th, 0.5, so a class needs a probability of 0.5
    assert check.n == 4
    assert (check.sets.stated, check.sets.coverage) == (0.9, 0.5)
    assert check.sets.sizes == (0, 4)
    assert (check.sets.mean_size, check.sets.empty) == (1, 0)
    # largest probabilities 0.91, 0.6, 0.55, 0.8 against known ones of 0.7 or more
    assert check.false_alarms == 0.5
    assert check.allowed == 0.04
    assert set(check.most_ood) == {1, 2}
    assert check.sets.coverage_interval[0] < 0.5 < check.sets.coverage_interval[1]
    assert check.summary()["mean_size"] == 1
    assert check.summary()["false_alarms"] == 0.5
    tight = check_ood(task, ood, logits, np.array([0, 1, 1, 1]), coverage=0.1).sets  # the 2nd: 0.1
    assert tight.sizes == (0, 4)
    assert tight.empty == 0


def test_sets_of_grades_are_their_own(found):
    ood, _ = found
    task = Ordinal(("low", "high"), BinaryCalibration.identity(1), scores=(0.0,) * 8 + (0.5, 0.7))
    outputs = np.log(PROBABILITIES[:, 1:] / PROBABILITIES[:, :1])
    # the 10th score is 0.7: an interval that holds 0.6 takes in another grade, one that holds 0.8 does not
    check = check_ood(task, ood, outputs, np.array([0, 0, 0, 0]), coverage=0.9)
    assert check.sets.sizes == (0, 2, 2)
    assert check.sets.coverage == 0.75


def test_a_task_without_sets_has_false_alarms_alone(found):
    ood, _ = found
    task = Regression(("x",), "number", mean=(0.0,), std=(1.0,))
    check = check_ood(task, ood, np.zeros((4, 1)), np.zeros((4, 1), np.float32))
    assert check.sets is None
    assert check.summary() == {"false_alarms": 0.5}
