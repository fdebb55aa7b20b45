"""What a detector's score means: p-values by hand, the promise about false alarms, the probability."""

import json

import numpy as np
import pytest
from scipy.stats import beta

from clearsight.tasks import Anomaly, PredictOptions


def calibrated(known, false_alarms=0.05):
    scores = np.asarray(known, float)[:, None]
    return Anomaly(("good",), false_alarms).calibrated(scores, np.zeros((len(scores), 1), np.float32))


def test_p_values_by_hand():
    task = calibrated([1, 2, 3, 4])
    np.testing.assert_allclose(
        task.p_values(np.array([[0.0], [1], [2.5], [4], [9]])), [5 / 5, 5 / 5, 3 / 5, 2 / 5, 1 / 5]
    )


def test_an_image_is_called_where_p_is_small_enough():
    rng = np.random.default_rng(0)
    for count in (19, 20, 57, 400):
        for rate in (0.05, 0.1, 0.3):
            task = calibrated(rng.standard_normal(count), rate)
            scores = rng.standard_normal((500, 1))
            np.testing.assert_array_equal(task.given(scores), task.p_values(scores) <= rate + 1e-9)


def test_false_alarms_keep_to_the_promise():
    rng = np.random.default_rng(1)
    shares = [calibrated(rng.gamma(2, size=99)).given(rng.gamma(2, size=(400, 1))).mean() for _ in range(300)]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.005)


def test_few_images_cannot_promise_much():
    task = calibrated([1, 2, 3])
    assert task.alarm_rate == 0.25
    assert task.given(np.array([[3.0], [3.1]])).tolist() == [False, True]


def test_the_probability_is_bayes_with_a_beta_density():
    task = calibrated(np.arange(999))
    scores = np.array([[-1.0], [500], [950], [2000]])
    p = task.p_values(scores)
    density = beta.pdf(p, task.shape, 1)
    np.testing.assert_allclose(task.decode(scores)[:, 0], density / (density + 1), rtol=1e-6)
    assert task.decode(scores)[-1] > 0.97
    assert task.decode(scores)[0] < 0.1


def test_anomalies_among_the_held_out_are_passed_over():
    scores, targets = np.array([[1.0], [2], [100]]), np.array([[0], [0], [1]], np.float32)
    assert Anomaly(("good",)).calibrated(scores, targets).known == (1.0, 2.0)


def test_it_is_kept_in_a_card():
    task = calibrated(np.random.default_rng(2).standard_normal(50), 0.1)
    again = Anomaly.load(json.loads(json.dumps(task.card())), task.names, 1.0)
    assert again == task
    scores = np.random.default_rng(3).standard_normal((20, 1))
    names = [str(i) for i in range(20)]
    predictions = task.predictions(scores, names, None, PredictOptions())
    assert again.predictions(scores, names, None, PredictOptions()) == predictions
    assert [p.anomaly for p in predictions] == task.given(scores).tolist()
