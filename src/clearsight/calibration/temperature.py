"""Temperature scaling [Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", 4.2].

One positive number T divides every logit. The order of the classes, and so the accuracy, stays as it is.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

LOW, HIGH = 1e-3, 1e3


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """The T in [0.001, 1000] with the least mean cross-entropy of softmax(logits / T), targets softened by the sample
    size.

    logits (N, K), targets (N,) of images the network was not trained on. A network that makes no mistake on N images
    would otherwise get T = 0 and a probability of 1; so the right class counts (N+1)/(N+2) and the others share the
    rest, the estimate of a share after N successes in N trials, as in [Platt 1999, "Probabilistic outputs for support
    vector machines", 2.2]. The correction vanishes with N. The loss is unimodal in T.

    Args:
        logits: outputs (N, K) for images the network was not trained on.
        targets: class indices (N,).

    Returns:
        The temperature, in [0.001, 1000].

    Example:
        >>> confident = np.array([[8.0, 0.0], [0.0, 8.0], [8.0, 0.0], [0.0, 8.0]])
        >>> fit_temperature(confident, np.array([0, 1, 0, 0])) > 1  # a mistake, made with confidence
        True
    """

    z = np.asarray(logits, dtype=np.float64)
    n, k = z.shape
    right = z[np.arange(n), targets]
    sure = (n + 1) / (n + 2)
    others = (z.sum(axis=1) - right) / max(1, k - 1)
    mean_target = sure * right + (1 - sure) * others  # the target's expectation of the logits

    def loss(log_t: float) -> float:
        t = np.exp(log_t)
        return float(np.mean(scipy.special.logsumexp(z / t, axis=1) - mean_target / t))

    found = scipy.optimize.minimize_scalar(
        loss, bounds=(np.log(LOW), np.log(HIGH)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))
