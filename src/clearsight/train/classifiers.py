"""Classifiers over fixed features, scikit-learn's and one of our own, each turned into a head of a network.

    spec, head = fit_classifier("forest", features, targets, {"trees": 300}, seed=0)
    head(features)                                   # logits, without scikit-learn

features (N, D) float32; what a head computes equals scikit-learn's answer, so a saved model needs no scikit-learn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.models.heads import ForestHead, KernelHead, NeighbourHead, Reduced, kernel_head, softmax_head
from clearsight.train.head_search import Targets, linear_weights

Floats = NDArray[np.float32]
Setting = dict[str, float]
Made = tuple[dict[str, Any], nn.Module]

AXES = 150
"""Principal axes that features are reduced to first, for classifiers whose cost or memory grows with their number."""

LANDMARKS = 2000
"""Points whose kernel values with an example are its features in `nystroem`."""

MANY = 20_000
"""Images from which costly classifiers are fitted with one setting, without a choice."""

COSTLY = ("rbf", "nystroem", "intersection")
"""Classifiers whose cost grows faster than the number of images, or is high from the start."""

ONE_CORE = ("rbf", "intersection")
"""Classifiers whose fit keeps one core busy, whatever the machine has."""

NEVER = -1e6
"""Logit of a class that had no training images."""

SETTINGS: dict[str, list[Setting]] = {
    "softmax": [{"L2": s} for s in (1e-4, 1e-3, 1e-2, 1e-1)],
    "svm": [{"L2": s} for s in (1e-3, 1e-2, 1e-1, 1)],
    "perceptron": [{"passes": 20}],
    "rbf": [{"C": 10, "gamma D": g} for g in (2, 1, 0.3)] + [{"C": 3, "gamma D": 1}],
    "nystroem": [{"L2": 1e-6, "gamma D": 2}, {"L2": 1e-5, "gamma D": 1}, {"L2": 1e-3, "gamma D": 0.5}],
    "intersection": [{"C": c} for c in (1, 10, 100)],
    "knn": [{"k": k} for k in (1, 3, 5, 9, 15)],
    "forest": [{"trees": 200}],
    "boosting": [{"rounds": 100, "rate": 0.1}],
}
"""What is tried for each classifier; the validation images choose."""


def settings_of(classifier: str, images: int) -> list[Setting]:
    """The settings to try for so many training images."""
    found = SETTINGS[classifier]
    return found[:1] if classifier in COSTLY and images > MANY else found


@dataclass(frozen=True)
class Task:
    """What a classifier is fitted to: features x (N, D), their mean and scale (D,), labels, and how."""

    x: Floats
    mean: Floats
    scale: Floats
    targets: Targets
    setting: Setting
    seed: int

    @property
    def z(self) -> Floats:
        """The features standardised."""
        return (self.x - self.mean) / self.scale


def fit_classifier(
    name: str, x: Floats, targets: Targets, setting: Setting, *, seed: int, same_scale: bool = False
) -> Made:
    """A head's spec and the head, fitted to features (N, D) of labelled images.

    same_scale: the features are in one unit and keep their proportions when they are standardised. That of principal
    axes: brought to one deviation, the last axes would count as much as the first, and distances would be noise.
    """
    x = np.asarray(x, np.float32)
    if name in ("rbf", "nystroem", "knn", "boosting") and x.shape[1] > AXES:
        return _reduced(name, x, targets, setting, seed)
    variance = x.var(0, dtype=np.float64)
    variance = np.full_like(variance, variance.mean()) if same_scale else variance
    scale = np.where(variance > 1e-12, np.sqrt(variance), 1)
    mean = x.mean(0, dtype=np.float64)
    task = Task(x, mean.astype(np.float32), scale.astype(np.float32), targets, setting, seed)
    fits: dict[str, Callable[[Task], Made]] = {
        "softmax": _linear("cross-entropy"), "svm": _linear("squared hinge"), "perceptron": _perceptron, "rbf": _rbf,
        "nystroem": _nystroem, "intersection": _intersection, "knn": _neighbours, "forest": _forest,
        "boosting": _boosting,
    }  # fmt: skip
    return fits[name](task)


def _reduced(name: str, x: Floats, targets: Targets, setting: Setting, seed: int) -> Made:
    """The classifier on the features' principal axes."""
    from sklearn.decomposition import PCA

    axes = min(AXES, len(x), x.shape[1])
    solver = "covariance_eigh" if axes < x.shape[1] < min(len(x), 4000) else "randomized"
    found = PCA(axes, svd_solver=solver, random_state=seed).fit(x)
    spec, head = fit_classifier(name, found.transform(x), targets, setting, seed=seed, same_scale=True)
    whole = {"kind": "reduced", "features": x.shape[1], "to": axes, "head": spec}
    made = Reduced(x.shape[1], axes, spec)
    with torch.no_grad():
        made.project.weight.copy_(torch.from_numpy(found.components_))
        made.project.bias.copy_(torch.from_numpy(-found.components_ @ found.mean_))
    made.head = head
    return whole, made


