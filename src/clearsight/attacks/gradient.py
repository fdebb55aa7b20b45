"""Attacks that follow the gradient: FGSM and PGD, in the L-infinity and the L2 norm, targeted or not.

They stand below training, which may train on adversarial images; `attacks` measures what they do to a finished model.

x (N, C, H, W) float32 in [0, 1]; labels (N,), the true classes, or those to reach when targeted; epsilon is a distance
in these pixels: the largest change of any one (linf), or the Euclidean length of all changes of an image (l2). Every
result lies in [0, 1] and within epsilon of x. `batch` bounds the images in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from clearsight.errors import ConfigError

Norm = Literal["linf", "l2"]
Progress = Callable[[int, int], None]


def fgsm(
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    *,
    norm: Norm = "linf",
    targeted: bool = False,
    batch: int = 64,
) -> torch.Tensor:
    """One step of length epsilon up the loss, or down to a target's [Goodfellow, Shlens, Szegedy 2015, section 4].

    Args:
        network: maps images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W), float32 in [0, 1].
        labels: class indices (N,).
        epsilon: largest change, at least 0, for pixels in [0, 1].
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.
        targeted: labels are classes to reach, not the true ones.
        batch: batch size, in images.

    Returns:
        Adversarial images, same shape as `x`, in [0, 1].
    """
    check(epsilon, norm)
    moved = [
        (part + epsilon * steepest(_gradient(network, part, goal, targeted), norm)).clamp(0, 1)
        for part, goal in zip(torch.split(x, batch), torch.split(labels, batch), strict=True)
    ]
    return torch.cat(moved)


def pgd(
    network: nn.Module,
    x: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
    *,
    steps: int = 20,
    step: float | None = None,
    norm: Norm = "linf",
    targeted: bool = False,
    seed: int | None = 0,
    start: torch.Tensor | None = None,
    batch: int = 64,
    progress: Progress | None = None,
) -> torch.Tensor:
    """Steps up the loss, each brought back to within epsilon [Madry et al. 2018, section 2.1].

    Args:
        network: maps images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W), float32 in [0, 1].
        labels: class indices (N,).
        epsilon: largest change, at least 0, for pixels in [0, 1].
        steps: number of steps, at least 1.
        step: length of a step, 2.5 epsilon / steps unless given.
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.
        targeted: labels are classes to reach, not the true ones.
        seed: of a random start within epsilon; None starts at x.
        start: where to begin instead, as x.
        batch: batch size, in images.
        progress: called after each step with the number of gradients done and of all; one is of one image and step.

    Returns:
        Adversarial images, same shape as `x`, in [0, 1].

    Raises:
        ConfigError: the number of steps is below 1.
    """
    check(epsilon, norm)
    if steps < 1:
        raise ConfigError(f"the number of attack steps is {steps}", expected="1 or more")
    length = 2.5 * epsilon / steps if step is None else step
    if start is None:
        start = x if seed is None else random_start(x, epsilon, norm, seed)
    found = []
    parts = zip(torch.split(x, batch), torch.split(labels, batch), torch.split(start, batch), strict=True)
    done = 0
    for part, goal, begun in parts:
        moved = begun
        for _ in range(steps):
            moved = moved + length * steepest(_gradient(network, moved, goal, targeted), norm)
            moved = project(moved.clamp(0, 1), part, epsilon, norm)
            done += len(part)
            if progress:
                progress(done, steps * len(x))
        found.append(moved)
    return torch.cat(found)


def random_start(x: torch.Tensor, epsilon: float, norm: Norm, seed: int) -> torch.Tensor:
    """A point drawn evenly from the ball of radius epsilon around each image, cut to [0, 1].

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        epsilon: largest change, at least 0, for pixels in [0, 1].
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.
        seed: random seed.

    Returns:
        Images of the same shape as `x`, in [0, 1].
    """
    generator = torch.Generator().manual_seed(seed)
    if norm == "linf":
        noise = epsilon * (2 * torch.rand(x.shape, generator=generator) - 1)
    else:
        direction = torch.randn(x.shape, generator=generator).flatten(1)
        radius = torch.rand(len(x), 1, generator=generator) ** (1 / direction.shape[1])
        noise = (epsilon * radius * direction / direction.norm(dim=1, keepdim=True)).view(x.shape)
    return (x + noise.to(x)).clamp(0, 1)


def project(moved: torch.Tensor, x: torch.Tensor, epsilon: float, norm: Norm) -> torch.Tensor:
    """The nearest points within epsilon of x.

    Args:
        moved: changed images, same shape as `x`.
        x: images (N, C, H, W), float32 in [0, 1].
        epsilon: largest change, at least 0, for pixels in [0, 1].
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.

    Returns:
        Images of the same shape as `x`.

    Example:
        >>> project(torch.full((1, 1, 1, 1), 0.9), torch.full((1, 1, 1, 1), 0.5), 0.25, "linf").item()
        0.75
    """
    change = moved - x
    if norm == "linf":
        cut: torch.Tensor = x + change.clamp(-epsilon, epsilon)
        return cut
    length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    within: torch.Tensor = x + change * (epsilon / length.clamp_min(1e-12)).clamp_max(1)
    return within


def steepest(gradient: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The steepest direction of length 1 in a norm.

    Args:
        gradient: gradients (N, C, H, W).
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.

    Returns:
        Directions of the same shape.
    """
    if norm == "linf":
        return gradient.sign()
    length: torch.Tensor = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return gradient / (length + 1e-12)


def _gradient(network: nn.Module, x: torch.Tensor, labels: torch.Tensor, targeted: bool) -> torch.Tensor:
    """Of the cross-entropy of the logits; downwards when targeted."""
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        loss = F.cross_entropy(network(x), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, x)
    return -gradient if targeted else gradient


def check(epsilon: float, norm: str) -> None:
    """Raise ConfigError for a norm that does not exist, and an epsilon out of its range.

    Args:
        epsilon: largest change, at least 0, for pixels in [0, 1].
        norm: "linf", the largest change of a pixel, or "l2", the Euclidean length of all changes.

    Raises:
        ConfigError: the norm does not exist, or epsilon is out of range.
    """
    if norm not in ("linf", "l2"):
        raise ConfigError(f"unknown norm {norm!r}", expected="linf or l2")
    if not epsilon >= 0 or (norm == "linf" and epsilon > 1):
        raise ConfigError(
            f"epsilon is {epsilon:g}",
            expected="0 to 1, the range of pixel values, such as 8/255" if norm == "linf" else "0 or more",
        )
