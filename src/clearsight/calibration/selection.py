"""Which calibration to use, decided by nested log loss, and none unless one is clearly better than none.

Each candidate is fitted without one part of the calibration images after the other and scored on that part. From the
simplest on, one takes the place of those before it if it beats them by more than two standard errors of the difference,
image by image. So an already calibrated network stays as it is, and few images choose few parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from clearsight.calibration.calibrator import Calibrator, Floats, Method

PARTS = 5
"""Parts that the calibration images are cut into."""

FEWEST = 10
"""Images below which probabilities are left as they are."""

ENOUGH_FOR_ISOTONIC = 1000
"""Images from which isotonic regression is tried; below it overfits [Niculescu-Mizil, Caruana 2005]."""

EVENTS = 10
"""Images of the rarer of two classes for each parameter of a method; with fewer, estimates are unstable [Peduzzi et al.
1996, J. Clin. Epidemiol. 49(12)].
"""

PARAMETERS: dict[Method, int] = {"platt": 2, "beta": 3}
"""Of the methods that are tried for two classes alone."""

MOST_CLASSES = 100
"""Classes up to which the methods with parameters for each class are tried."""

KNOTS = 32
"""Of isotonic regression, for each class at most."""

COMMON = 1.0
"""Standard deviation of log T before anything is seen: it keeps estimates from few images finite, and its weight falls
with their number. Of two classes also that of what either has of its own.
"""

OWN = 0.1
"""The same of what each of several classes has of its own."""

CLEARLY = 2.0
"""Standard errors by which a method must lower the log loss. With one, a calibrated network would be changed in one of
six runs, and lose on average more than miscalibrated ones gain.
"""

MOST = 4000
"""Images that methods are compared on at most."""

LEAST_ERROR = 0.05
"""Of a model that made no error on n images, the error rate is above 0.05 / (n + 1) with a probability of 3 in 4, by
the posterior of Jeffreys' prior: no probability is given that is nearer to 1.
"""


def calibrate(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    candidates: tuple[Method, ...] | None = None,
    *,
    clearly: float = CLEARLY,
    seed: int = 0,
) -> Calibrator:
    """The calibration for a model with logits (M, K) and labels (M,) of images that it was not fitted to.

    Nothing is fitted to fewer than 10 images. candidates: the methods to try, None for all that suit. clearly: standard
    errors by which a method must be better. seed: of the parts.
    """
    z = np.asarray(logits, np.float64)
    n, k = z.shape
    plain = Calibrator.identity(k)
    frequencies = _frequencies(labels, k)
    largest = largest_probability(n)
    if n < FEWEST or k < 2:
        return _finished(plain, frequencies, largest, n)
    candidates = candidates or methods(n, k, int(np.bincount(labels, minlength=k).min()))
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:MOST])
    as_it_is = -log_softmax(z[rows], axis=1)[np.arange(len(rows)), labels[rows]]
    losses = {method: _nested_losses(method, z[rows], labels[rows], seed) for method in candidates}
    best = clearly_best(as_it_is, losses, clearly)
    return _finished(plain if best is None else fit_method(best, z, labels), frequencies, largest, n)


def clearly_best(as_it_is: Floats, losses: Mapping[Method, Floats], clearly: float = CLEARLY) -> Method | None:
    """The method to use, by the losses (M,) of each image without calibration and by every method, the simplest first;
    None where none is better than no calibration.
    """
    best, before = None, as_it_is
    for method, found in losses.items():
        gain = before - found
        if gain.mean() > clearly * gain.std() / np.sqrt(len(gain)):
            best, before = method, found
    return best


def _nested_losses(method: Method, z: Floats, labels: NDArray[np.integer], seed: int) -> Floats:
    """The log loss of each image (M,) by the method fitted without its part."""
    losses = np.zeros(len(labels))
    for held in parts_of(labels, seed):
        made = fit_method(method, z[~held], labels[~held])
        losses[held] = -np.log(made(z[held])[np.arange(held.sum()), labels[held]].clip(1e-30))
    return losses


def largest_probability(images: int) -> float:
    """The largest probability that so many images support, if the model was right on all of them."""
    return 1 - LEAST_ERROR / (images + 1)


def methods(images: int, classes: int, rarest: int) -> tuple[Method, ...]:
    """Candidates for so many images, classes, and images of the rarest class, the simplest first; identity is that with
    a mixture alone.
    """
    found: list[Method] = ["identity", "temperature"]
    if classes == 2:
        found += [name for name, parameters in PARAMETERS.items() if rarest >= EVENTS * parameters]
    elif classes <= MOST_CLASSES:
        found += ["vector"]
    if images >= ENOUGH_FOR_ISOTONIC and classes <= MOST_CLASSES:
        found += ["isotonic"]
    return tuple(found)


def fit_method(method: Method, logits: Floats, labels: NDArray[np.integer]) -> Calibrator:
    """One candidate, mixed with the class frequencies as far as that lowers its log loss."""
    n, k = logits.shape
    frequencies = _frequencies(labels, k)
    log_p = log_softmax(logits, axis=1)
    if method == "isotonic":
        made = Calibrator(method, (1.0,) * k, (0.0,) * k, frequencies, knots=_isotonic(np.exp(log_p), labels), images=n)
    else:
        scale, shift = _affine(method, log_p, labels)
        made = Calibrator(method, tuple(scale.tolist()), tuple(shift.tolist()), frequencies, images=n)
    weight = mixture_weight(made(logits)[np.arange(n), labels], np.array(frequencies)[labels])
    return _finished(made, frequencies, 1.0, n, weight)


def _finished(
    made: Calibrator, frequencies: tuple[float, ...], largest: float, images: int, weight: float | None = None
) -> Calibrator:
    weight = made.weight if weight is None else weight
    return replace(made, frequencies=frequencies, largest=largest, images=images, weight=weight)


def _frequencies(labels: NDArray[np.integer], classes: int) -> tuple[float, ...]:
    """Class frequencies (K,) with one image added to each class."""
    counts = np.bincount(labels, minlength=classes) + 1.0
    return tuple((counts / counts.sum()).tolist())


def parts_of(labels: NDArray[np.integer], seed: int) -> list[NDArray[np.bool_]]:
    """Masks (M,) of the parts, every class spread evenly over them."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    number = np.empty(len(labels), np.int64)
    number[order] = np.arange(len(labels)) % PARTS
    return [number == part for part in range(PARTS)]


