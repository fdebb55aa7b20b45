"""A linear classifier draws a straight boundary, an MLP a smooth curve, and trees a staircase along the axes.

Two features of an image, so that the decision boundary can be drawn: the two main axes of the digits, of which one
digit lies among the others. No line separates it from them; a curve and a staircase do so far better.

Source: Hastie, Tibshirani, Friedman 2009, The Elements of Statistical Learning, sections 2.3, 9.2 and 11.3; Breiman
2001, Random forests. The classifiers are those that `clearsight train --model pixels+softmax` and the like are made of.
"""

import numpy as np
import torch
from sklearn.decomposition import PCA

from clearsight.train.classifiers import fit_classifier, settings_of
from clearsight.train.head_search import Targets
from clearsight.train.hidden_head import fit_hidden
from clearsight.wording import percent
from gallery import Found, digits, main, plt

INSIDE = 5
"""The digit that lies in the middle of the plane."""


def study(short: bool, seed: int) -> Found:
    data = digits(seed=seed)
    flat = data.pixels[:, 0].reshape(len(data.pixels), -1).astype(np.float64)
    plane = PCA(2, random_state=0).fit(flat[data.train]).transform(flat).astype(np.float32) / 10
    labels = (data.labels == INSIDE).astype(np.int64)
    rng = np.random.default_rng(seed)

    def balanced(rows):
        """As many of the others as of the one."""
        own, others = rows[labels[rows] == 1], rows[labels[rows] == 0]
        return np.sort(np.concatenate([own, rng.permutation(others)[: len(own)]]))

    train, held = balanced(data.train), balanced(data.val)
    targets = Targets(labels[train], np.ones(len(train), np.float32), 2)
    rows = np.arange(len(train))
    heads = {
        "linear": fit_classifier("softmax", plane[train], targets, settings_of("softmax", len(train))[0], seed=seed)[1],
        "MLP": fit_hidden([plane[train]], rows, targets, (16, 16), 1e-3, seed)[1],
        "trees": fit_classifier("forest", plane[train], targets, settings_of("forest", len(train))[0], seed=seed)[1],
    }

    low, high = plane.min(0) - 0.3, plane.max(0) + 0.3
    sides = [np.linspace(a, b, 120 if short else 300, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*sides), -1)
    maps, right, corners = {}, {}, {}
    for name, head in heads.items():
        with torch.no_grad():
            maps[name] = head(torch.from_numpy(grid.reshape(-1, 2))).argmax(1).numpy().reshape(grid.shape[:2])
            right[name] = float((head(torch.from_numpy(plane[held])).argmax(1).numpy() == labels[held]).mean())
        corners[name] = _bend(maps[name])

    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.8), sharex=True, sharey=True)
    for axis, (name, found) in zip(axes, maps.items(), strict=True):
        axis.contourf(*sides, found, levels=(-0.5, 0.5, 1.5), colors=("#f1e4d8", "#d9e6f2"))
        for k, colour in ((0, "#a84a08"), (1, "#0b62a4")):
            axis.plot(*plane[held][labels[held] == k].T, ".", color=colour, markersize=4)
        axis.set_title(f"{name}: {percent(right[name])} of held-out digits")
        axis.set(xlabel="first main axis")
        axis.grid(False)
    axes[0].set_ylabel("second main axis")

    return Found(
        figure,
        {f"held-out accuracy, {name}": f"{percent(share)}" for name, share in right.items()}
        | {f"boundary away from a straight line, {name}": f"{value:.3f}" for name, value in corners.items()}
        | {f"boundary along the axes for six places or more, {n}": f"{percent(_along(m))}" for n, m in maps.items()},
        {
            "the linear boundary is a straight line": corners["linear"] < 0.005,
            "the MLP's and the trees' are not": min(corners["MLP"], corners["trees"]) > 0.02,
            "that of the trees runs along the axes, that of the MLP does less": _along(maps["trees"])
            > _along(maps["MLP"]) + 0.1,
            "no line separates the digit: the others are right ten points more often": min(right["MLP"], right["trees"])
            > right["linear"] + 0.1,
        },
    )


def _edges(found):
    """Where neighbours differ, across and down."""
    return found[:, 1:] != found[:, :-1], found[1:] != found[:-1]


def _bend(found):
    """Distance of the places on the boundary from the straight line that fits them best, by the size of the plane."""
    across, down = _edges(found)
    points = np.concatenate([np.argwhere(one) + np.array(half) for one, half in ((across, (0, 0.5)), (down, (0.5, 0)))])
    if len(points) < 3:
        return 0.0
    points = points - points.mean(0)
    return float(np.linalg.svd(points, compute_uv=False)[-1] / np.sqrt(len(points)) / max(found.shape))


def _along(found):
    """Share of the boundary in straight runs of six places or more along an axis."""
    whole = long = 0
    for lines in (_edges(found)[0].T, _edges(found)[1]):
        for line in lines:
            runs = np.diff(np.flatnonzero(np.diff(np.r_[0, line.astype(int), 0])))[::2]
            whole, long = whole + int(runs.sum()), long + int(runs[runs >= 6].sum())
    return long / max(1, whole)


if __name__ == "__main__":
    raise SystemExit(main(study))
