"""A head on frozen features, chosen by cross-validation: the fast road from a pretrained network to a classifier.

Candidates are pairs of a feature set (the last features; all depths) and a head: softmax with several strengths of L2,
and, for up to KERNEL_LIMIT images, a support vector machine with the radial basis kernel. Each is evaluated on the
folds. The mean probability of the best head of each kind is one more candidate. It is kept, as averages over views are,
only if its log loss is lower by more than one standard error. The winner's out-of-fold logits are the validation logits
that calibration and scores are taken from, and the winner is then fitted on all development images.

Shapes: N images, D features, K classes. Features stay memory-mapped and are read in chunks, so memory does not grow
with N, but for the kernel heads, whose N is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.calibration.temperature import fit_temperature
from clearsight.metrics import softmax
from clearsight.models.heads import hidden_head, kernel_head, mixed_head, softmax_head
from clearsight.models.network import AS_IT_IS
from clearsight.train.features import Averaged
from clearsight.train.halving import Trial, trial_of

Floats = NDArray[np.float32]
Rows = Floats | Averaged
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
Plan = tuple[str, tuple[int, ...], str, dict[str, float]]

KERNEL_LIMIT = 6000
"""Development images up to which kernel heads are tried: their cost grows with the square of the number."""

SELECT_LIMIT = 4000
"""Images on which candidates are compared; more would cost time and hardly change the choice."""

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""L2 of the softmax head, per image, on standardised features."""

BEYOND = 4
"""Settings tried beyond the grid, one after the other, where the best lies at its edge."""

MIXED = "softmax + kernel SVM"
"""The mean probability of the best softmax head and the best kernel head on the same features."""

KERNEL_GRID = ((3.0, 1.0), (10.0, 1.0), (10.0, 0.3))
"""Pairs (C, gamma D): penalty and width of the kernel."""


@dataclass(frozen=True)
class Targets:
    """Targets of heads: labels (N,), their weights (N,), and the number of classes."""

    labels: NDArray[np.int64]
    weights: Floats
    classes: int

    def of(self, rows: NDArray[np.int64]) -> Targets:
        """Those of some images."""
        return Targets(self.labels[rows], self.weights[rows], self.classes)


@dataclass(frozen=True)
class Candidate:
    """One head on one feature set, and what cross-validation made of it: accuracy and calibrated log loss."""

    features: str
    parts: tuple[int, ...]
    head: str
    setting: dict[str, float]
    accuracy: float
    log_loss: float
    views: tuple[str, ...] = AS_IT_IS

    def words(self) -> str:
        numbers = ", ".join(f"{k} {v:g}" for k, v in self.setting.items() if not k.startswith("temperature"))
        views = f", averaged over {len(self.views)} views ({', '.join(self.views)})" if len(self.views) > 1 else ""
        return f"{self.head} ({numbers}) on {self.features}{views}"


