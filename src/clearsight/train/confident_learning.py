"""Labels that are probably wrong: what machines that had not seen an image make of it, against its label.

Confident learning [Northcutt, Jiang, Chuang 2021, "Confident learning: estimating uncertainty in dataset labels"], by
Cleanlab, on the mean out-of-fold belief of three machines about the training and validation images. The test images'
labels are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.calibration.temperature import fit_temperature
from clearsight.data.loader import to_float
from clearsight.metrics import softmax
from clearsight.models.classical import build_descriptor
from clearsight.ood.scores import pooled
from clearsight.train.classifiers import Setting, fit_classifier
from clearsight.train.context import TrainContext
from clearsight.train.features import extract
from clearsight.train.head_search import Fold, Targets
from clearsight.train.label_issues import LabelIssue, LabelIssues
from clearsight.train.strategies.probe import new_probe

Floats = NDArray[np.float32]

Numbers = Callable[[NDArray[np.int64]], Floats]
"""Rows of images (n,) to features (n, D)."""

AXES = 64
"""Principal axes that features are reduced to, where there are more of them."""

FITTED = 3000
"""Images that each of the machines is fitted to at most; the others are judged all the same."""

COMMITTEE: dict[str, Setting] = {"rbf": {"C": 1, "gamma D": 1}, "forest": {"trees": 100}, "knn": {"k": 15}}
"""Three machines of different kinds: what one of them takes for a wrong label is often its own mistake."""

DOUBTED = 0.2
"""The most that may be believed in a label that is doubted."""

JUDGED = 50_000
"""Images that are looked at, at most."""

FOLDS = 5
"""Parts in which they are judged by what was fitted on the others, at most."""


def find_label_issues(job: TrainContext) -> LabelIssues | None:
    """Look for wrong labels among the images that training may see; None where there is too little to judge by."""
    data, split = job.data, job.data.split
    rows = np.sort(np.concatenate([split.train, split.val]))
    counts = np.bincount(data.labels[rows], minlength=job.classes)
    if job.classes < 2 or counts.min() < 2:
        least = data.dataset.classes[int(counts.argmin())]
        job.console.say(f"looking for wrong labels: left out, as {least!r} has {counts.min()} image(s) to learn from")
        return None
    rows = np.sort(np.random.default_rng(job.config.run.seed).permutation(rows)[:JUDGED])
    numbers, on = _numbers(job)
    features = _reduced(numbers, rows)
    targets = Targets(data.labels[rows], data.weights[rows], job.classes)
    folds = [(_places(rows, fit), _places(rows, judge)) for fit, judge in split.folds]
    if len(folds) > FOLDS:  # more and smaller parts would only cost more fits
        joined = [np.concatenate([judge for _, judge in folds[k::FOLDS]]) for k in range(FOLDS)]
        folds = [(np.setdiff1d(np.arange(len(rows)), judge), np.sort(judge)) for judge in joined]
    labels, belief = targets.labels, _committee(job, features, targets, folds)
    found = [
        LabelIssue(
            int(rows[i]), data.dataset.source.name(int(rows[i])), data.dataset.classes[labels[i]],
            data.dataset.classes[best], float(belief[i, labels[i]]), float(belief[i, best]),
        )
        for i in label_issues(labels, belief)
        if (best := int(belief[i].argmax())) != labels[i] and belief[i, labels[i]] < DOUBTED
    ]  # fmt: skip
    return LabelIssues(rows, f"a kernel machine, a forest and nearest neighbours on {on}", tuple(found))


def label_issues(labels: NDArray[np.int64], belief: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of labels (N,) that are probably wrong by out-of-fold beliefs (N, K), the least believed first."""
    from cleanlab.filter import find_label_issues

    present = np.unique(labels)
    number = np.searchsorted(present, labels)
    among = belief[:, present] / belief[:, present].sum(1, keepdims=True)
    if len(present) < 2:
        return np.zeros(0, np.int64)
    issues = find_label_issues(number, among, return_indices_ranked_by="self_confidence", n_jobs=1)
    return np.asarray(issues, np.int64)


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


def _places(rows: NDArray[np.int64], some: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(rows, some))


def _numbers(job: TrainContext) -> tuple[Numbers, str]:
    """What gives numbers that a kernel machine can judge images by, and what they are: never those of a network that
    was trained on these labels, which has learned the wrong ones too.
    """
    data = job.data
    if job.recipe.kind == "probe":
        probe = new_probe(job.recipe)
        everyone = np.sort(np.concatenate([data.split.train, data.split.val]))
        parts = extract(probe, data.pixels, everyone, device=job.device)

        def features(rows: NDArray[np.int64]) -> Floats:
            places = np.searchsorted(everyone, rows)
            return np.concatenate([part[places] for part in parts], axis=1)

        return features, "published features"
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

    return views, "pixels" + (" and oriented gradients" if hog is not None else "")


def _committee(job: TrainContext, features: Floats, targets: Targets, folds: Sequence[Fold]) -> NDArray[np.float64]:
    """The mean of the calibrated beliefs of all members about every image, each by one that had not seen it (N, K).

    features: in one unit, as principal axes and grids of pixels are; axes of few images are as many as these.
    """
    seed = job.config.run.seed
    draw = np.random.default_rng(seed)
    parts = [(np.sort(draw.permutation(fit)[:FITTED]), judge) for fit, judge in folds]
    advance = job.console.stage("looking for wrong labels", "fits")
    beliefs: list[NDArray[np.float64]] = []
    fits = len(COMMITTEE) * len(parts)
    for classifier, setting in COMMITTEE.items():
        logits = np.zeros((len(targets.labels), targets.classes))
        for number, (fit, judge) in enumerate(parts):
            advance(len(beliefs) * len(parts) + number, fits)
            _, head = fit_classifier(classifier, features[fit], targets.of(fit), setting, seed=seed, together=True)
            with torch.inference_mode():
                for rows in np.array_split(judge, 1 + len(judge) // 512):
                    logits[rows] = head(torch.from_numpy(features[rows])).double().numpy()
        beliefs.append(softmax(logits, fit_temperature(logits, targets.labels)))
    advance(fits, fits)
    return np.asarray(np.mean(beliefs, axis=0))
