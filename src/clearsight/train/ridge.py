"""Heads for several labels or for numbers, on frozen features: ridge regression, plain or with a kernel.

Both have closed forms. With standardised features Z (N, D), a kernel matrix K (N, N) and targets Y (N, E) less their
mean:
    plain    W = (Z'Z / N + s I)^-1 Z'Y / N                      [Hoerl, Kennard 1970]
    kernel   A = (K + s I)^-1 Y, K_ij = exp(-g |z_i - z_j|^2)    [Saunders, Gammerman, Vovk 1998]
Labels are learned as -1 and 1; calibration on validation images follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.features import Timed, extract
from clearsight.train.head_search import KERNEL_LIMIT, Candidate, FittedHead, Fold, Rows, StandardFeatures
from clearsight.train.linear_trial import STRENGTHS
from clearsight.train.strategies.probe import feature_sets, new_probe, say_idle
from clearsight.wording import percent

Floats = NDArray[np.float64]

KERNELS = ((0.1, 1.0), (0.1, 0.3), (1.0, 0.3), (0.01, 0.3))
"""Pairs (s, g D) of the head with a kernel."""


def ridge_head(context: TrainContext) -> TrainResult:
    """Choose the head with the lowest squared error in cross-validation, and calibrate its answers there."""
    data, split, task = context.data, context.data.split, context.task
    encoded = task.encode(data.dataset)
    assert encoded is not None
    probe, timed = new_probe(context.recipe, context.data), Timed(context.console.stage("features"))
    rows = np.sort(np.concatenate([split.train, split.val]))
    parts = extract(probe, data.pixels, rows, device=context.device, progress=timed)
    targets = task.head_targets(encoded[rows])
    folds = [(np.searchsorted(rows, a), np.searchsorted(rows, b)) for a, b in split.folds]
    everything = np.searchsorted(rows, split.development)
    again = None if context.previous is None else context.previous.head_for(len(rows))
    found, outputs = _evaluated(
        parts, feature_sets(probe), targets, folds, everything,
        context.console.stage("choosing the head", "candidates"), again,
    )  # fmt: skip
    best = min(range(len(found)), key=lambda i: found[i].log_loss)
    chosen = found[best]
    features = StandardFeatures([parts[i] for i in chosen.parts], everything)
    spec, head = _fitted(features, everything, targets, chosen).module(features)
    probe.set_head(spec, head, chosen.parts)
    validation_indices = rows[np.concatenate([val_rows for _, val_rows in folds])]
    truth = task.truth(data.dataset)[validation_indices]
    if again is not None and len(found) == 1:
        why = f"same kind of head as in the continued run, refitted; validation R² {percent(chosen.accuracy)}"
    else:
        ends = min((c for c in found if c.features == "last features"), key=lambda c: c.log_loss)
        why = (
            f"highest explained variance of {len(found)} candidates on the validation images: "
            f"{percent(chosen.accuracy)}; best with only the last features: {percent(ends.accuracy)}"
        )
    context.note("head", chosen.words(), why)
    learned = targets[np.concatenate([val_rows for _, val_rows in folds])]
    errors = ((outputs[best] - learned) ** 2).mean(1) / float(np.mean((learned - learned.mean(0)) ** 2))
    context.note_folds("scores of the folds", validation_indices, 1 - errors, "explained variance")
    why = "for this task the head is fitted in closed form, and the network's weights are frozen"
    say_idle(context, why)
    if context.config.run.budget is not None:
        context.note("without effect", "--budget", why)
    return TrainResult(
        network=probe, task=task.calibrated(outputs[best], truth), validation_indices=validation_indices,
        logits=outputs[best], history=(),
        candidates=tuple(found), images_per_second=timed.rate,
    )  # fmt: skip


def _evaluated(
    parts: Sequence[Rows],
    sets: dict[str, tuple[int, ...]],
    targets: Floats,
    folds: Sequence[Fold],
    everything: NDArray[np.int64],
    advance: Callable[[int, int], None],
    only: Candidate | None = None,
) -> tuple[list[Candidate], list[Floats]]:
    """Every candidate, or the one of the kind of `only`, and its outputs for the validation images. A candidate's
    `accuracy` is the share of the variance it explains, its `log_loss` the mean squared error.
    """
    kernels = KERNELS if len(everything) <= KERNEL_LIMIT else ()
    plans = [
        Candidate(name, numbers, head, setting, 0.0, 0.0)
        for name, numbers in sets.items()
        for head, settings in (
            ("ridge", [{"L2": s} for s in STRENGTHS]), ("kernel ridge", [{"L2": s, "gamma D": g} for s, g in kernels]),
        )
        for setting in settings
    ]  # fmt: skip
    plans = [p for p in plans if only is not None and p.words() == only.words()] or plans
    validation_indices = np.concatenate([val_rows for _, val_rows in folds])
    truth, found, outputs = targets[validation_indices], [], []
    features, of = None, ""
    for number, plan in enumerate(plans):
        if features is None or plan.features != of:
            features, of = StandardFeatures([parts[i] for i in plan.parts], everything), plan.features
        out = np.concatenate(
            [_fitted(features, fit, targets, plan).outputs(features, val_rows) for fit, val_rows in folds]
        )
        error = float(np.mean((out - truth) ** 2))
        explained = 1 - error / float(np.mean((truth - truth.mean(0)) ** 2))
        found.append(Candidate(plan.features, plan.parts, plan.head, plan.setting, explained, error))
        outputs.append(out)
        advance(number + 1, len(plans))
    return found, outputs


def _fitted(features: StandardFeatures, fit: NDArray[np.int64], targets: Floats, plan: Candidate) -> FittedHead:
    from sklearn.kernel_ridge import KernelRidge  # here, not above: it loads as slowly as PyTorch

    bias = targets[fit].mean(0)
    y = targets[fit] - bias
    if plan.head == "ridge":
        gram, moment, start = np.zeros((features.width, features.width)), np.zeros((features.width, y.shape[1])), 0
        for x in features.chunks(fit):
            gram += x.T @ x
            moment += x.T @ y[start : start + len(x)]
            start += len(x)
        gram[np.diag_indices_from(gram)] += plan.setting["L2"] * len(fit)
        weight = cho_solve(cho_factor(gram, overwrite_a=True), moment)
        return FittedHead(bias, weight=weight.T)
    gamma = plan.setting["gamma D"] / features.width
    kernel = np.exp(-gamma * features.distances(fit, fit)).astype(np.float64)
    machine = KernelRidge(alpha=plan.setting["L2"], kernel="precomputed").fit(kernel, y)
    return FittedHead(bias, dual=machine.dual_coef_.T, support=fit, gamma=gamma)
