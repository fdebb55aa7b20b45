"""What a model knows of its limits: kept whole, and doing what it says."""

import json

import numpy as np
import pytest

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
    left_out = LeftOut({score: 0.9}, (("a",), ("b",)), "heads fitted without these classes")
    return OODDetector(bank, score, known, left_out), features[half:], pixels[half:]


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
