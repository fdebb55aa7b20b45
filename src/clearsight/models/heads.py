"""Heads: from a feature vector (N, D) to logits (N, K), as part of the network, so that gradients reach the pixels."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.models.base import Component
from clearsight.schema import Check, anything, integer, listed, number, record, text, truth


class KernelHead(Component):
    """A support vector machine with a kernel; its support vectors are weights.

    f_k(x) = sum_s dual[k, s] K(z, support_s) + intercept[k],  z = (x - mean) / std   [Cortes, Vapnik 1995]

    gamma: of the radial basis kernel K(a, b) = exp(-gamma |a - b|²); 0 is the histogram intersection sum_d min(a_d,
    b_d). One function per class, against the rest (for two classes f_0 = -f_1); or, with pairs, one for each two
    classes (0, 1), (0, 2), ..., which vote. Support vectors S x D are shared by all.
    """

    gives_log_odds = False
    stored = ("support",)
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, features: int, classes: int, support: int, gamma: float, pairs: bool = False) -> None:
        super().__init__()
        self.gamma, self.classes, self.pairs = gamma, classes, pairs
        functions = classes * (classes - 1) // 2 if pairs else classes
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.support = nn.Parameter(torch.zeros(support, features))
        self.dual = nn.Parameter(torch.zeros(functions, support))
        self.intercept = nn.Parameter(torch.zeros(functions))

    def state_fault(self) -> str | None:
        return None if bool((self.std > 0).all()) else "standard deviations that are not above 0"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = (x - self.mean) / self.std
        if self.gamma:
            squared = (z**2).sum(1, keepdim=True) - 2 * z @ self.support.T + (self.support**2).sum(1)
            kernel = torch.exp(-self.gamma * squared.clamp_min(0))  # (N, S)
        else:
            kernel = intersection(z, self.support)
        found = kernel @ self.dual.T + self.intercept
        return _votes(found, self.classes) if self.pairs else found


def outside(indices: torch.Tensor, count: int, what: str) -> str | None:
    """A description of indices that are not from 0 to count - 1; None if all are."""
    if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= count):
        return f"{what} outside 0 to {count - 1:,}"
    return None


def intersection(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """What histograms share: the sum over d of min(a_id, b_jd), (N, D), (S, D) -> (N, S)."""
    if torch.jit.is_tracing() or torch.compiler.is_exporting():  # type: ignore[attr-defined, no-untyped-call]
        return torch.minimum(a[:, None], b).sum(2)  # a loop would fix the number of rows
    return torch.stack([torch.minimum(row, b).sum(1) for row in a])


def _votes(decisions: torch.Tensor, classes: int) -> torch.Tensor:
    """From decisions between pairs (N, K (K - 1) / 2), positive for the first class, to one number per class (N, K).

    Votes, and less than a third of one for the sum of the decisions, as in scikit-learn.
    """
    first, second = torch.triu_indices(classes, classes, 1, device=decisions.device)
    won = (decisions >= 0).to(decisions.dtype)
    votes = decisions.new_zeros(decisions.shape[0], classes)
    votes = votes.index_add(1, first, won).index_add(1, second, 1 - won)
    sums = decisions.new_zeros(decisions.shape[0], classes)
    sums = sums.index_add(1, first, decisions).index_add(1, second, -decisions)
    return votes + sums / (3 * (sums.abs() + 1))


class NeighbourHead(Component):
    """k nearest neighbours: the logarithm of each class's share of the k nearest examples, one more of each counted in.

    Distances are Euclidean between z = (x - mean) / std. Examples (S, D) and their labels (S,) are stored.
    """

    differentiable = False
    mean: torch.Tensor
    std: torch.Tensor
    examples: torch.Tensor
    labels: torch.Tensor

    def __init__(self, features: int, classes: int, examples: int, k: int) -> None:
        super().__init__()
        self.classes, self.k = classes, k
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("examples", torch.zeros(examples, features))
        self.register_buffer("labels", torch.zeros(examples, dtype=torch.int64))

    def state_fault(self) -> str | None:
        if not bool((self.std > 0).all()):
            return "standard deviations that are not above 0"
        if self.k > len(self.examples):
            return f"{self.k:,} neighbours among {len(self.examples):,} examples"
        return outside(self.labels, self.classes, "labels")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = (x - self.mean) / self.std
        nearest = (self.examples.square().sum(1) - 2 * z @ self.examples.T).topk(self.k, largest=False, sorted=False)
        votes = nn.functional.one_hot(self.labels[nearest.indices], self.classes).sum(1)
        return ((votes + 1 / self.classes) / (self.k + 1)).log()


class ForestHead(Component):
    """Decision trees as arrays: T trees of up to M nodes, leaves holding V numbers that are added up over the trees.

    At an inner node x[feature] <= threshold goes left, else right; a leaf points to itself. V = K: every tree holds a
    probability per class, and the logits are the logarithm of the mean (random forest [Breiman 2001]). V = 1: tree
    t adds to the logit of class t mod K (gradient boosting [Friedman 2001]); for two classes all add to class 1.
    """

    differentiable = False
    feature: torch.Tensor
    threshold: torch.Tensor
    below: torch.Tensor
    value: torch.Tensor
    start: torch.Tensor

    def __init__(self, classes: int, trees: int, nodes: int, depth: int, values: int) -> None:
        super().__init__()
        self.classes, self.depth = classes, depth
        self.register_buffer("feature", torch.zeros(trees, nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(trees, nodes, dtype=torch.float64))
        self.register_buffer("below", torch.zeros(trees, nodes, 2, dtype=torch.int64))
        self.register_buffer("value", torch.zeros(trees, nodes, values))
        self.register_buffer("start", torch.zeros(classes))

    def state_fault(self) -> str | None:
        trees, nodes, values = self.value.shape
        if values not in (1, self.classes) or (values == 1 and self.classes > 2 and trees % self.classes):
            return f"{values:,} values per leaf in {trees:,} trees for {self.classes:,} classes"
        return outside(self.below, nodes, "nodes") or outside(self.feature, 2**31, "features")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tree = torch.arange(len(self.feature), device=x.device)
        node = torch.zeros(x.shape[0], len(tree), dtype=torch.int64, device=x.device)
        wide = x.double()
        for _ in range(self.depth):
            right = wide.gather(1, self.feature[tree, node]) > self.threshold[tree, node]
            node = self.below[tree, node, right.long()]
        leaves = self.value[tree, node]  # (N, T, V)
        if leaves.shape[2] > 1:
            return leaves.mean(1).clamp_min(1e-6).log()
        sums = leaves[..., 0].double()
        if self.classes == 2:
            total = sums.sum(1) / 2
            return torch.stack([-total, total], 1).to(x.dtype) + self.start
        return sums.view(x.shape[0], -1, self.classes).sum(1).to(x.dtype) + self.start


class Reduced(nn.Module):
    """Features projected on their main axes, (N, D) -> (N, d), and a head on these."""

    def __init__(self, features: int, to: int, head: dict[str, Any]) -> None:
        super().__init__()
        self.project = nn.Linear(features, to)
        self.head = build_head(head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.project(x))  # type: ignore[no-any-return]


class MixedHead(nn.Module):
    """Several heads on the same features: the log of the mean (N, K) of their calibrated probabilities softmax(z / T).

    heads: a spec of each. temperatures: T of each.
    """

    def __init__(self, heads: Sequence[dict[str, Any]], temperatures: Sequence[float]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(build_head(spec) for spec in heads)
        self.temperatures = list(temperatures)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return log_mean_probability([head(x) for head in self.heads], self.temperatures)


def log_mean_probability(logits: Sequence[torch.Tensor], temperatures: Sequence[float]) -> torch.Tensor:
    """Log of the mean of softmax(z / T) over several networks or heads.

    Args:
        logits: logits (N, K) of each network.
        temperatures: T of each network, above 0.

    Returns:
        Log probabilities (N, K).
    """
    log_probabilities = [(z / t).log_softmax(dim=1) for z, t in zip(logits, temperatures, strict=True)]
    return torch.stack(log_probabilities).logsumexp(dim=0) - math.log(len(log_probabilities))


def hidden_layers(features: int, classes: int, widths: Sequence[int]) -> nn.Sequential:
    """Dense layers of these widths with ReLU behind each, and one of logits: (N, features) -> (N, classes)."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((features, *widths)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


