"""One image attacked: the same as the attack of many, and its description."""

import numpy as np
import pytest
import torch

import clearsight as cs
from clearsight.attacks import attack_one
from clearsight.attacks.gradient import pgd
from clearsight.errors import ConfigError


@pytest.fixture(scope="module")
def predictor(digits_run):
    return cs.load(digits_run, engine="torch").predictor


@pytest.fixture
def pixels(digits_arrays):
    return digits_arrays[0][-3].astype(np.float32) / 255


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 1.0)])
def test_it_is_pgd_away_from_the_answer(predictor, pixels, norm, epsilon):
    found = attack_one(predictor, pixels, epsilon, norm=norm, steps=7)
    answer = predictor.bundle.task.index_of(found.before.label)
    expected = pgd(
        predictor.network, torch.from_numpy(pixels[None]), torch.tensor([answer]), epsilon, steps=7, norm=norm
    )
    np.testing.assert_array_equal(found.attacked, expected[0].numpy())
    size = found.largest if norm == "linf" else found.length
    assert size == pytest.approx(epsilon, rel=1e-3)
    assert found.after.probabilities[found.before.label] < found.before.probabilities[found.before.label]


def test_the_probability_of_the_target_grows(predictor, pixels):
    found = attack_one(predictor, pixels, 0.2, target=8, method="fgsm")
    assert (found.target, found.steps) == ("8", 1)
    assert found.after.probabilities["8"] > found.before.probabilities["8"]


def test_options_that_cannot_be(predictor, pixels):
    with pytest.raises(ConfigError, match="unknown attack 'x'"):
        attack_one(predictor, pixels, 0.1, method="x")
    with pytest.raises(ConfigError, match="epsilon is 2"):
        attack_one(predictor, pixels, 2)
