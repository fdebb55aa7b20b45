"""Ridge heads against scikit-learn's, and what they make of a photo set's features."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from clearsight.train.head_search import Candidate, StandardFeatures
from clearsight.train.ridge import _fitted

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(2, [1.0, 5, 0.1, 2], (60, 4)).astype(np.float32)
TARGETS = FEATURES @ RNG.normal(size=(4, 2)) + RNG.normal(size=(60, 2))
FIT, VAL = np.arange(40), np.arange(40, 60)


def features():
    return StandardFeatures([FEATURES[:, :1], FEATURES[:, 1:]], np.arange(60))


def standard():
    return (FEATURES - FEATURES.mean(0)) / FEATURES.std(0)


def test_the_plain_head_is_ridge_regression():
    plan = Candidate("all", (0, 1), "ridge", {"L2": 0.1}, 0, 0)
    head = _fitted(features(), FIT, TARGETS, plan)
    z = standard()
    y = TARGETS[FIT] - TARGETS[FIT].mean(0)
    theirs = Ridge(alpha=0.1 * 40, fit_intercept=False).fit(z[FIT], y)
    expected = theirs.predict(z[VAL]) + TARGETS[FIT].mean(0)
    assert np.allclose(head.outputs(features(), VAL), expected, atol=1e-3)
    _, module = head.module(features())
    assert np.allclose(module(torch.from_numpy(FEATURES[VAL])).detach().numpy(), expected, atol=1e-3)


def test_the_head_with_a_kernel_is_kernel_ridge_regression():
    plan = Candidate("all", (0, 1), "kernel ridge", {"L2": 0.5, "gamma D": 0.8}, 0, 0)
    head = _fitted(features(), FIT, TARGETS, plan)
    z, mean = standard(), TARGETS[FIT].mean(0)
    theirs = KernelRidge(alpha=0.5, kernel="rbf", gamma=0.2).fit(z[FIT], TARGETS[FIT] - mean)
    expected = theirs.predict(z[VAL]) + mean
    assert np.allclose(head.outputs(features(), VAL), expected, atol=1e-3)
    _, module = head.module(features())
    assert np.allclose(module(torch.from_numpy(FEATURES[VAL])).detach().numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("head", ["ridge", "kernel ridge"])
def test_candidates_carry_what_they_were_fitted_with(head):
    plan = Candidate("all", (0, 1), head, {"L2": 0.5, "gamma D": 0.8}, 0, 0)
    fitted = _fitted(features(), FIT, TARGETS, plan)
    assert fitted.bias.shape == (2,)
    assert (fitted.weight is None) == (head == "kernel ridge")
