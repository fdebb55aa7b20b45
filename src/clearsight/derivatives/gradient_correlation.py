"""Shattered gradients: how alike the gradients of nearby inputs are, against depth [Balduzzi et al. 2017,
arXiv:1702.08591].

Inputs lie at equal distances on a line; at each, the gradient of the output with respect to the input is taken. In a
shallow rectifier network the gradients of neighbours resemble each other, as a Brownian path does from step to step; in
a deep one without skips they resemble white noise, and a step that helps one image says nothing of the next. The
measure is their autocorrelation against the lag.

Shapes: n points on the line, D numbers of an input, L lags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.console import Console, Silent
from clearsight.errors import ConfigError
from clearsight.json_values import json_values
from clearsight.models.network import frozen
from clearsight.models.zoo import build_model
from clearsight.result import Result

Floats = NDArray[np.float64]

KINDS = {
    "plain": "dense layers with ReLU",
    "bn": "with batch normalisation",
    "residual": "with batch normalisation and skip connections",
    "scaled": "like residual, with block outputs scaled by 0.1",
}
SCALE = {"residual": 1.0, "scaled": 0.1}
"""What a block's output is multiplied by before it joins the skip: the paper's beta."""

WIDTH = 200
"""Units of every hidden layer, as in the paper."""

DEPTHS = (2, 10, 24, 50)
RANGE = (-2.0, 2.0)
"""Ends of the line of inputs, as in the paper."""

POINTS = 256


@dataclass(frozen=True)
class Row:
    """One kind of network at one depth: the autocorrelation (L,) of its gradients at lags 0, 1, ..., averaged over
    networks, their standard error (L,), and the gradients (n,) of the first network, scaled to a deviation of 1; those
    of images are projected on their main axis. networks: how many had gradients that change along the line.
    """

    kind: str
    depth: int
    autocorrelation: Floats
    error: Floats
    gradients: Floats
    networks: int


SHOWN_LAGS = (1, 2, 5, 10)
"""Lags that are printed."""


@dataclass(frozen=True, repr=False, eq=False)
class GradientCorrelation(Result):
    """Similarity of the gradients of nearby inputs: rows, and the values of white and Brownian noise for the same
    number of points.

    inputs: what the line of inputs is, in words. points: n.
    """

    rows: tuple[Row, ...]
    inputs: str
    points: int
    white: Floats
    brownian: Floats

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {
            "inputs": self.inputs, "points": self.points,
            "rows": [
                {
                    "kind": r.kind, "depth": r.depth, "networks": r.networks,
                    "autocorrelation": r.autocorrelation, "standard_error": r.error,
                }
                for r in self.rows
            ],
            "white": self.white, "brownian": self.brownian,
        }  # fmt: skip
        return dict(json_values(found))

    def text(self) -> str:
        """The autocorrelation at a few lags: of each network, and of noise."""
        lags = [k for k in SHOWN_LAGS if k < len(self.white)]
        width = max(12, *(len(row.kind) for row in self.rows))
        lines = [f"autocorrelation of gradients at {self.points} {self.inputs}\n"]
        lines.append(f"  {'':<{width}} layers  " + " ".join(f"lag {k:<3}" for k in lags))
        for row in self.rows:
            values = " ".join(f"{row.autocorrelation[k]:z7.2f}" for k in lags)
            lines.append(f"  {row.kind:<{width}} {row.depth:>6}  {values}")
        for name, noise in (("white noise", self.white), ("Brownian path", self.brownian)):
            lines.append(f"  {name:<{width + 7}}  " + " ".join(f"{noise[k]:z7.2f}" for k in lags))
        return "\n".join(lines)


def autocorrelation(series: Floats, lags: int) -> Floats:
    """Autocorrelation along a line: r_k = sum_i <g_i - m, g_(i+k) - m> / sum_i |g_i - m|^2, m the mean.

    Args:
        series: values (n,) or vectors (n, D).
        lags: largest lag.

    Returns:
        Coefficients (lags + 1,); nan if all values are equal.

    Example:
        >>> autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), 1).tolist()
        [1.0, -0.75]
    """
    g = np.asarray(series, np.float64).reshape(len(series), -1)
    g = g - g.mean(0)
    total = float((g * g).sum())
    if total == 0:
        return np.full(lags + 1, np.nan)
    return np.array([float((g[: len(g) - k] * g[k:]).sum()) / total for k in range(lags + 1)])


def noise_autocorrelation(points: int, lags: int) -> tuple[Floats, Floats]:
    """Expected autocorrelation of white noise and of a Brownian path.

    With C the covariance of the path less its mean, it is sum_i C_(i, i+k) / sum_i C_ii: C = J J^T for white noise and
    J M J^T for a Brownian path, where M_ij = min(i, j) and J subtracts the mean.

    Args:
        points: number of points on the line.
        lags: largest lag.

    Returns:
        Coefficients (lags + 1,) of white noise and of a Brownian path.
    """
    n = np.arange(1, points + 1)
    centring = np.eye(points) - 1 / points
    found = []
    for covariance in (np.eye(points), np.minimum.outer(n, n).astype(np.float64)):
        c = centring @ covariance @ centring.T
        found.append(np.array([np.trace(c, offset=k) for k in range(lags + 1)]) / np.trace(c))
    return found[0], found[1]


class DenseNet1d(nn.Module):
    """A network of the paper: one number to one number through `depth` hidden layers with ReLU, (n, 1) to (n, 1).

    Weights are drawn as by He, N(0, 2 / inputs), and biases from N(0, 1 / inputs): without biases, a plain network with
    one input has its only kink at 0. "bn" normalises before each ReLU; "residual" and "scaled" compute x + beta W
    relu(bn(x)) in every layer but the first.

    Args:
        kind: "plain", "bn", "residual" or "scaled".
        depth: number of hidden layers, 1 or more.
        generator: source of random numbers.
        width: units per hidden layer.
    """

    def __init__(self, kind: str, depth: int, generator: torch.Generator, width: int = WIDTH) -> None:
        super().__init__()
        self.kind = kind
        sides = [1, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sides))
        self.last = nn.Linear(width, 1)
        norms = 0 if kind == "plain" else depth
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(norms))
        with torch.no_grad():
            for layer in (*self.layers, self.last):
                inputs = layer.weight.shape[1]
                layer.weight.normal_(0, (2 / inputs) ** 0.5, generator=generator)
                layer.bias.normal_(0, (1 / inputs) ** 0.5, generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layers[0](x)
        for number, layer in enumerate(self.layers[1:]):
            active = (self.norms[number](x) if len(self.norms) else x).relu()
            x = x + SCALE[self.kind] * layer(active) if self.kind in SCALE else layer(active)
        if len(self.norms):
            x = self.norms[-1](x)
        return self.last(x.relu())  # type: ignore[no-any-return]


def gradients_along(network: nn.Module, x: torch.Tensor, *, output: int | None = None, batch: int = 64) -> Floats:
    """Gradients of a network's output with respect to each input.

    The running statistics of batch normalisation are first set to those of all inputs, so every gradient is that of the
    same function.

    Args:
        network: the network.
        x: inputs (n, ...).
        output: index of the logit; None for the sum of all.
        batch: inputs per pass.

    Returns:
        Gradients (n, D).
    """
    settle(network, x)
    found = []
    with frozen(network), torch.enable_grad():
        for part in torch.split(x, batch):
            inputs = part.detach().clone().requires_grad_()
            y = network(inputs)
            total = y.sum() if output is None else y[:, output].sum()
            (gradient,) = torch.autograd.grad(total, inputs)
            found.append(gradient.flatten(1).double().numpy())
    return np.concatenate(found)


def settle(network: nn.Module, x: torch.Tensor) -> None:
    """Set the running statistics of batch normalisation to those of the inputs.

    Args:
        network: the network, changed in place.
        x: inputs (n, ...), processed in one pass.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    usual = [m.momentum for m in norms]
    network.eval()
    for m in norms:
        m.momentum, m.training = 1.0, True
    try:
        with torch.no_grad():
            network(x)
    finally:
        for m, momentum in zip(norms, usual, strict=True):
            m.momentum, m.training = momentum, False


