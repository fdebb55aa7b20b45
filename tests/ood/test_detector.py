"""The OOD detector: kept whole, and doing what it says."""

import json

import numpy as np
import pytest

from clearsight.ood.detector import (
    CHANGED_ALARMS,
    FALSE_ALARMS,
    LeftOut,
    OODDetector,
    combined,
    surprises,
    threshold_for,
)
from clearsight.ood.scores import Bank
from clearsight.ood.tails import Tail

RNG = np.random.default_rng(0)


def fitted(images=400):
    """A detector, and logits, features and statistics of the held-out half of its images."""
    features, statistics = (RNG.normal(size=(images, d)).astype(np.float32) for d in (12, 16))
    features[:, 0] += 5
    labels, half = np.arange(images) % 3, images // 2
    logits = RNG.normal(size=(half, 3)) * 3
    bank = Bank.fit(features[:half], labels[:half], statistics[:half])
    held_out = logits, features[half:], statistics[half:]
    scores = bank.scores(*held_out)
    tails = {name: (Tail.fit(values), Tail.fit(values[::2])) for name, values in scores.items()}
    reference = np.sort(combined(surprises(scores, tails)))
    left_out = LeftOut({"combined": 0.9}, (("a",), ("b",)), "fitting heads without these classes")
    return OODDetector(bank, tails, reference, *threshold_for(reference, {}), left_out), held_out


def test_the_threshold_lets_its_share_of_held_out_images_through():
    detector, held_out = fitted()
    percentile, flagged, score = detector.detect(*held_out)
    assert flagged.mean() == pytest.approx(FALSE_ALARMS, abs=0.011)
    assert ((percentile >= 0) & (percentile <= 1)).all()
    assert score[flagged].min() > score[~flagged].max()
    assert percentile[flagged].min() > percentile[~flagged].max()


def test_far_by_features_or_by_pixels_is_flagged_and_further_is_more():
    detector, (_, features, statistics) = fitted()
    sure = np.array([[50.0, 0, 0]])  # the network is certain
    scores = []
    for away in (5, 20, 1000):
        for f, s in ((features[:1] * -away, statistics[:1]), (features[:1], statistics[:1] + away)):
            _, flagged, score = detector.detect(sure, f, s)
            assert flagged.all()
            scores.append(float(score[0]))
    assert scores[1] < scores[3] < scores[5]


def test_what_changed_copies_show_too_is_not_unusual():
    scores = {"knn": RNG.exponential(size=300)}
    plain, both = {"knn": (Tail.fit(scores["knn"]),)}, {"knn": (Tail.fit(scores["knn"]), Tail.fit(5 * scores["knn"]))}
    assert (surprises(scores, both)["knn"] <= surprises(scores, plain)["knn"]).all()
    held_out = np.arange(1000.0)
    usual, rate = threshold_for(held_out, {})
    assert rate == FALSE_ALARMS
    assert threshold_for(held_out, {"light": np.full(20, -50.0), "none": held_out[:0]}) == (usual, rate)
    raised, rate = threshold_for(held_out, {"light": np.full(20, -50.0), "shifted": np.full(20, 50.0)})
    assert usual < raised
    assert rate == pytest.approx((held_out > raised).mean(), abs=0.002), "what is stated is what it allows"
    assert (held_out + 50 > raised).mean() <= CHANGED_ALARMS, "of the kind that is flagged most"
    most, _ = threshold_for(held_out, {"shifted": np.full(20, 500.0)})
    assert (held_out > most).mean() > 0.015, "some images that belong are flagged all the same"


def test_few_copies_that_differ_little_do_not_raise_the_threshold():
    """The largest of some quantiles of a few copies each would exceed the one of all held-out images by chance."""
    rates = []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        kinds = {kind: draw.normal(0, 0.5, 16) for kind in ("augmented", "shifted", "darker", "brighter")}
        rates.append(threshold_for(draw.exponential(2, 400), kinds)[1])
    assert np.median(rates) == FALSE_ALARMS


def test_it_comes_back_from_card_and_arrays():
    detector, held_out = fitted()
    card = json.loads(json.dumps(detector.card(), allow_nan=False))
    again = OODDetector.load(card, detector.to_arrays())
    assert again.left_out == detector.left_out
    for mine, theirs in zip(detector.detect(*held_out), again.detect(*held_out), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_detector_of_an_earlier_kind_is_dropped():
    card = {"outliers": {"score": "joint", "threshold": 0.9, "auroc": {}, "left_out": [], "why": ""}}
    assert OODDetector.load(card, {"known": np.zeros(3), "white": np.zeros((2, 2))}) is None