SIZE: Check = integer(1, 2**31)
"""Of a tensor's axis; whether it fits the tensors of a file is checked when the network is built."""


def head_spec(value: Any, place: str) -> None:
    """Check the spec of a head.

    Args:
        value: the spec.
        place: where it is.

    Raises:
        BundleError: a value is invalid.
    """
    record({"kind": text(*_HEADS)})(value, place)
    _HEADS[value["kind"]][0](value, place)


def _mixed_spec(value: Any, place: str) -> None:
    record({"heads": listed(head_spec, least=1), "temperatures": anything})(value, place)
    listed(number(1e-6, 1e6), len(value["heads"]))(value["temperatures"], f"{place}.temperatures")


_SIZES: dict[str, Check] = {"features": SIZE, "classes": SIZE}

_FOREST: dict[str, Check] = {
    "classes": SIZE, "trees": SIZE, "nodes": SIZE, "depth": integer(0, 10_000), "values": SIZE,
}  # fmt: skip

_HEADS: dict[str, tuple[Check, Callable[..., nn.Module]]] = {
    "softmax": (record(_SIZES), lambda features, classes: nn.Linear(features, classes)),
    "hidden": (record({**_SIZES, "widths": listed(SIZE, least=1)}), hidden_layers),
    "kernel": (record({**_SIZES, "support": SIZE, "gamma": number(0)}, {"pairs": truth}), KernelHead),
    "neighbours": (record({**_SIZES, "examples": SIZE, "k": SIZE}), NeighbourHead),
    "forest": (record(_FOREST), ForestHead),
    "reduced": (record({"features": SIZE, "to": SIZE, "head": head_spec}), Reduced),
    "mixed": (_mixed_spec, MixedHead),
}
"""Of each kind of head, the check of its spec and what builds it."""


