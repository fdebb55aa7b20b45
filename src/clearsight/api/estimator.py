"""`ImageClassifier`: the same road in scikit-learn's shape, for pipelines, cross-validation and grid search."""

from __future__ import annotations

import inspect
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from clearsight.arguments import flag, unknown_option
from clearsight.data.targets import class_name
from clearsight.errors import ConfigError, DataError
from clearsight.predictor import Predictor
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.fit import fit
from clearsight.train.option_signature import EstimatorOptions, options_in_signature


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train on arrays or paths: `ImageClassifier(model="resnet8").fit(X, y).score(X_new, y_new)`.

    All images are for training: the validation images are among them, and no test split is held out, for which
    scikit-learn has its own tools.

    Args:
        model: name of the network, as `clearsight train --model` takes it.
        **options: the other options of `clearsight train`, by name.
    """

    def __init__(self, model: str = "auto", **options: Unpack[EstimatorOptions]) -> None:
        signature = inspect.signature(ImageClassifier)
        if unknown := [unknown_option(name, signature.parameters) for name in options.keys() - signature.parameters]:
            raise TypeError("; ".join(unknown))
        given = signature.bind(model, **options)
        given.apply_defaults()
        for name, value in given.arguments.items():
            setattr(self, name, value)

    def fit(self, X: Any, y: Any) -> ImageClassifier:
        """Train on the classes of y. `classes_` contains them, sorted as by `numpy.unique`.

        Args:
            X: images (N, H, W), (N, H, W, C) or (N, C, H, W), uint8, uint16 or floats in [0, 1]; or a list of N paths.
            y: labels (N,) of any type.

        Returns:
            The fitted estimator itself.

        Raises:
            ClearsightError: what is wrong with the data or the options, and what to do.
        """
        config = TrainConfig.from_options(**self.get_params())
        _require_effect(config)
        y = np.asarray(y)
        _require_classes(y)
        fitted = fit(read((X, y), task="classification"), config, hold_out_test=False, find_issues=False)
        self.classes_ = np.unique(y)
        _require_distinct(self.classes_)
        names = [class_name(label) for label in self.classes_.tolist()]
        self.columns_ = np.array([fitted.bundle.classes.index(name) for name in names])
        self.predictor_ = Predictor(fitted.bundle)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Calibrated probabilities (N, K), columns in the order of `classes_`.

        Args:
            X: images, as `fit` takes them.

        Returns:
            float64 (N, K), each row sums to 1.
        """
        check_is_fitted(self)
        images = self.predictor_.inputs(X, count=len(X))  # scikit-learn's X is always several
        return self.predictor_.predict_proba(images)[:, self.columns_]

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Logarithms of the probabilities (N, K), columns in the order of `classes_`.

        Args:
            X: images, as `fit` takes them.

        Returns:
            float64 (N, K), at most 0.
        """
        with np.errstate(divide="ignore"):  # a probability may be 0
            return np.asarray(np.log(self.predict_proba(X)))

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the label of each image: the most probable one, or the one chosen by costs, a minimum precision or a
        minimum recall.

        Args:
            X: images, as `fit` takes them.

        Returns:
            Labels (N,), of the type of `y`.
        """
        check_is_fitted(self)
        probabilities = self.predictor_.predict_proba(self.predictor_.inputs(X, count=len(X)))
        place = np.argsort(self.columns_)  # of each class of the model among `classes_`
        return np.asarray(self.classes_[place[self.predictor_.bundle.task.decided(probabilities)]])


options_in_signature(ImageClassifier.__init__)

NO_EFFECT = ("out", "resume", "checkpoint_every", "auto_fix", "test_fraction", "data_dir", "from_run", "old_images")
"""Options of a run's folder, its test split and its data, none of which an estimator has."""


def _require_effect(config: TrainConfig) -> None:
    """Raise ConfigError for options without effect here, and for tasks without classes."""
    given, usual = config.options(), TrainConfig().options()
    idle = [flag(name) for name in NO_EFFECT if given[name] != usual[name]]
    if config.data.task not in ("auto", "classification"):
        idle.append(f"--task {config.data.task}")
    if idle:
        raise ConfigError(
            f"ImageClassifier does not support {', '.join(idle)}",
            fix="keep the defaults, or use `cs.fit(X, y)` instead",
        )


def _require_distinct(classes: NDArray[Any]) -> None:
    """Raise DataError for classes whose names only differ in their Unicode form or in being bytes."""
    by_name: dict[str, list[Any]] = {}
    for label in classes.tolist():
        by_name.setdefault(class_name(label), []).append(label)
    if alike := next((labels for labels in by_name.values() if len(labels) > 1), None):
        raise DataError(
            "several classes have the same name", found=" and ".join(ascii(label) for label in alike),
            expected="a single Unicode form of each class name",
            fix="normalise the labels with `unicodedata.normalize('NFC', label)`",
        )  # fmt: skip


def _require_classes(y: NDArray[Any]) -> None:
    """Raise DataError for labels that are not classes, in scikit-learn's words."""
    several = y.ndim > 1 and y.shape[1] > 1
    decimals = y.dtype.kind == "f" and bool((y[np.isfinite(y)] % 1 != 0).any())
    if several or decimals:
        raise DataError(
            f"Unknown label type: {'continuous' if decimals else 'multilabel-indicator'}",
            found=f"labels of shape {y.shape} and dtype {y.dtype}",
            expected="one class per image",
            fix="use `cs.fit(X, y)` for multi-label classification or regression",
        )
