"""Images of an `other` class: they belong to no class of the answer, and what is like them is to be flagged.

A simple form of outlier exposure [Hendrycks, Mazeika, Dietterich 2019]: the network is not trained on them; a logistic
regression on its features separates them from the images that belong, and its log-odds are one more score, whose
p-value is taken among held-out images as that of every other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class OutlierClassifier:
    """weights (D + 1,): of the features, the last a constant, for the log-odds of belonging to no class."""

    weights: Floats

    @classmethod
    def fit(cls, features: Floats, other: Floats) -> OutlierClassifier:
        """Separate features (M, D) of images that belong from those of images that do not (L, D)."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        both = np.concatenate([features, other]).astype(np.float64)
        scaler = StandardScaler().fit(both)
        is_other = np.arange(len(both)) >= len(features)
        strength = 1 / both.shape[1]  # the penalty grows with the number of features
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
        model.fit(scaler.transform(both), is_other)
        weights = model.coef_[0] / scaler.scale_
        constant = model.intercept_[0] - weights @ scaler.mean_
        return cls(np.asarray([*weights, constant], np.float32))

    def score(self, features: Floats) -> Floats:
        """Log-odds (N,) of features (N, D)."""
        return np.asarray(features @ self.weights[:-1] + self.weights[-1], np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as named arrays, for a file."""
        return {"outliers.weights": self.weights}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> OutlierClassifier | None:
        """What `to_arrays` gave; None where there is none."""
        return cls(arrays["outliers.weights"]) if "outliers.weights" in arrays else None