def gradient_correlation(
    depths: Sequence[int] = DEPTHS,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    networks: int = 10,
    points: int = POINTS,
    lags: int = 15,
    seed: int = 0,
    console: Console | None = None,
) -> GradientCorrelation:
    """The experiment of the paper: fully connected networks at initialisation, on inputs from -2 to 2.

    Args:
        depths: numbers of hidden layers, each 1 or more.
        kinds: kinds of networks: "plain", "bn", "residual", "scaled".
        networks: number of networks averaged for each kind and depth.
        points: number of inputs.
        lags: largest lag.
        seed: random seed.
        console: shows progress; None for none.

    Returns:
        Autocorrelations for each kind and depth, with those of white and Brownian noise.

    Raises:
        ConfigError: an option is out of range, or a kind is unknown.

    Reference:
        Balduzzi et al., "The shattered gradients problem", 2017, arXiv:1702.08591.
    """
    unknown = [k for k in kinds if k not in KINDS]
    if unknown:
        raise ConfigError(f"unknown kind of network {unknown[0]!r}", expected=", ".join(KINDS))
    if not depths or min(depths) < 1:
        raise ConfigError(
            "invalid numbers of hidden layers in --depths", found=list(depths), expected="numbers of 1 or more"
        )
    _checked(networks, points, lags)
    advance = (console or Silent()).stage("computing gradients", "networks")
    x = torch.linspace(*RANGE, points)[:, None]
    rows = []
    total, done = len(kinds) * len(depths) * networks, 0
    for kind in kinds:
        for depth in depths:
            paths = []
            for number in range(networks):
                generator = torch.Generator().manual_seed(seed * networks + number)
                paths.append(gradients_along(DenseNet1d(kind, depth, generator), x, batch=points))
                done += 1
                advance(done, total)
            rows.append(_row(kind, depth, paths, lags))
    words = f"inputs from {RANGE[0]:g} to {RANGE[1]:g}"
    return GradientCorrelation(tuple(rows), words, points, *noise_autocorrelation(points, lags))