def build_head(spec: dict[str, Any]) -> nn.Module:
    """The head that a spec describes, with empty weights. spec: `kind`, a key of `_HEADS`, and the arguments of it."""
    return _HEADS[spec["kind"]][1](**{key: value for key, value in spec.items() if key != "kind"})


def softmax_head(
    weight: NDArray[Any], bias: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]
) -> tuple[dict[str, Any], nn.Linear]:
    """A dense layer (K, D) learned on standardised features, standardisation folded in: W/std, b - W mean/std."""
    head = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight / std))
        head.bias.copy_(torch.from_numpy(bias - (weight * (mean / std)).sum(axis=1)))
    return {"kind": "softmax", "features": weight.shape[1], "classes": weight.shape[0]}, head


def hidden_head(layers: nn.Sequential, mean: NDArray[Any], std: NDArray[Any]) -> tuple[dict[str, Any], nn.Sequential]:
    """`hidden_layers` learned on standardised features, standardisation folded into the first layer."""
    head = copy.deepcopy(layers)
    dense = [layer for layer in head if isinstance(layer, nn.Linear)]
    first = dense[0]
    with torch.no_grad():
        weight = first.weight.double() / torch.from_numpy(std)
        first.bias.copy_(first.bias - weight @ torch.from_numpy(mean))
        first.weight.copy_(weight)
    widths = [layer.out_features for layer in dense[:-1]]
    spec = {"kind": "hidden", "features": first.in_features, "classes": dense[-1].out_features, "widths": widths}
    return spec, head


def mixed_head(
    members: Sequence[tuple[dict[str, Any], nn.Module]], temperatures: Sequence[float]
) -> tuple[dict[str, Any], MixedHead]:
    """A mixed head of fitted heads, each with its spec."""
    spec = {"kind": "mixed", "heads": [own for own, _ in members], "temperatures": list(temperatures)}
    head = MixedHead([], temperatures)
    head.heads.extend(member for _, member in members)
    return spec, head


def kernel_head(
    support: NDArray[Any],
    dual: NDArray[Any],
    intercept: NDArray[Any],
    gamma: float,
    mean: NDArray[Any],
    std: NDArray[Any],
) -> tuple[dict[str, Any], KernelHead]:
    """A kernel head from its support vectors (S, D), already standardised, and dual coefficients (K, S)."""
    spec = {
        "kind": "kernel",
        "features": support.shape[1],
        "classes": dual.shape[0],
        "support": support.shape[0],
        "gamma": gamma,
    }
    head = KernelHead(support.shape[1], dual.shape[0], support.shape[0], gamma)
    with torch.no_grad():
        for tensor, values in (
            (head.support, support),
            (head.dual, dual),
            (head.intercept, intercept),
            (head.mean, mean),
            (head.std, std),
        ):
            tensor.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)))
    return spec, head
