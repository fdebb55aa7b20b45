"""How well a linear head would do on frozen features, in a fraction of the time that fitting one takes.

Ridge regression on the classes as zeros and ones. Its dual has a closed form, so one matrix of inner products serves
all folds and all strengths. With standardised features Z (N, D) and targets Y (N, K) less their mean:

    outputs of other images Z* = Z* Z' (Z Z' + s N I)^-1 Y      [Hoerl, Kennard 1970; Saunders et al. 1998]

Networks and input sizes are compared by it; the head of the model is a better one, of `head_search`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from clearsight.train.halving import Trial, trial_of
from clearsight.train.head_search import Fold, Rows, StandardFeatures, Targets

STRENGTHS = (1e-2, 1e-1, 1.0, 10.0)
"""s, the L2 of ridge regression on standardised features, per image."""


def linear_trial(
    name: str,
    work: float,
    parts: Sequence[Rows],
    feature_sets: dict[str, tuple[int, ...]],
    targets: Targets,
    folds: Sequence[Fold],
) -> Trial:
    """The best linear head by cross-validation.

    Args:
        name, work: of the trial.
        parts: feature arrays (N, D_i).
        feature_sets: name to the numbers of the parts it joins.
        targets: of the N images.
        folds: positions to fit to, and to validate on.

    Returns:
        The trial of the feature set and strength with the lowest calibrated log loss.
    """
    rows = np.arange(len(targets.labels))
    truth = targets.labels[np.concatenate([val for _, val in folds])]
    trials = []
    for numbers in feature_sets.values():
        z = np.concatenate(list(StandardFeatures([parts[i] for i in numbers], rows).chunks(rows)))
        products = (z @ z.T).astype(np.float64)
        for strength in STRENGTHS:
            outputs = [_outputs(products, targets, fit, val, strength) for fit, val in folds]
            trials.append(trial_of(name, work, len(rows), np.concatenate(outputs), truth))
    return min(trials, key=lambda trial: trial.log_loss)


def _outputs(
    products: NDArray[np.float64], targets: Targets, fit: NDArray[np.int64], val: NDArray[np.int64], strength: float
) -> NDArray[np.float64]:
    """Outputs (len(val), K) of the head fitted to some images for others, by the inner products of all (N, N)."""
    encoded = np.eye(targets.classes)[targets.labels[fit]]
    weights = np.maximum(targets.weights[fit].astype(np.float64), 1e-6)
    mean = np.average(encoded, axis=0, weights=weights)
    system = products[np.ix_(fit, fit)] + np.diag(strength * weights.sum() / weights)
    with threadpool_limits(1):  # threads of matrices this small wait for each other
        dual = cho_solve(cho_factor(system, overwrite_a=True), encoded - mean)
    return np.asarray(products[np.ix_(val, fit)] @ dual + mean)
