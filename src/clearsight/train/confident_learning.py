"""Label issues: labels that classifiers which had not seen the image contradict more often than chance allows.

The classifiers, a kernel machine and nearest neighbours, are fitted in folds of the training and validation images to
published features, or to pixels and oriented gradients; `label_noise` says what follows from their probabilities. The
test images' labels are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from clearsight.calibration.temperature import fit_temperature
from clearsight.data.duplicates import similar_pairs
from clearsight.data.loader import to_float
from clearsight.data.splits import Split
from clearsight.metrics import softmax
from clearsight.models.classical import build_descriptor
from clearsight.ood.scores import pooled
from clearsight.train.context import TrainContext
from clearsight.train.features import extract
from clearsight.train.head_search import Targets
from clearsight.train.label_issues import ConfusedClasses, LabelConflict, LabelIssue, LabelIssues
from clearsight.train.label_noise import label_noise, select
from clearsight.train.strategies.probe import new_probe
from clearsight.wording import count

Floats = NDArray[np.float32]
Probabilities = NDArray[np.float64]
Rows = NDArray[np.int64]

Numbers = Callable[[Rows], Floats]
"""Rows of images (n,) to features (n, D)."""

AXES = 64
"""Principal axes that features are reduced to, where there are more of them."""

LANDMARKS = 600
"""Images that the kernel machine compares others with, at most."""

RIDGES = {0.3: (1e-4, 1e-3, 1e-2), 1.0: (1e-3,)}
"""Widths of the kernel, as gamma D on features of unit variance, and strengths of L2 per image tried with each."""

NEIGHBOURS = 15

STORED = 3000
"""Images that neighbours are sought among, at most."""

EXAMINED = 50_000
"""Images that are examined, at most."""

FOLDS = 5
"""Parts of the images, at most; each is examined by what was fitted to the others."""

CONFUSED = 0.02
"""Least share of the images of two classes that are taken for the other, for the pair to be listed."""

PAIRS = 10
"""Pairs of classes listed, at most."""


def find_label_issues(context: TrainContext) -> LabelIssues | None:
    """Examine the labels that training may see; None where there are too few images."""
    data, split = context.data, context.data.split
    rows = np.sort(np.concatenate([split.train, split.val]))
    counts = np.bincount(data.labels[rows], minlength=context.classes)
    if context.classes < 2 or counts.min() < 2:
        least = data.dataset.classes[int(counts.argmin())]
        context.console.say(
            f"label issues: not searched for, because {least!r} has only {count(int(counts.min()), 'training image')}"
        )
        return None
    rows = np.sort(np.random.default_rng(context.config.run.seed).permutation(rows)[:EXAMINED])
    number = _fold_numbers(rows, split)
    numbers, on = _numbers(context)
    features = _reduced(numbers, rows)
    targets = Targets(data.labels[rows], data.weights[rows], context.classes)
    advance = context.console.stage("searching for label issues", "fits")
    p = out_of_fold(features, targets, number, seed=context.config.run.seed, progress=advance)
    labels, names = targets.labels, data.dataset.classes
    wrong, shown, false_share, noise = _evaluated(labels, p)
    found = [
        LabelIssue(
            int(rows[i]), data.dataset.source.name(int(rows[i])), names[labels[i]], names[other],
            float(p[i, labels[i]]), float(p[i, other]), float(wrong[i]),
        )
        for i, other in ((i, _other(p[i], int(labels[i]))) for i in shown.tolist())
    ]  # fmt: skip
    return LabelIssues(
        rows, f"a kernel machine and a nearest-neighbour classifier on {on}", tuple(found), false_share, noise,
        _confused(labels, p, names), _conflicts(context, rows, p), labels, p,
    )  # fmt: skip


def label_issues(labels: Rows, probabilities: Probabilities) -> Rows:
    """Positions of labels (N,) that are probably wrong by out-of-fold probabilities (N, K), the most probable first."""
    return _evaluated(labels, probabilities)[1]


def _evaluated(labels: Rows, probabilities: Probabilities) -> tuple[Probabilities, Rows, float, float]:
    """How probably each label is wrong (N,), positions of those to show, the expected share of these that are right,
    and the expected share of wrong labels. Classes without images do not matter.
    """
    present = np.unique(labels)
    if len(present) < 2:
        return np.zeros(len(labels)), np.zeros(0, np.int64), 0.0, 0.0
    among = probabilities[:, present] / probabilities[:, present].sum(1, keepdims=True)
    noise = label_noise(np.searchsorted(present, labels), among)
    shown, false_share = select(noise)
    return noise.wrong, shown, false_share, noise.share


def _other(p: Probabilities, label: int) -> int:
    """The most probable class (K,) beside a label."""
    return int(np.where(np.arange(len(p)) == label, -1, p).argmax())


def _confused(labels: Rows, p: Probabilities, names: tuple[str, ...]) -> tuple[ConfusedClasses, ...]:
    """Pairs of classes, the most confused first."""
    counts = np.bincount(labels, minlength=len(names))
    taken = np.zeros((len(names), len(names)), np.int64)
    np.add.at(taken, (labels, p.argmax(1)), 1)
    found = []
    for a, b in zip(*np.triu_indices(len(names), 1), strict=True):
        confused, images = int(taken[a, b] + taken[b, a]), int(counts[a] + counts[b])
        if confused > 1 and confused >= CONFUSED * images:
            found.append(ConfusedClasses((names[a], names[b]), confused, images))
    return tuple(sorted(found, key=lambda pair: -pair.confused / pair.images)[:PAIRS])


def _conflicts(context: TrainContext, rows: Rows, p: Probabilities) -> tuple[LabelConflict, ...]:
    """Duplicates with different labels. One of the two labels at least is improbable, as both images look alike and
    exact copies are in one fold: only those are compared with the others.
    """
    data = context.data
    labels, dataset = data.labels[rows], data.dataset
    improbable = rows[p[np.arange(len(rows)), labels] <= 0.6]
    found = []
    for i, j, exact in similar_pairs(data.pixels, improbable, rows):
        if data.labels[i] != data.labels[j]:
            images = dataset.source.name(i), dataset.source.name(j)
            words = dataset.classes[data.labels[i]], dataset.classes[data.labels[j]]
            found.append(LabelConflict((i, j), images, words, exact))
    return tuple(found)


def _fold_numbers(rows: Rows, split: Split) -> Rows:
    """The fold of each image (M,). Copies and groups stay together; more folds than `FOLDS` are joined."""
    number = np.zeros(len(rows), np.int64)
    for k, (_, val_rows) in enumerate(split.folds):
        number[np.isin(rows, val_rows)] = k % FOLDS
    return number


def _reduced(numbers: Numbers, rows: NDArray[np.int64]) -> Floats:
    """Features of these images (N, AXES) along their main axes, where there are many of them: the committee is the
    faster and sees less noise, and only some images are held whole.
    """
    from sklearn.decomposition import PCA

    some = numbers(rows[:: max(1, len(rows) // 5000)])
    parts = [rows[i : i + 1000] for i in range(0, len(rows), 1000)]
    if some.shape[1] <= AXES or len(rows) <= AXES:
        return np.concatenate([numbers(part) for part in parts])
    axes = PCA(AXES, svd_solver="randomized", random_state=0).fit(some)
    return np.concatenate([axes.transform(numbers(part)).astype(np.float32) for part in parts])


def _numbers(context: TrainContext) -> tuple[Numbers, str]:
    """The source of features for a kernel machine, and its name: never a network that was trained on these labels,
    which has learned the wrong ones too.
    """
    data = context.data
    if context.recipe.kind == "probe":
        probe = new_probe(context.recipe, context.data)
        everyone = np.sort(np.concatenate([data.split.train, data.split.val]))
        parts = extract(probe, data.pixels, everyone, device=context.device)

        def features(rows: NDArray[np.int64]) -> Floats:
            places = np.searchsorted(everyone, rows)
            return np.concatenate([part[places] for part in parts], axis=1)

        return features, "pretrained features"
    side = min(data.pixels.array.shape[2:])
    hog = build_descriptor("hog", {"cell": max(2, side // 4)}) if side >= 16 else None

    def views(rows: NDArray[np.int64]) -> Floats:
        found = []
        for i in range(0, len(rows), 256):
            images = to_float(data.pixels.array[rows[i : i + 256]])
            seen = [torch.from_numpy(pooled(images.numpy()))]
            if hog is not None:
                with torch.inference_mode():
                    seen.append(hog(images).flatten(1) * 4)
            found.append(torch.cat(seen, dim=1).numpy())
        return np.concatenate(found)

    return views, "pixels" + (" and HOG features" if hog is not None else "")


def out_of_fold(
    features: Floats, targets: Targets, number: Rows, *, seed: int = 0, progress: Callable[[int, int], None]
) -> Probabilities:
    """The mean calibrated probabilities (N, K) of a kernel machine and nearest neighbours, fitted to the other folds.

    features (N, D) in one unit, such as principal axes or pixels; number (N,): each image's fold.
    """
    x = (features - features.mean(0)) / max(1e-6, float(np.sqrt(features.var(0, dtype=np.float64).mean())))
    best, least, steps = np.zeros((len(x), targets.classes)), np.inf, 1 + len(RIDGES)
    for step, (gamma, strengths) in enumerate(RIDGES.items()):
        progress(step, steps)
        for scores in _ridges(x, targets, number, gamma / x.shape[1], strengths, seed):
            p = softmax(scores, fit_temperature(scores, targets.labels))
            loss = -np.log(np.maximum(p[np.arange(len(p)), targets.labels], 1e-12)).mean()
            if loss < least:
                best, least = p, loss
    progress(len(RIDGES), steps)
    votes = np.log(_votes(x, targets, number, seed))
    progress(steps, steps)
    return np.asarray((best + softmax(votes, fit_temperature(votes, targets.labels))) / 2)


def _ridges(
    x: Floats, targets: Targets, number: Rows, gamma: float, strengths: tuple[float, ...], seed: int
) -> Iterator[Probabilities]:
    """Scores (N, K) of regularised least squares on the classes' indicators, one for each strength, with the Gaussian
    kernel exp(-gamma d^2) to some landmarks [Williams, Seeger 2001, "Using the Nyström method to speed up kernel
    machines"].

    The normal equations of all images are summed once; leaving a fold out subtracts its own.
    """
    landmarks = x[np.sort(np.random.default_rng(seed).permutation(len(x))[:LANDMARKS])]
    among = np.exp(-gamma * _distances(landmarks, landmarks)).astype(np.float64)
    among[np.diag_indices_from(among)] += 1e-5
    root = np.linalg.cholesky(among)
    maps = np.ones((len(x), len(landmarks) + 1))
    for start in range(0, len(x), 2000):
        kernel = np.exp(-gamma * _distances(x[start : start + 2000], landmarks))
        maps[start : start + 2000, :-1] = solve_triangular(root, kernel.T, lower=True).T
    one_hot = np.eye(targets.classes)[targets.labels]
    weighted = maps * targets.weights[:, None]
    folds = [np.flatnonzero(number == k) for k in np.unique(number)]
    products = [weighted[rows].T @ maps[rows] for rows in folds]
    sums = [weighted[rows].T @ one_hot[rows] for rows in folds]
    product, total = np.sum(products, axis=0), np.sum(sums, axis=0)
    for strength in strengths:
        scores = np.zeros((len(x), targets.classes))
        for rows, own, part in zip(folds, products, sums, strict=True):
            left = product - own
            left[np.diag_indices_from(left)] += strength * (len(x) - len(rows))
            scores[rows] = maps[rows] @ cho_solve(cho_factor(left), total - part)
        yield scores


def _votes(x: Floats, targets: Targets, number: Rows, seed: int) -> Probabilities:
    """Shares of the classes (N, K) among the nearest images of other folds, one of each class counted in."""
    draw = np.random.default_rng(seed)
    stored = np.sort(draw.permutation(len(x))[:STORED])
    shares, one = np.zeros((len(x), targets.classes)), np.eye(targets.classes)[targets.labels]
    for k in np.unique(number):
        others = stored[number[stored] != k]
        nearest = min(NEIGHBOURS, len(others))
        rows = np.flatnonzero(number == k)
        for some in np.array_split(rows, 1 + len(rows) // 1000):
            away = _distances(x[some], x[others])
            close = np.argpartition(away, nearest - 1, axis=1)[:, :nearest]
            shares[some] = (one[others[close]].sum(1) + 1 / targets.classes) / (nearest + 1)
    return shares


def _distances(a: Floats, b: Floats) -> Floats:
    """Squared distances (n, m)."""
    return np.asarray(np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T, 0))
