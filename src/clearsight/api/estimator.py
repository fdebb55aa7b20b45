"""`ImageClassifier`: the same road in scikit-learn's shape, for pipelines, cross-validation and grid search."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from clearsight.errors import DataError
from clearsight.predictor import Predictor
from clearsight.tasks import read
from clearsight.train.config import Config
from clearsight.train.fit import fit


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train on arrays or paths: `ImageClassifier(model="resnet8").fit(X, y).score(X_new, y_new)`.

    X: images (N, H, W), (N, H, W, C) or (N, C, H, W), uint8, uint16 or floats in [0, 1]; or a list of N paths.
    y: N labels of any kind. All N images are for training: validation is carved out of them, nothing is held out as a
    test, for which scikit-learn has its own tools.

    model, img_size, fit_mode, epochs, batch_size, lr, augment, seed: as the options of `clearsight train`
    (`fit_mode` is `--fit`).
    """

    def __init__(
        self,
        model: str = "auto",
        *,
        img_size: int | None = None,
        fit_mode: str = "squash",
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        augment: str | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.img_size = img_size
        self.fit_mode = fit_mode
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.augment = augment
        self.seed = seed

    def fit(self, X: Any, y: Any) -> ImageClassifier:
        """Learn the classes of y; ClearsightError says what is wrong with the data or the options."""
        options = self.get_params()
        config = Config.from_options(**{("fit" if k == "fit_mode" else k): v for k, v in options.items()})
        y = np.asarray(y)
        _require_classes(y)
        fitted = fit(read((X, y), task="classification"), config, hold_out_test=False, find_issues=False)
        by_name = {str(label): label for label in np.unique(y).tolist()}
        self.classes_ = np.array([by_name[name] for name in fitted.bundle.classes])
        self.predictor_ = Predictor(fitted.bundle)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Calibrated probabilities (N, K), columns in the order of `classes_`."""
        check_is_fitted(self)
        return self.predictor_.predict_proba(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest label of each image (N,)."""
        belief = self.predict_proba(X)
        return np.asarray(self.classes_[belief.argmax(axis=1)])


def _require_classes(y: NDArray[Any]) -> None:
    """DataError for what is no class each, in scikit-learn's words for it."""
    several = y.ndim > 1 and y.shape[1] > 1
    decimals = y.dtype.kind == "f" and bool((y[np.isfinite(y)] % 1 != 0).any())
    if several or decimals:
        raise DataError(
            f"Unknown label type: {'continuous' if decimals else 'multilabel-indicator'}",
            found=f"labels of shape {y.shape}, {y.dtype}",
            expected="one class per image",
            fix="`cs.fit(X, y)` learns several labels, and numbers",
        )