def _affine(method: Method, log_p: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Scale and shift (K,) of a method with the lowest log loss on log probabilities (M, K), held near identity.

    Log scales and shifts have a normal prior: a common log scale of deviation 1, and what classes have of their own of
    deviation `OWN`.
    """
    n, k = log_p.shape
    if method == "identity":
        return np.ones(k), np.zeros(k)
    target = _softened(labels, k)
    own = method in ("vector", "beta")
    shifted = method != "temperature"

    def unpacked(w: Floats) -> tuple[Floats, Floats]:
        """From the common log scale, each class's own part of it, and its shift."""
        away, shift = (w[1 : k + 1] if own else np.zeros(k)), (w[-k:] if shifted else np.zeros(k))
        return np.exp(w[0] + away), shift

    def loss(w: Floats) -> tuple[float, Floats]:
        scale, shift = unpacked(w)
        a = log_p * scale + shift
        top = a.max(1, keepdims=True)
        odds = np.exp(a - top)
        total = odds.sum(1, keepdims=True)
        value = float(np.mean(np.log(total) + top) - np.mean(np.einsum("nk,nk->n", target, a)))
        off = odds / total - target
        by_scale = np.einsum("nk,nk->k", off, log_p) / n * scale
        slope = [by_scale.sum(keepdims=True), *([by_scale] if own else []), *([off.mean(0)] if shifted else [])]
        return value + float(w @ (w / spread**2)) / (2 * n), np.concatenate(slope) + w / spread**2 / n

    width = OWN if k > 2 else COMMON
    spread = np.full(1 + k * (own + shifted), width)
    spread[0] = COMMON
    limits = [(-7.0, 7.0)] * len(spread)
    from scipy.optimize import minimize

    found = minimize(loss, np.zeros(len(spread)), jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 60}).x
    return unpacked(found)


def _softened(labels: NDArray[np.integer], classes: int) -> Floats:
    """Targets (M, K) that give the true class (M + 1) / (M + 2) and share the rest out, the estimate of a share after M
    successes in M trials [Platt 1999, 2.2]: a model that makes no mistake on few images does not become certain.
    """
    n = len(labels)
    target = np.full((n, classes), 1 / ((n + 2) * (classes - 1)))
    target[np.arange(n), labels] = (n + 1) / (n + 2)
    return target


def mixture_weight(own: Floats, frequency: Floats) -> float:
    """The weight of the class frequencies with the lowest log loss, for the probabilities (M,) of the true classes."""
    from scipy.optimize import minimize_scalar

    def loss(w: float) -> float:
        return -float(np.log(((1 - w) * own + w * frequency).clip(1e-30)).mean())

    found = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-6})
    return float(found.x) if found.fun < loss(0.0) else 0.0


def _isotonic(p: Floats, labels: NDArray[np.integer]) -> tuple[tuple[tuple[float, ...], ...], ...]:
    """Knots (K, 2, M) of a rising map for each class against the rest, thinned to `KNOTS`."""
    from sklearn.isotonic import IsotonicRegression

    n, found = len(labels), []
    grid = np.linspace(0, 1, KNOTS)
    for k in range(p.shape[1]):
        fitted = IsotonicRegression(y_min=1 / (n + 2), y_max=(n + 1) / (n + 2), out_of_bounds="clip")
        fitted.fit(p[:, k], labels == k)
        x = np.unique(np.concatenate([[0.0], np.quantile(p[:, k], grid[1:-1]), [1.0]]))
        x = np.concatenate([x, 1 + np.arange(1, KNOTS + 1 - len(x))]) if len(x) < KNOTS else x
        found.append((tuple(x.tolist()), tuple(fitted.predict(x.clip(max=1)).tolist())))
    return tuple(found)