def correlation_between(
    models: Sequence[str],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    *,
    networks: int = 10,
    points: int = POINTS,
    lags: int = 15,
    seed: int = 0,
    console: Console | None = None,
) -> GradientCorrelation:
    """The same measure for networks of the registry at initialisation, on the line from one image to another.

    The images are normalised to mean 0 and deviation 1; the output is the sum of ten logits.

    Args:
        models: names of networks.
        first: image (C, S, S) in [0, 1].
        second: image (C, S, S) in [0, 1].
        networks: number of networks averaged for each name.
        points: number of images on the line.
        lags: largest lag.
        seed: random seed.
        console: shows progress; None for none.

    Returns:
        Autocorrelations for each network, with those of white and Brownian noise.

    Raises:
        ConfigError: an option is out of range.
    """
    _checked(networks, points, lags)
    advance = (console or Silent()).stage("computing gradients", "networks")
    ends = torch.from_numpy(np.stack([first, second]).astype(np.float32))
    ends = (ends - ends.mean()) / ends.std().clamp_min(1e-6)
    share = torch.linspace(0, 1, points)[:, None, None, None]
    x = (1 - share) * ends[0] + share * ends[1]
    rows = []
    for place, name in enumerate(models):
        paths = []
        for number in range(networks):
            torch.manual_seed(seed * networks + number)
            network = build_model(name, classes=10, channels=x.shape[1], img_size=x.shape[2])
            paths.append(gradients_along(network, x))
            advance(place * networks + number + 1, len(models) * networks)
        rows.append(_row(name, layers_deep(network), paths, lags))
    return GradientCorrelation(
        tuple(rows), "interpolations between two images", points, *noise_autocorrelation(points, lags)
    )


def layers_deep(network: nn.Module) -> int:
    """Number of layers with weights, including 1x1 convolutions on shortcuts.

    Args:
        network: the network.

    Returns:
        The number of convolutions and dense layers.
    """
    return sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules())


def _row(kind: str, depth: int, paths: Sequence[Floats], lags: int) -> Row:
    curves = np.stack([autocorrelation(p, lags) for p in paths])
    known = curves[np.isfinite(curves).all(1)]
    nothing = np.full(lags + 1, np.nan)
    mean = known.mean(0) if len(known) else nothing
    error = known.std(0, ddof=1) / np.sqrt(len(known)) if len(known) > 1 else nothing
    centred = paths[0] - paths[0].mean(0)
    path = centred[:, 0] if centred.shape[1] == 1 else centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    deviation = float(path.std())
    return Row(kind, depth, mean, error, path / deviation if deviation > 0 else path, len(known))


def _checked(networks: int, points: int, lags: int) -> None:
    if networks < 1:
        raise ConfigError(f"--networks is {networks}", expected="1 or more")
    if not 1 <= lags < points - 1:
        raise ConfigError(f"cannot compute {lags} lags from {points} points", expected=f"from 1 to {points - 2} lags")
