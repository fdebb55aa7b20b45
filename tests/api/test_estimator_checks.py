"""scikit-learn's own checks of an estimator, through a wrapper that makes small images of its tables."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

import clearsight as cs


class TableClassifier(ClassifierMixin, BaseEstimator):
    """`ImageClassifier` on rows of numbers: each becomes an image one pixel high, in the range of the training data."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _images(self, X: NDArray[Any]) -> NDArray[np.float64]:
        low, high = self.range_
        return np.clip((X - low) / np.maximum(high - low, 1e-12), 0, 1)[:, None, :]

    def fit(self, X: Any, y: Any) -> "TableClassifier":
        X, y = validate_data(self, X, y)
        self.range_ = X.min(axis=0), X.max(axis=0)
        self.model_ = cs.ImageClassifier("pixels+softmax", img_size=8, seed=self.seed).fit(self._images(X), y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        return self.model_.predict_proba(self._images(validate_data(self, X, reset=False)))

    def predict(self, X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        return self.model_.predict(self._images(validate_data(self, X, reset=False)))


EXPECTED = {
    "check_methods_subset_invariance": "networks compute in float32, whose sums depend on the size of the batch: "
    "probabilities of one image and of many differ by 2e-7, where the check allows 1e-7",
}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([TableClassifier()], expected_failed_checks=lambda estimator: EXPECTED)
def test_every_check_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)
