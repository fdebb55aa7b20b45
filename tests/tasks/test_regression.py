"""Numbers, angles and directions: what a network learns, what its outputs mean, and whether intervals hold."""

import json
import math

import numpy as np
import pytest

from clearsight.errors import DataError
from clearsight.tasks import PredictOptions, Regression, TaskOptions, read

EVERYONE = np.arange(50)


def table(*columns):
    """A data set of these columns of numbers, whose images say nothing."""
    return read((np.zeros((len(columns[0]), 2, 2), np.uint8), np.stack(columns, 1)), task="regression")


def angles(degrees):
    return table(np.asarray(degrees, float))


def task_of(data, train=EVERYONE, **options):
    return Regression.of(data, train, TaskOptions(**options))


def predict(task, outputs, coverage=0.9):
    """The one prediction for one image."""
    (found,) = task.predictions(outputs, ["x"], None, PredictOptions(coverage))
    return found


def test_plain_numbers_are_learned_at_zero_mean_and_unit_deviation():
    rng = np.random.default_rng(0)
    data = table(rng.normal(3, 2, 50), rng.normal(-1, 0.1, 50))
    task = task_of(data)
    encoded = task.encode(data)
    assert np.allclose(encoded.mean(0), 0, atol=1e-5)
    assert np.allclose(encoded.std(0), 1, atol=1e-5)
    assert np.allclose(task.decode(encoded), data.values, atol=1e-5)


def test_angles_come_back_across_the_turn():
    data = angles([0, 1, 90, 180, 359, 725, -30.5])
    task = task_of(data, np.arange(7), angle="degrees")
    encoded = task.encode(data)
    assert np.allclose(encoded[2], [0, 1], atol=1e-6), "cosine and sine of a right angle"
    assert np.allclose(task.decode(3 * encoded)[:, 0] % 360, [0, 1, 90, 180, 359, 5, 329.5], atol=1e-3)
    assert np.allclose(task.differences(np.array([[359.0]]), np.array([[1.0]])), -2)


def test_directions_are_unit_vectors_and_err_by_the_angle_between():
    turn = np.linspace(0, 6, 30)
    data = table(np.cos(turn), np.sin(turn))
    task = task_of(data, EVERYONE[:30])
    assert task.kind == "direction"
    assert np.allclose(task.decode(np.array([[3.0, 4.0], [0, 0]])), [[0.6, 0.8], [1, 0]])
    assert task.differences(np.array([[1.0, 0.0]]), np.array([[0.0, -1.0]])) == pytest.approx(90)


def test_predictions_stay_in_their_range():
    task = task_of(table(np.linspace(-30, 30, 50)), within=(-30, 30)).calibrated(
        np.zeros((50, 1)), np.linspace(-30, 30, 50, dtype=np.float32)[:, None]
    )
    assert task.decode(np.array([[9.0], [-9.0]])).ravel().tolist() == [30, -30]
    low, high = predict(task, np.array([[0.0]]), 0.98).intervals["value"]
    assert (low, high) == (-30, 30)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.linspace(0, 350, 50), {"angle": "radians"}, "not in radians; found values up to 350; fix|not in radians"),
        (np.linspace(0, 6.2, 50), {"angle": "degrees"}, "probably not in degrees; found values up to 6.2"),
        (np.linspace(0, 9, 50), {"within": (0, 8)}, "outside the range given by --within; found 0 to 9; expected 0 to"),
    ],
)
def test_a_wrong_unit_or_range_is_reported(values, options, message):
    with pytest.raises(DataError, match=message):
        task_of(table(values), **options)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_intervals_hold_the_truth_as_often_as_promised(coverage):
    """Errors of both kinds, alike for all images and as large as the network says, over 200 draws of 100 errors: the
    k-th smallest of n holds k / (n + 1) of what comes [Lei et al. 2018, theorem 2.2].
    """
    rng, held = np.random.default_rng(0), {False: [], True: []}
    for _ in range(200):
        truth, deviation = rng.normal(size=200), np.exp(rng.normal(size=200))
        for spread in (False, True):
            text = truth + rng.normal(size=200) * (deviation if spread else 1)
            task = Regression(("x",), "number", mean=(0.0,), std=(1.0,), spread=spread)
            outputs = np.stack([text, 2 * np.log(deviation)], 1) if spread else text[:, None]
            fitted = task.calibrated(outputs[:100], truth[:100, None].astype(np.float32))
            wrong = np.abs(fitted.decode(outputs[100:]) - truth[100:, None])
            held[spread].append((wrong <= fitted.widths(outputs[100:], coverage)).mean())
    for shares in held.values():
        assert np.mean(shares) == pytest.approx(math.ceil(101 * coverage) / 101, abs=0.015)


def test_too_few_images_promise_nothing():
    task = task_of(table(np.arange(50.0))).calibrated(np.zeros((5, 1)), np.zeros((5, 1), np.float32))
    assert math.isinf(task.widths(np.zeros((1, 1)), 0.9)[0, 0])
    assert predict(task, np.zeros((1, 1))).intervals["value"] == (-math.inf, math.inf)


def test_an_interval_of_an_angle_may_cross_the_turn():
    task = Regression(("a",), "angle", unit="degrees", errors=((10.0,) * 20,))
    found = predict(task, np.array([[math.cos(math.radians(5)), math.sin(math.radians(5))]]))
    assert found.values["a"] == pytest.approx(5)
    assert found.intervals["a"] == pytest.approx((355, 15))


def test_evaluation_by_hand():
    """Predicted 1, 2, 3, 6 of 1, 2, 4, 4: errors 0, 0, -1, 2; the mean is 2.75, sums of squares 5 and 6.75."""
    task = Regression(("x",), "number", mean=(0.0,), std=(1.0,), errors=((1.0,) * 30,))
    text, truth = np.array([[1.0], [2], [3], [6]]), np.array([[1], [2], [4], [4]], np.float32)
    found = task.evaluate(text, truth)
    score = found.per_number[0]
    assert (score.mean_error, score.median_error, score.root_mean_square) == (0.75, 0.5, pytest.approx(1.25**0.5))
    assert score.explained == pytest.approx(1 - 5 / 6.75)
    assert score.usual_error == 3, "of 1, 2, 4, 4 less the training mean 0"
    assert score.covered == 0.75
    assert [m.index for m in found.mistakes] == [3, 2, 0, 1]


@pytest.mark.parametrize(
    "task",
    [
        Regression(("x", "y"), "number", mean=(0.0, 1.0), std=(1.0, 2.0), low=-3.0, errors=((1.0,), (2.0,))),
        Regression(("a",), "angle", unit="radians", errors=((0.1, 0.2),)),
    ],
)
def test_the_card_is_the_task(task):
    assert Regression.load(json.loads(json.dumps(task.card())), task.names, 1.0) == task


def test_an_angle_of_which_nothing_can_be_promised_may_point_anywhere():
    task = Regression(("heading",), "angle", unit="degrees", errors=((1.0, 2.0, 3.0),))
    assert predict(task, np.array([[1.0, 0.0]]), 0.99).intervals == {"heading": (0.0, 360.0)}
    assert predict(task, np.array([[1.0, 0.0]]), 0.5).intervals == {"heading": (358.0, 2.0)}
