"""Numerical against analytic gradient, per layer: finds a backward pass that is wrong.

In float64, a weight w is moved by +-h and the central difference (f(w + h) - f(w - h)) / 2h compared with what autograd
says [Bishop 2006, section 5.3.3; CS231n notes, "Gradient checks"]. Each tensor is checked at sampled entries, half of
them those with the largest analytic gradient, and along one random direction, which all its entries take part in.
Where the loss has a kink at the point or within h of it, as at the zero of a ReLU or where two inputs of a maximum
cross, the differences change with h or jump from left to right; such an entry is replaced by another.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

TOLERANCE = 1e-5
"""Relative error up to which a tensor is right. Central differences in float64 are good to 1e-9 of the loss; a wrong
formula is off by a few percent at least."""

KINK = 1e-5
"""Relative change of the difference when h is halved, or relative jump from left to right, from which there is a kink.
Smooth losses change by h^2, 1e-12."""

SMALLEST = 1e-3
"""Gradients below this share of the loss (of 1, if it is smaller) are compared as if they were as large: rounding in
the loss, 1e-15 of it, moves a difference by 1e-9."""

NUDGE = 1e-3
"""Standard deviation of what is added to every weight first: in a fresh network, whose biases are exactly zero, a dark
region of the image puts whole layers of ReLU units on their kink. A right backward pass is right nearby as well."""

TRIES = 4
"""Entries tried for each that is wanted."""


@dataclass(frozen=True)
class LayerCheck:
    """One tensor: entries compared, entries passed over for kinks, the largest relative error, and whether it is right.

    ok is False where not a single entry could be compared.
    """

    layer: str
    compared: int
    kinks: int
    error: float
    ok: bool


@dataclass(frozen=True)
class GradientCheck:
    """All tensors with a gradient, the images included (`input`), in the network's order."""

    rows: tuple[LayerCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether all gradients are right."""
        return all(row.ok for row in self.rows)

    @property
    def worst(self) -> LayerCheck:
        """The row with the largest error."""
        return max(self.rows, key=lambda row: row.error)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary with `ok` and `rows`.
        """
        return {"ok": self.ok, "rows": [asdict(row) for row in self.rows]}


def check_gradients(
    network: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    eps: float = 1e-6,
    per_tensor: int = 8,
    training: bool = False,
    recurse: bool = True,
    seed: int = 0,
) -> GradientCheck:
    """Compare the gradient of every trainable tensor, and of the images, with finite differences.

    The network is copied, converted to float64 and, unless `training` is set, put into evaluation mode, so batch
    normalisation uses its running statistics and nothing is dropped out. Its weights are moved a little, see `NUDGE`.

    Args:
        network: the network; to check a loss alone, pass `nn.Identity()` and logits as images.
        images: floats that the network takes, usually (N, C, H, W); a few suffice.
        targets: what the loss takes.
        loss: called as loss(output, targets); returns a number, or one per image, of which the mean is taken.
        eps: step of the central difference.
        per_tensor: entries checked per tensor.
        training: use training mode: batch statistics, and the same dropout in every evaluation.
        recurse: include the parameters of submodules; otherwise only the network's own.
        seed: random seed.

    Returns:
        The relative error of each tensor.

    Example:
        >>> net = torch.nn.Linear(3, 2)
        >>> x, y = torch.rand(4, 3), torch.tensor([0, 1, 0, 1])
        >>> check_gradients(net, x, y, torch.nn.functional.cross_entropy).ok
        True

    Reference:
        Bishop, "Pattern recognition and machine learning", 2006, section 5.3.3.
    """
    network = copy.deepcopy(network).double().train(training)
    images = images.detach().double().clone().requires_grad_()
    targets = targets.double() if targets.is_floating_point() else targets

    def value() -> torch.Tensor:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return loss(network(images), targets).mean()

    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn(p.shape, generator=noise, dtype=p.dtype), alpha=NUDGE)
    named = [(name, p) for name, p in network.named_parameters(recurse=recurse) if p.requires_grad]
    tensors = [*named, ("input", images)]
    base = value()
    slopes = torch.autograd.grad(base, [t for _, t in tensors], allow_unused=True)
    with torch.no_grad():
        probe = _Probe(value, float(base), eps)
        rows = [
            probe.tensor(name, tensor, torch.zeros_like(tensor) if slope is None else slope, per_tensor, noise)
            for (name, tensor), slope in zip(tensors, slopes, strict=True)
        ]
    return GradientCheck(tuple(rows))


class _Probe:
    """Differences of one loss around the present weights."""

    def __init__(self, value: Callable[[], torch.Tensor], base: float, eps: float) -> None:
        self.value, self.base, self.eps = value, base, eps
        self.floor = SMALLEST * max(1.0, abs(base))

    def tensor(
        self, name: str, tensor: torch.Tensor, slope: torch.Tensor, entries: int, noise: torch.Generator
    ) -> LayerCheck:
        n = tensor.numel()
        entries = min(entries, n)
        steepest = slope.flatten().abs().topk(min(n, TRIES * entries // 2)).indices.tolist()
        anywhere = torch.randperm(n, generator=noise)[: TRIES * entries].tolist()
        compared, kinks, error = 0, 0, 0.0
        for required, places in ((entries // 2, steepest), (entries, anywhere)):
            for place in places:
                if compared >= required:
                    break
                direction = torch.zeros(n, dtype=tensor.dtype)
                direction[place] = 1
                found = self.error(tensor, slope, direction.view(tensor.shape))
                if found is None:
                    kinks += 1
                else:
                    compared, error = compared + 1, max(error, found)
        for _ in range(TRIES):
            direction = torch.randn(tensor.shape, generator=noise, dtype=tensor.dtype)
            found = self.error(tensor, slope, direction / direction.norm())
            if found is not None:
                compared, error = compared + 1, max(error, found)
                break
        return LayerCheck(name, compared, kinks, error, bool(compared) and error <= TOLERANCE)

    def error(self, tensor: torch.Tensor, slope: torch.Tensor, direction: torch.Tensor) -> float | None:
        """Relative error of the slope along a direction of length 1; None at a kink, for a tenth of h as well."""
        numeric = self.difference(tensor, direction, self.eps)
        if numeric is None:
            numeric = self.difference(tensor, direction, self.eps / 10)
        if numeric is None:
            return None
        analytic = float((slope * direction).sum())
        return abs(numeric - analytic) / max(abs(numeric), abs(analytic), self.floor)

    def difference(self, tensor: torch.Tensor, direction: torch.Tensor, eps: float) -> float | None:
        """Central difference along a direction; None where there is a kink within eps."""
        before = tensor.detach().clone()
        sides = []
        for h in (eps, eps / 2):
            tensor.copy_(before + h * direction)
            right = (float(self.value()) - self.base) / h
            tensor.copy_(before - h * direction)
            left = (self.base - float(self.value())) / h
            sides.append((right, left))
        tensor.copy_(before)
        (right, left), (near_right, near_left) = sides
        wide, near = (right + left) / 2, (near_right + near_left) / 2
        jump = 2 * (near_right - near_left) - (right - left)  # curvature shrinks with h and drops out, a kink stays
        if max(abs(jump), abs(wide - near)) > KINK * abs(wide) + TOLERANCE * self.floor:
            return None
        return wide