@dataclass(frozen=True)
class ProbeResult:
    """The chosen head, fitted on all development images, and the evidence.

    validation_indices (M,): positions of the validation images; logits (M, K): their logits by heads that had not seen
    them.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    head_spec: dict[str, Any]
    head: nn.Module
    validation_indices: NDArray[np.int64]
    logits: NDArray[np.float64]


def choose_head(
    parts: Sequence[Rows],
    feature_sets: dict[str, tuple[int, ...]],
    targets: Targets,
    folds: Sequence[Fold],
    everything: NDArray[np.int64],
    *,
    views: Mapping[tuple[str, ...], Callable[[], Sequence[Rows]]] | None = None,
    seed: int = 0,
    kernels: bool = True,
    only: Candidate | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeResult:
    """Cross-validate every candidate and fit the best on `everything`.

    parts: feature arrays (N, D_i), memory-mapped. feature_sets: name to the numbers of the parts it joins. folds,
    everything: positions into the N images. views: by the views they are averaged over, what gives the same features,
    on each of which the best candidate is tried once more. only: a candidate by whose features and setting a head is
    fitted, and no other tried, unless it is a kernel head for more images than these are tried for. progress: called
    with the candidates evaluated and those planned so far. The best has the highest
    accuracy; of equals, the lower calibrated log loss. More views are tried as long as they lower the log loss by more
    than one standard error and errors are left.
    """
    sample = proportional_sample(everything, targets.labels, SELECT_LIMIT, seed)
    trial = folds if len(everything) <= SELECT_LIMIT else folds[:1]
    trial = [(np.intersect1d(fit, sample), np.intersect1d(val_rows, sample)) for fit, val_rows in trial]
    kernels = kernels and len(everything) <= KERNEL_LIMIT
    if only is not None and only.head != "softmax" and not kernels:
        only = None
    search = _Search(parts, targets, sample, trial, progress)
    search.try_grid(_plans(feature_sets, kernels, only), beyond=only is None)
    search.try_views(views or {}, always=only is not None)
    if kernels and only is None:
        search.try_mixed()
    chosen, logits = search.found[search.winner], search.logits[search.winner]
    validation_indices = search.validation_indices
    features = StandardFeatures([search.seen[chosen.views][i] for i in chosen.parts], everything)
    if len(everything) > SELECT_LIMIT:
        validation_indices = folds[0][1]
        logits = _fitted(features, folds[0][0], targets, chosen.head, chosen.setting).outputs(
            features, validation_indices
        )
    spec, head = _fitted(features, everything, targets, chosen.head, chosen.setting).module(features)
    return ProbeResult(tuple(search.found), chosen, spec, head, validation_indices, logits)


class _Search:
    """Candidates evaluated so far, with their out-of-fold logits (M, K), and the position of the one to use.

    seen: the parts of the features by the views that they are averaged over.
    """

    def __init__(
        self,
        parts: Sequence[Rows],
        targets: Targets,
        sample: NDArray[np.int64],
        folds: Sequence[Fold],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.targets, self.sample, self.folds, self.progress = targets, sample, folds, progress
        self.validation_indices = np.concatenate([val_rows for _, val_rows in folds])
        self.truth = targets.labels[self.validation_indices]
        self.seen: dict[tuple[str, ...], Sequence[Rows]] = {AS_IT_IS: parts}
        self.found: list[Candidate] = []
        self.logits: list[NDArray[np.float64]] = []
        self.trials: list[Trial] = []
        self.planned, self.winner = 0, 0

    def try_grid(self, plans: Sequence[Plan], *, beyond: bool) -> None:
        """Evaluate the heads of a grid and, where the best is at its edge, some beyond it."""
        self.planned = len(plans)
        for _, same in groupby(plans, key=lambda plan: plan[:2]):
            self._evaluate(*same)
        self.winner = _best(self.found)
        for _ in range(BEYOND if beyond else 0):
            best = self.found[self.winner]
            further = _beyond(best, self.found)
            if further is None:
                break
            self.planned += 1
            self._evaluate((best.features, best.parts, best.head, further))
            self.winner = _best(self.found)

    def try_views(self, views: Mapping[tuple[str, ...], Callable[[], Sequence[Rows]]], *, always: bool) -> None:
        """Average the features of the best head over more views, as long as that is better than the noise."""
        best = self.found[self.winner]
        for names, compute in views.items():
            if not (always or self.trials[self.winner].may_improve):
                break
            self.seen[names] = compute()
            self.planned += 1
            self._evaluate((best.features, best.parts, best.head, best.setting), names=names)
            if not (always or self.trials[-1].beats(self.trials[self.winner])):
                break
            self.winner = len(self.found) - 1

    def try_mixed(self) -> None:
        """Evaluate the mean probability of the best heads of both kinds on the winner's features and views."""
        best = self.found[self.winner]
        if best.views != AS_IT_IS:
            other = self.found[_best_of(self.found, best.features, ALONE[best.head == ALONE[0]], AS_IT_IS)]
            self.planned += 1
            self._evaluate((best.features, best.parts, other.head, other.setting), names=best.views)
        both = [_best_of(self.found, best.features, kind, best.views) for kind in ALONE]
        setting, logits = _mix(self.found, self.logits, both, self.truth)
        self.planned += 1
        self._add(replace(best, head=MIXED, setting=setting), logits)
        if self.trials[-1].beats(self.trials[self.winner]):
            self.winner = len(self.found) - 1

    def _evaluate(self, *plans: Plan, names: tuple[str, ...] = AS_IT_IS) -> None:
        """Cross-validate heads on the same features, averaged over some views."""
        features = StandardFeatures([self.seen[names][i] for i in plans[0][1]], self.sample)
        for name, numbers, head, setting in plans:
            fitted = [(_fitted(features, fit, self.targets, head, setting), val_rows) for fit, val_rows in self.folds]
            logits = np.concatenate([one.outputs(features, val_rows) for one, val_rows in fitted])
            self._add(Candidate(name, numbers, head, setting, 0.0, 0.0, names), logits)

    def _add(self, candidate: Candidate, logits: NDArray[np.float64]) -> None:
        trial = trial_of(candidate.head, 0.0, len(self.sample), logits, self.truth)
        self.trials.append(trial)
        self.found.append(replace(candidate, accuracy=trial.accuracy, log_loss=trial.log_loss))
        self.logits.append(logits)
        if self.progress:
            self.progress(len(self.found), self.planned)


