"""Probabilities of labels against scikit-learn, and thresholds against all others."""

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score

from clearsight.calibration.binary import BinaryCalibration
from clearsight.errors import DataError
from clearsight.metrics.ranking import f1_of
from clearsight.tasks import Multilabel, OODScores, PredictOptions, read
from clearsight.tasks.multilabel import best_threshold
from clearsight.tasks.predictions import binary_entropy

RNG = np.random.default_rng(0)
TRUTH = RNG.random((500, 3)) < [0.5, 0.2, 0.05]
Z = 2 * TRUTH - 1.5 + RNG.normal(size=(500, 3)).round(2)  # rounded, so that some are equal


@pytest.mark.parametrize("share", [0.02, *(pytest.param(share, marks=pytest.mark.long) for share in (0.1, 0.5))])
def test_the_threshold_is_half_the_best_f1(share):
    """Of calibrated probabilities, which are right as often as they say: Lipton et al. 2014, theorem 1."""
    rng = np.random.default_rng(0)
    probability = rng.beta(2 * share, 2 * (1 - share), 200_000)
    truth = rng.random(200_000) < probability
    threshold = best_threshold(probability)
    best = max(f1_score(truth, probability >= t) for t in np.linspace(0.02, 0.98, 49))
    assert f1_of(truth, probability >= threshold) == pytest.approx(best, abs=0.01)
    assert threshold == pytest.approx(best / 2, abs=0.01)


def test_evaluation_of_two_images_by_hand():
    """Probabilities 0.8, 0.6 and 0.3, 0.1; the first image has both labels, the second the first one."""
    probabilities = np.array([[0.8, 0.6], [0.3, 0.1]])
    task = Multilabel(("a", "b"), BinaryCalibration.identity(2), (0.2, 0.7))
    found = task.evaluate(np.log(probabilities / (1 - probabilities)), np.array([[1, 1], [1, 0]], np.float32))
    assert found.exact == 0.5, "only the second is given exactly its labels: a from 0.2 on"
    assert found.hamming == 0.25
    assert [s.f1 for s in found.per_label] == [1, 0]
    assert [s.f1_at_half for s in found.per_label] == [pytest.approx(2 / 3), 1]
    assert found.log_loss == pytest.approx(-np.mean(np.log([0.8, 0.6, 0.3, 0.9])))
    assert [(m.image, m.missing, m.wrong) for m in found.mistakes] == [("#0", ("b",), ())]
    assert found.mistakes[0].surprise == pytest.approx(-np.log(0.8 * 0.6))


def test_thresholds_beat_one_half_where_a_label_is_rare():
    rng = np.random.default_rng(3)
    truth = rng.random((4000, 2)) < [0.2, 0.05]
    z = 2 * truth - 1.5 + rng.normal(size=truth.shape)
    task = Multilabel.unfitted(("seldom", "rare")).calibrated(z[:500], truth[:500].astype(np.float32))
    found = task.evaluate(z[500:], truth[500:].astype(np.float32))
    assert all(s.f1 > s.f1_at_half + 0.02 for s in found.per_label)
    assert found.ece < found.ece_uncalibrated


def test_the_card_is_the_task():
    task = Multilabel.unfitted(("a", "b")).calibrated(Z[:, :2], TRUTH[:, :2].astype(np.float32))
    assert Multilabel.load(json.loads(json.dumps(task.card())), task.names, 1.0) == task
    ood = OODScores(np.array([0.5]), np.array([False]), None)
    (prediction,) = task.predictions(Z[:1, :2], ["x.png"], ood, PredictOptions())
    assert set(prediction.probabilities) == {"a", "b"}
    assert list(prediction.probabilities.values()) == sorted(prediction.probabilities.values(), reverse=True)
    assert prediction.uncertainty == pytest.approx(binary_entropy(task.decode(Z[:1, :2])).mean())
    assert (prediction.ood_percentile, prediction.is_ood) == (0.5, False)
    (alone,) = task.predictions(Z[:1, :2], ["x.png"], None, PredictOptions())
    assert (alone.ood_percentile, alone.is_ood) == (None, None)


def test_a_label_without_two_kinds_of_validation_images_keeps_its_own():
    task = Multilabel.unfitted(("a",)).calibrated(Z[:10, :1], np.ones((10, 1), np.float32))
    assert task == Multilabel.unfitted(("a",))


def test_probabilities_are_the_sigmoid_of_scaled_outputs():
    task = Multilabel(("a", "b"), BinaryCalibration((2.0, 1.0), (0.0, -1.0)), (0.5, 0.5))
    probabilities, outputs = task.decoded(np.array([[0.5, 1.0], [0, 0]]))
    np.testing.assert_allclose(probabilities, expit([[1, 0], [0, -1]]))
    np.testing.assert_array_equal(outputs, [[0.5, 1], [0, 0]])


def test_other_data_is_put_into_the_order_of_the_models_labels():
    task = Multilabel.unfitted(("c", "a", "b"))
    data = read((np.zeros((4, 4, 4), np.uint8), [["a"], ["c", "a"], [], ["c"]]))
    assert task.aligned(data).tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]]
    with pytest.raises(
        DataError, match=r"targets of the data differ from those of the model; found a, c; expected a, b"
    ):
        Multilabel.unfitted(("a", "b")).aligned(data)
