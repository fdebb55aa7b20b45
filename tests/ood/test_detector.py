"""What a model knows of its limits: kept whole, and doing what it says."""

import json

import numpy as np
import pytest

from clearsight.calibration.prediction_sets import own_scores
from clearsight.errors import ConfigError
from clearsight.ood.detector import FALSE_ALARMS, LeftOut, OODDetector
from clearsight.ood.scores import Bank

RNG = np.random.default_rng(0)


def limits(images=200, score="joint"):
    features, pixels = (RNG.normal(size=(images, d)).astype(np.float32) for d in (12, 16))
    features[:, 0] += 5
    labels = np.arange(images) % 3
    half = images // 2
    bank = Bank.fit(features[:half], pixels[:half], labels[:half], features[half:], pixels[half:])
    known = np.sort(bank.score(score, np.zeros((half, 3)), features[half:], pixels[half:], 1.0))
    belief = RNG.dirichlet(np.ones(3), half)
    left_out = LeftOut({score: 0.9}, (("a",), ("b",)), "heads fitted without these classes")
    own = own_scores(belief, labels[half:]), own_scores(belief, labels[half:], "adaptive")
    return OODDetector(bank, score, known, left_out, *own), features[half:], pixels[half:]


def test_the_threshold_lets_its_share_of_known_images_through():
    found, features, pixels = limits(score="knn")
    strangeness, strange = found.judge(np.zeros((100, 3)), features, pixels, 1.0)
    assert strange.mean() == pytest.approx(FALSE_ALARMS, abs=0.011)
    assert ((strangeness >= 0) & (strangeness <= 1)).all()
    assert strangeness[strange].min() >= strangeness[~strange].max()
    _, far = found.judge(np.zeros((1, 3)), -features[:1], pixels[:1], 1.0)
    assert far.all()


def test_it_comes_back_from_card_and_arrays():
    found, features, pixels = limits()
    card = json.loads(json.dumps(found.card(), allow_nan=False))
    again = OODDetector.load(card, found.to_arrays())
    assert again.left_out == found.left_out
    for mine, theirs in zip(
        found.judge(np.zeros((100, 3)), features, pixels, 1.0),
        again.judge(np.zeros((100, 3)), features, pixels, 1.0),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)
    belief = RNG.dirichlet(np.ones(3), 50)
    for kind in ("least", "adaptive"):
        np.testing.assert_array_equal(found.sets(belief, 0.8, kind), again.sets(belief, 0.8, kind))


def test_too_few_images_promise_nothing_and_say_so_in_json():
    found, *_ = limits(12)
    assert found.card()["sets"]["threshold"] is None
    assert found.sets(RNG.dirichlet(np.ones(3), 5)).all()


def test_adaptive_sets_are_never_empty_and_grow_with_the_doubt():
    found, *_ = limits()
    sure, unsure = np.array([[0.98, 0.01, 0.01]]), np.array([[0.4, 0.35, 0.25]])
    small, large = (found.sets(belief, 0.5, "adaptive").sum() for belief in (sure, unsure))
    assert 1 <= small < large
    assert found.sets(RNG.dirichlet(np.ones(3), 200), 0.05, "adaptive").any(1).all()
    old = OODDetector.load(found.card(), {k: v for k, v in found.to_arrays().items() if k != "adaptive"})
    old.sets(sure)
    with pytest.raises(ConfigError, match="without adaptive prediction sets"):
        old.sets(sure, kind="adaptive")


def test_larger_coverage_gives_larger_sets():
    found, *_ = limits()
    belief = RNG.dirichlet(np.ones(3), 200)
    sizes = [found.sets(belief, c).sum() for c in (0.5, 0.8, 0.9, 0.99)]
    assert sizes == sorted(sizes)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        found.sets(belief, 1.0)