def _plans(feature_sets: dict[str, tuple[int, ...]], kernels: bool, only: Candidate | None) -> list[Plan]:
    """The candidates to evaluate: features, their parts, head and setting."""
    if only is not None:
        return [(only.features, only.parts, only.head, only.setting)]
    return [
        (name, sets, head, setting)
        for name, sets in feature_sets.items()
        for head, settings in _settings(kernels).items()
        for setting in settings
    ]


STEPS = {"L2": 10.0, "C": 3.0, "gamma D": 3.0}
"""By how much each setting of a head is changed at a time."""


def at_edge(chosen: Candidate, found: Sequence[Candidate]) -> bool:
    """Whether a softmax head was chosen with the weakest or the strongest L2 that was tried on its features."""
    return chosen.head == "softmax" and _beyond(chosen, found) is not None


def _beyond(chosen: Candidate, found: Sequence[Candidate]) -> dict[str, float] | None:
    """A setting past the edge of those tried, where the best head is at it; else None."""
    alike = [c.setting for c in found if c.head == chosen.head and c.features == chosen.features]
    for name, step in STEPS.items() if chosen.head in ALONE else ():
        if name not in chosen.setting:
            continue
        rest = {key: value for key, value in chosen.setting.items() if key != name}
        tried = [setting[name] for setting in alike if rest.items() <= setting.items()]
        value = chosen.setting[name]
        if value in (max(tried), min(tried)):
            further = value * step if value == max(tried) else value / step
            return {**chosen.setting, name: float(f"{further:.2g}")}
    return None


def _best_of(found: Sequence[Candidate], features: str, kind: str, views: tuple[str, ...]) -> int:
    """Position of the best head of a kind on some features, averaged over some views."""
    own = [i for i, c in enumerate(found) if (c.features, c.head, c.views) == (features, kind, views)]
    return min(own, key=lambda i: found[i].log_loss)


ALONE = ("softmax", "kernel SVM")
"""The kinds of head of which a mixed one consists, in this order."""


