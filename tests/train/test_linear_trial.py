"""Linear heads in closed form, against scikit-learn's ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score

from clearsight.train.head_search import Targets
from clearsight.train.linear_trial import STRENGTHS, _outputs, linear_trial


@pytest.mark.parametrize("width", [12, 200])
def test_the_outputs_are_those_of_ridge_regression(width: int) -> None:
    draws = np.random.default_rng(0)
    z = draws.normal(size=(90, width))
    labels, weights = draws.integers(0, 3, 90), draws.uniform(0.2, 2, 90).astype(np.float32)
    fit, val = np.arange(60), np.arange(60, 90)
    given = _outputs(z @ z.T, Targets(labels, weights, 3), fit, val, 0.1)
    mean = np.average(np.eye(3)[labels[fit]], axis=0, weights=weights[fit])
    ridge = Ridge(alpha=0.1 * weights[fit].sum(), fit_intercept=False)
    ridge.fit(z[fit], np.eye(3)[labels[fit]] - mean, sample_weight=weights[fit])
    np.testing.assert_allclose(given, ridge.predict(z[val]) + mean, atol=1e-6)


def test_the_best_features_and_strength_count() -> None:
    draws = np.random.default_rng(1)
    labels = np.arange(120) % 3
    telling = (3 * np.eye(3)[labels] + draws.normal(size=(120, 3))).astype(np.float32)
    noise = draws.normal(size=(120, 40)).astype(np.float32)
    rows = np.arange(120)
    folds = [(rows[rows % 4 != k], rows[rows % 4 == k]) for k in range(4)]
    targets = Targets(labels, np.ones(120, np.float32), 3)
    both = linear_trial("both", 1.0, [noise, telling], {"noise": (0,), "telling": (1,)}, targets, folds)
    alone = linear_trial("noise", 1.0, [noise], {"noise": (0,)}, targets, folds)
    assert both.accuracy > 0.85 > 0.5 > alone.accuracy
    assert both.log_loss < alone.log_loss
    assert len(both.right) == 120
    assert accuracy_score(np.ones(120), both.right) == both.accuracy
    assert list(STRENGTHS) == sorted(STRENGTHS)