def _linear(loss: str) -> Callable[[Task], Made]:
    def fit(task: Task) -> Made:
        z = task.z
        w, b = linear_weights(lambda: [z], z.shape[1], task.targets, task.setting["L2"], loss)
        return softmax_head(w, b, task.mean, task.scale)

    return fit


def _perceptron(task: Task) -> Made:
    from sklearn.linear_model import Perceptron

    machine = Perceptron(max_iter=int(task.setting["passes"]), random_state=task.seed, tol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a perceptron on classes that overlap never converges
        machine.fit(task.z, task.targets.labels, sample_weight=task.targets.weights)
    w, b = machine.coef_, machine.intercept_
    if len(machine.classes_) == 2:
        w, b = np.concatenate([-w, w]), np.concatenate([-b, b])
    weight, bias = np.zeros((task.targets.classes, w.shape[1])), np.full(task.targets.classes, NEVER)
    weight[machine.classes_], bias[machine.classes_] = w, b
    return softmax_head(weight, bias, task.mean, task.scale)


def _rbf(task: Task) -> Made:
    gamma = task.setting["gamma D"] / task.x.shape[1]
    return _machine(task.z, task.targets, task.setting["C"], gamma, task.mean, task.scale)


def _intersection(task: Task) -> Made:
    return _machine(task.x, task.targets, task.setting["C"], 0.0, 0 * task.mean, np.ones_like(task.scale))


def _machine(z: Floats, targets: Targets, c: float, gamma: float, mean: Floats, std: Floats) -> Made:
    """A support vector machine for each two classes. gamma 0: the histogram-intersection kernel."""
    from sklearn.svm import SVC

    from clearsight.models.heads import intersection

    if gamma:
        machine = SVC(C=c, gamma=gamma, cache_size=1000)
        machine.fit(z, targets.labels, sample_weight=targets.weights)
    else:
        x = torch.tensor(z)  # a copy: z may be a file that cannot be written to
        kernel = intersection(x, x).double().numpy()
        machine = SVC(C=c, kernel="precomputed", cache_size=1000)
        machine.fit(kernel, targets.labels, sample_weight=targets.weights)
    support, classes = z[machine.support_], targets.classes
    known = machine.classes_  # those with training images
    if classes == 2:
        dual, intercept = np.concatenate([-machine.dual_coef_, machine.dual_coef_]), machine.intercept_[0]
        return kernel_head(support, dual, np.array([-intercept, intercept]), gamma, mean, std)
    ends = np.cumsum(machine.n_support_)
    of_class = [slice(end - n, end) for end, n in zip(ends, machine.n_support_, strict=True)]
    dual = np.zeros((classes * (classes - 1) // 2, len(support)))
    intercept = np.zeros(len(dual))
    numbers = {pair: i for i, pair in enumerate(zip(*np.triu_indices(classes, 1), strict=True))}
    pair = 0
    sign = -1 if len(known) == 2 else 1  # of two classes scikit-learn's decision is positive for the second
    for i in range(len(known)):
        for j in range(i + 1, len(known)):
            place = numbers[known[i], known[j]]
            dual[place, of_class[i]] = sign * machine.dual_coef_[j - 1, of_class[i]]
            dual[place, of_class[j]] = sign * machine.dual_coef_[i, of_class[j]]
            intercept[place] = sign * machine.intercept_[pair]
            pair += 1
    spec = {
        "kind": "kernel", "features": z.shape[1], "classes": classes, "support": len(support), "gamma": gamma,
        "pairs": True,
    }  # fmt: skip
    head = KernelHead(z.shape[1], classes, len(support), gamma, pairs=True)
    _fill(head, support=support, dual=dual, intercept=intercept, mean=mean, std=std)
    return spec, head


def _nystroem(task: Task) -> Made:
    """The kernel machine's linear form on some landmarks [Williams, Seeger 2001], folded into a kernel head.

    Where there are more examples than landmarks, k-means chooses these, which comes closer to the kernel than examples
    at random [Zhang, Tsang, Kwok 2008].
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.kernel_approximation import Nystroem

    z = task.z
    gamma, landmarks = task.setting["gamma D"] / z.shape[1], z
    if len(z) > LANDMARKS:
        means = MiniBatchKMeans(
            LANDMARKS, init="random", n_init=1, batch_size=4096, max_iter=5, random_state=task.seed
        ).fit(z)
        landmarks = means.cluster_centers_
    maps = Nystroem(gamma=gamma, n_components=len(landmarks), random_state=task.seed).fit(landmarks)
    features = maps.transform(z).astype(np.float32)
    w, b = linear_weights(lambda: [features], features.shape[1], task.targets, task.setting["L2"], "squared hinge")
    return kernel_head(maps.components_, w @ maps.normalization_, b, gamma, task.mean, task.scale)


def _neighbours(task: Task) -> Made:
    z = task.z
    k = min(int(task.setting["k"]), len(z))
    spec = {"kind": "neighbours", "features": z.shape[1], "classes": task.targets.classes, "examples": len(z), "k": k}
    head = NeighbourHead(z.shape[1], task.targets.classes, len(z), k)
    _fill(head, examples=z, labels=task.targets.labels, mean=task.mean, std=task.scale)
    return spec, head


def _forest(task: Task) -> Made:
    from sklearn.ensemble import RandomForestClassifier

    found = RandomForestClassifier(
        int(task.setting["trees"]), max_leaf_nodes=1000, min_samples_leaf=2, random_state=task.seed, n_jobs=-1
    )
    found.fit(task.x, task.targets.labels, sample_weight=task.targets.weights)
    known = found.classes_
    trees = []
    for tree in (e.tree_ for e in found.estimators_):
        value = np.zeros((tree.node_count, task.targets.classes))
        value[:, known] = tree.value[:, 0] / tree.value[:, 0].sum(1, keepdims=True)
        trees.append((tree.feature, tree.threshold, tree.children_left, tree.children_right, value, tree.max_depth))
    return _trees(trees, task.targets.classes, np.zeros(task.targets.classes))


def _boosting(task: Task) -> Made:
    from sklearn.ensemble import HistGradientBoostingClassifier

    found = HistGradientBoostingClassifier(
        max_iter=int(task.setting["rounds"]),
        learning_rate=task.setting["rate"],
        early_stopping=False,
        random_state=task.seed,
    )
    x, labels, present = task.x, task.targets.labels, np.unique(task.targets.labels)
    if len(present) < task.targets.classes:  # a class without training images has one, of no weight
        missing = np.setdiff1d(np.arange(task.targets.classes), present)
        x = np.concatenate([x, np.repeat(x[:1], len(missing), 0)])
        labels = np.concatenate([labels, missing])
    weights = np.concatenate([task.targets.weights, np.full(len(labels) - len(task.targets.weights), 1e-6, np.float32)])
    found.fit(x, labels, sample_weight=weights)
    trees = []
    for round_ in found._predictors:
        for predictor in round_:
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
            left[leaf], right[leaf] = -1, -1
            threshold = nodes["num_threshold"].astype(np.float64)
            depth = int(nodes["depth"].max())
            trees.append((nodes["feature_idx"], threshold, left, right, nodes["value"][:, None], depth))
    start = np.ravel(found._baseline_prediction)
    if task.targets.classes == 2:
        start = np.array([-start[0], start[0]]) / 2
    return _trees(trees, task.targets.classes, start)


def _trees(trees: list[tuple[Any, ...]], classes: int, start: NDArray[np.float64]) -> Made:
    """Trees as (feature, threshold, left, right, value, depth) into one head; a leaf's children become itself."""
    nodes = max(len(tree[0]) for tree in trees)
    depth, values = max(1, *(tree[5] for tree in trees)), trees[0][4].shape[1]
    spec = {
        "kind": "forest", "classes": classes, "trees": len(trees), "nodes": nodes, "depth": depth, "values": values,
    }  # fmt: skip
    head = ForestHead(classes, len(trees), nodes, depth, values)
    for t, (feature, threshold, left, right, value, _) in enumerate(trees):
        n, own = len(feature), np.arange(len(feature))
        leaf = left < 0
        below = np.stack([np.where(leaf, own, left), np.where(leaf, own, right)], 1)
        head.feature[t, :n] = torch.from_numpy(np.where(leaf, 0, feature).astype(np.int64))
        head.threshold[t, :n] = torch.from_numpy(np.where(leaf, np.inf, threshold))
        head.below[t, :n] = torch.from_numpy(below.astype(np.int64))
        head.value[t, :n] = torch.from_numpy(value.astype(np.float32))
    _fill(head, start=start)
    return spec, head


def _fill(head: nn.Module, **arrays: NDArray[Any]) -> None:
    """Copy arrays into a head's tensors of the same names."""
    with torch.no_grad():
        for name, array in arrays.items():
            getattr(head, name).copy_(torch.from_numpy(np.ascontiguousarray(array)))