def _mix(
    found: Sequence[Candidate], logits: Sequence[NDArray[np.float64]], both: Sequence[int], truth: NDArray[np.int64]
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """The setting of a mixed head, with the temperatures of its heads, and its out-of-fold logits."""
    temperatures = [fit_temperature(logits[i], truth) for i in both]
    mean = np.mean([softmax(logits[i], t) for i, t in zip(both, temperatures, strict=True)], axis=0)
    setting = {**found[both[0]].setting, **found[both[1]].setting}
    setting |= {f"temperature {k + 1}": float(t) for k, t in enumerate(temperatures)}
    return setting, np.log(np.maximum(mean, 1e-30))


def _best(found: Sequence[Candidate]) -> int:
    return min(range(len(found)), key=lambda i: (-found[i].accuracy, found[i].log_loss))


def fit_softmax(
    parts: Sequence[Rows], chosen: NDArray[np.int64], targets: Targets, strength: float
) -> tuple[dict[str, Any], nn.Module]:
    """A softmax head on some images: the point from which fine-tuning starts."""
    features = StandardFeatures(parts, chosen)
    return _fitted(features, chosen, targets, "softmax", {"L2": strength}).module(features)


def _settings(kernels: bool) -> dict[str, list[dict[str, float]]]:
    settings = {"softmax": [{"L2": s} for s in STRENGTHS]}
    if kernels:
        settings["kernel SVM"] = [{"C": c, "gamma D": g} for c, g in KERNEL_GRID]
    return settings


class StandardFeatures:
    """Parts side by side, read in chunks and standardised; distances between images are computed once and kept."""

    def __init__(self, parts: Sequence[Rows], among: NDArray[np.int64], chunk: int = 512) -> None:
        self.parts, self.chunk = parts, chunk
        self.width = sum(p.shape[1] for p in parts)
        self.rows = among
        total, squares = np.zeros(self.width), np.zeros(self.width)
        for x in self._raw(among):
            total += x.sum(axis=0, dtype=np.float64)
            squares += np.square(x, dtype=np.float64).sum(axis=0)
        self.mean = total / len(among)
        deviation = np.sqrt(np.maximum(squares / len(among) - self.mean**2, 0))
        self.std = np.where(deviation > 1e-6, deviation, 1.0)
        self._distance: Floats | None = None

    def _raw(self, rows: NDArray[np.int64]) -> Any:
        for i in range(0, len(rows), self.chunk):
            yield np.concatenate([p[rows[i : i + self.chunk]] for p in self.parts], axis=1)

    def chunks(self, rows: NDArray[np.int64]) -> Any:
        """Standardised features (chunk, D) float32 of the rows, in order."""
        mean, std = self.mean.astype(np.float32), self.std.astype(np.float32)
        for x in self._raw(rows):
            x -= mean
            x /= std
            yield x

    def distances(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Floats:
        """Squared distances (len(a), len(b)) between rows."""
        from sklearn.metrics.pairwise import euclidean_distances

        if self._distance is None:
            self._distance = euclidean_distances(np.concatenate(list(self.chunks(self.rows))), squared=True)
        order = np.argsort(self.rows, kind="stable")
        pa = order[np.searchsorted(self.rows, a, sorter=order)]
        pb = order[np.searchsorted(self.rows, b, sorter=order)]
        return self._distance[np.ix_(pa, pb)]


@dataclass(frozen=True)
class FittedHead:
    """A head fitted to standardised features. bias (E,), and dense weights (E, D), or dual coefficients (E, S) of a
    radial basis kernel of width gamma and the rows (S,) of its support; or hidden layers, which have biases of their
    own.
    """

    bias: NDArray[np.floating]
    weight: NDArray[np.floating] | None = None
    dual: NDArray[np.float64] | None = None
    support: NDArray[np.int64] | None = None
    gamma: float = 0.0
    layers: nn.Sequential | None = None
    members: tuple[FittedHead, ...] = ()
    temperatures: tuple[float, ...] = ()

    def outputs(self, features: StandardFeatures, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """What it gives (len(rows), E) for some rows of the features."""
        if self.members:
            each = [
                softmax(member.outputs(features, rows), t)
                for member, t in zip(self.members, self.temperatures, strict=True)
            ]
            return np.asarray(np.log(np.maximum(np.mean(each, axis=0), 1e-30)))
        if self.weight is not None:
            weight = self.weight
            return np.concatenate([x @ weight.T + self.bias for x in features.chunks(rows)]).astype(np.float64)
        if self.layers is not None:
            with torch.inference_mode():
                return np.concatenate([self.layers(torch.from_numpy(x)).double() for x in features.chunks(rows)])
        assert self.dual is not None
        assert self.support is not None
        kernel = np.exp(-self.gamma * features.distances(rows, self.support))
        return np.asarray(kernel @ self.dual.T + self.bias)

    def module(self, features: StandardFeatures) -> tuple[dict[str, Any], nn.Module]:
        """The head as a module of features that are not standardised, and its spec."""
        if self.members:
            return mixed_head([member.module(features) for member in self.members], self.temperatures)
        if self.weight is not None:
            return softmax_head(self.weight, self.bias, features.mean, features.std)
        if self.layers is not None:
            return hidden_head(self.layers, features.mean, features.std)
        assert self.dual is not None
        assert self.support is not None
        z = np.concatenate(list(features.chunks(self.support)))
        return kernel_head(z, self.dual, self.bias, self.gamma, features.mean, features.std)


def _fitted(
    features: StandardFeatures, fit: NDArray[np.int64], targets: Targets, head: str, setting: dict[str, float]
) -> FittedHead:
    """A softmax or kernel head, or both, fitted to some rows."""
    if head == MIXED:
        members = tuple(_fitted(features, fit, targets, kind, setting) for kind in ALONE)
        temperatures = tuple(setting[f"temperature {k + 1}"] for k in range(len(members)))
        return FittedHead(np.zeros(0), members=members, temperatures=temperatures)
    if head == "softmax":
        w, b = _softmax_weights(features, fit, targets, setting["L2"])
        return FittedHead(b, weight=w)
    gamma = setting["gamma D"] / features.width
    support, dual, intercept = _kernel_weights(features, fit, targets, setting["C"], gamma)
    return FittedHead(intercept, dual=dual, support=support, gamma=gamma)


def _softmax_weights(
    features: StandardFeatures, fit: NDArray[np.int64], targets: Targets, strength: float
) -> tuple[Floats, Floats]:
    held = list(features.chunks(fit)) if len(fit) * features.width <= 2.5e7 else None  # 100 MB at most
    return linear_weights(
        lambda: held if held is not None else features.chunks(fit), features.width, targets.of(fit), strength
    )


def linear_weights(
    chunks: Callable[[], Iterable[Floats]],
    width: int,
    targets: Targets,
    strength: float,
    loss: str = "cross-entropy",
) -> tuple[Floats, Floats]:
    """Minimise the mean weighted loss + strength/2 |W|² over W (K, D) and b (K,) by L-BFGS, chunk by chunk.

    chunks: gives standardised features (chunk, D), those of all targets in order. loss: "cross-entropy", or "squared
    hinge", one against the rest, which makes it a linear support vector machine.
    """
    w = torch.zeros(targets.classes, width, requires_grad=True)
    b = torch.zeros(targets.classes, requires_grad=True)
    target, weight = torch.from_numpy(targets.labels), torch.from_numpy(targets.weights)
    total = float(weight.sum())
    optimiser = torch.optim.LBFGS(
        [w, b], max_iter=60, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def cost(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if loss == "cross-entropy":
            return nn.functional.cross_entropy(z, labels, reduction="none")
        side = 2 * nn.functional.one_hot(labels, targets.classes) - 1
        return (1 - side * z).clamp_min(0).square().sum(1)

    def closure() -> float:
        optimiser.zero_grad()
        penalty = strength / 2 * w.square().sum()
        penalty.backward()  # type: ignore[no-untyped-call]
        value, start = float(penalty.detach()), 0
        for x in chunks():
            end = start + len(x)
            each = cost(torch.from_numpy(x) @ w.T + b, target[start:end])
            part = (each * weight[start:end]).sum() / total
            part.backward()  # type: ignore[no-untyped-call]
            value, start = value + float(part.detach()), end
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return w.detach().numpy(), b.detach().numpy()


def _kernel_weights(
    features: StandardFeatures, fit: NDArray[np.int64], targets: Targets, c: float, gamma: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """One machine against the rest per class, one in all for two: support rows (S,), dual (K, S), intercept (K,)."""
    from sklearn.svm import SVC

    kernel = np.exp(-gamma * features.distances(fit, fit)).astype(np.float64)
    dual = np.zeros((targets.classes, len(fit)))
    intercept = np.zeros(targets.classes)
    for k in range(targets.classes if targets.classes > 2 else 1):
        machine = SVC(C=c, kernel="precomputed", cache_size=500)
        machine.fit(
            kernel, targets.labels[fit] == (k if targets.classes > 2 else 1), sample_weight=targets.weights[fit]
        )
        dual[k, machine.support_] = machine.dual_coef_[0]
        intercept[k] = machine.intercept_[0]
    if targets.classes == 2:
        dual[1], intercept[1] = dual[0], intercept[0]
        dual[0], intercept[0] = -dual[1], -intercept[1]
    used = np.flatnonzero(np.any(dual != 0, axis=0))
    return fit[used], dual[:, used], intercept


def proportional_sample(rows: NDArray[np.int64], labels: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    """At most `limit` rows, every class in proportion and with two rows at least."""
    if len(rows) <= limit:
        return rows
    rng = np.random.default_rng(seed)
    share = limit / len(rows)
    chosen = []
    for c in np.unique(labels[rows]):
        members = rng.permutation(rows[labels[rows] == c])
        chosen.append(members[: max(2, round(share * len(members)))])
    return np.sort(np.concatenate(chosen))
