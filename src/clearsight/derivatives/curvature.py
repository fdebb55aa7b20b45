"""The largest curvature of a loss, by Lanczos iteration, and the largest that a learning rate can stand.

P: weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal

from clearsight.console import Advance

FEWEST = 8
"""Steps before a small error is trusted: a start that misses the leading direction takes some to find it."""


@dataclass(frozen=True)
class Curvature:
    """Eigenvalues of a Hessian.

    largest: the largest; some eigenvalue lies within `error` of it. least: the smallest met, at or above the true one,
    and below 0 where the loss bends down. steps: products with the Hessian that it took. converged: the error is below
    the tolerance asked for.
    """

    largest: float
    least: float
    error: float
    steps: int
    converged: bool


@dataclass(frozen=True)
class Rates:
    """The learning rate of a run: its optimiser and momentum, the largest rate recorded after an epoch, and the rate in
    the epoch whose weights were kept.
    """

    optimiser: str
    momentum: float
    peak: float
    kept: float

    def stable(self, rate: float) -> float | None:
        """The largest curvature that steps of a rate stand with this optimiser; see `stable_curvature`.

        Args:
            rate: learning rate, above 0.

        Returns:
            The curvature, or None.
        """
        return stable_curvature(self.optimiser, rate, self.momentum) if rate > 0 else None


def largest_curvature(
    multiply: Callable[[torch.Tensor], torch.Tensor],
    size: int,
    *,
    tolerance: float = 0.01,
    steps: int = 60,
    seed: int = 0,
    progress: Advance | None = None,
) -> Curvature:
    """Eigenvalues at the ends of a symmetric matrix that is known by its products alone [Lanczos 1950].

    Args:
        multiply: v (P,) float64 -> H v (P,).
        size: P.
        tolerance: error allowed, as a share of the largest value.
        steps: products at most. Three vectors are kept, whatever the number of steps: without the others rounding
            brings found values back as copies, which leaves the ends where they are [Paige 1980]. After k steps, with T
            the k x k tridiagonal matrix and y its eigenvector to the value theta, |H q - theta q| = beta_k |y_k|, which
            bounds the error.
        seed: random seed.
        progress: called with the number of products done and of all.

    Returns:
        The eigenvalues at both ends.
    """
    vector = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    vector /= vector.norm()
    before = torch.zeros_like(vector)
    diagonal: list[float] = []
    beside: list[float] = []
    most = min(steps, size)
    found = Curvature(0.0, 0.0, 0.0, 0, True)
    for step in range(1, most + 1):
        product = multiply(vector).double()
        if beside:
            product = product - beside[-1] * before
        diagonal.append(float(product @ vector))
        product = product - diagonal[-1] * vector
        length = float(product.norm())
        if not np.isfinite(length):
            return Curvature(float("nan"), float("nan"), float("inf"), step, False)
        values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
        error = length * abs(float(vectors[-1, -1]))
        scale = max(abs(float(values[0])), abs(float(values[-1])))
        exhausted = length <= 1e-12 * scale or step == size  # the vectors so far span a space that H maps into itself
        close = error <= tolerance * abs(float(values[-1])) and step >= FEWEST
        found = Curvature(float(values[-1]), float(values[0]), error, step, exhausted or close)
        if progress:
            progress(most if found.converged else step, most)
        if found.converged:
            break
        beside.append(length)
        before, vector = vector, product / length
    return found


def stable_curvature(optimiser: str, rate: float, momentum: float = 0.0) -> float | None:
    """The largest curvature at which steps of this rate do not grow on a quadratic; None for optimisers without one.

    gradient descent 2 / rate; momentum 2 (1 + m) / rate; Nesterov's 2 (1 + m) / (rate (1 + 2 m)), m the momentum [Cohen
    et al. 2021, arXiv:2103.00065, equation 1 and appendix B]. Training whose curvature settles near it is at the edge
    of stability. Optimisers that scale each weight's step by itself, AdamW among them, answer to the curvature after
    that scaling, which a finished run no longer knows. rate > 0.

    Args:
        optimiser: name of the optimiser.
        rate: learning rate, above 0.
        momentum: momentum, in [0, 1).

    Returns:
        The curvature, or None.
    """
    if optimiser in ("gd", "sgd"):
        return 2 / rate
    if optimiser == "momentum":
        return 2 * (1 + momentum) / rate
    if optimiser == "nesterov":
        return 2 * (1 + momentum) / (rate * (1 + 2 * momentum))
    return None
