"""Heatmaps from the gradient of a class's logit with respect to the pixels.

All functions: network maps x (N, C, H, W) float32 in [0, 1] to logits (N, K); `classes` (N,) says whose logit is
explained; `batch` bounds the images in memory, whatever the number of images, samples or steps; the result is
(N, C, H, W) per pixel and channel, but (N, h, w) for Grad-CAM. The network's parameters take no gradient and are left
as they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from clearsight.errors import ModelError
from clearsight.models.base import ModelNetwork, capture, forward_hooks
from clearsight.models.feature_maps import as_maps
from clearsight.models.layer_probe import layer_name
from clearsight.models.network import InputLayer, frozen
from clearsight.train.batch_norm import folded_norms
from clearsight.train.hardware import kept_memory
from clearsight.train.loop import layout_for

Progress = Callable[[int, int], None]

ENOUGH_PLACES = 16
"""Places that a layer's maps should resolve. On digits of 8x8 pixels the last maps are 2x2 and show next to nothing:
faithfulness on training images 0.02, and 0.10 one stage earlier (two seeds, 60 images each).
"""


def saliency(network: nn.Module, x: torch.Tensor, classes: torch.Tensor, *, batch: int = 8) -> torch.Tensor:
    """Absolute gradient of a class's logit with respect to the pixels.

    Args:
        network: images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W) in [0, 1].
        classes: class indices (N,).
        batch: images per pass.

    Returns:
        Heatmaps (N, C, H, W), at least 0.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        >>> heat = saliency(net, torch.rand(1, 1, 2, 2), torch.tensor([1]))
        >>> bool((heat.flatten() == net[1].weight[1].abs()).all())
        True

    Reference:
        Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2014, arXiv:1312.6034.
    """
    with frozen(network):
        return torch.cat([_gradient(network, *part).abs() for part in _parts(batch, x, classes)])


def smoothgrad(
    network: nn.Module,
    x: torch.Tensor,
    classes: torch.Tensor,
    *,
    samples: int = 50,
    noise: float = 0.1,
    seed: int = 0,
    batch: int = 8,
    progress: Progress | None = None,
) -> torch.Tensor:
    """Mean absolute gradient over noisy copies of each image.

    Copies may leave [0, 1]: clipping them would change their distribution. The noise depends on the seed and the number
    of the sample alone.

    Args:
        network: images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W) in [0, 1].
        classes: class indices (N,).
        samples: copies per image.
        noise: standard deviation of the noise, as a share of the image's range (max - min).
        seed: random seed.
        batch: images per pass.
        progress: called as progress(done, total); None for none.

    Returns:
        Heatmaps (N, C, H, W), at least 0.

    Reference:
        Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017, arXiv:1706.03825.
    """
    total = torch.zeros_like(x)
    deviation = noise * (x.amax((1, 2, 3)) - x.amin((1, 2, 3)))
    pairs = [(i, sample) for i in range(len(x)) for sample in range(samples)]
    with fast_gradients(network, x[:1]):
        for start in range(0, len(pairs), batch):
            chosen = pairs[start : start + batch]
            rows = torch.tensor([i for i, _ in chosen], device=x.device)
            grain = torch.stack([gaussian(x.shape[1:], seed, sample) for _, sample in chosen]).to(x)
            moved = x[rows] + deviation[rows].view(-1, 1, 1, 1) * grain
            total.index_add_(0, rows, _gradient(network, moved, classes[rows]).abs())
            if progress:
                progress(min(len(pairs), start + batch), len(pairs))
    return total / samples


def gaussian(shape: torch.Size, seed: int, number: int) -> torch.Tensor:
    """Standard normal noise that is the same on any machine.

    Args:
        shape: shape of the noise.
        seed: random seed.
        number: number of the sample.

    Returns:
        The noise, float32.
    """
    rng = np.random.default_rng([seed, number])
    return torch.from_numpy(rng.standard_normal(tuple(shape), np.float32))


def integrated_gradients(
    network: nn.Module,
    x: torch.Tensor,
    classes: torch.Tensor,
    *,
    baseline: torch.Tensor | None = None,
    steps: int = 50,
    batch: int = 8,
    progress: Progress | None = None,
) -> torch.Tensor:
    """Integrated Gradients: (x - baseline) times the mean gradient on the line from the baseline to x.

    The integral is taken by Gauss-Legendre quadrature. The heatmap sums to the logit of the image less that of the
    baseline, up to the error of the quadrature.

    Args:
        network: images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W) in [0, 1].
        classes: class indices (N,).
        baseline: image (C, H, W), or one per image; None for black.
        steps: points of the quadrature.
        batch: images per pass.
        progress: called as progress(done, total); None for none.

    Returns:
        Heatmaps (N, C, H, W), with positive and negative values.

    Reference:
        Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", 2017, arXiv:1703.01365.
    """
    start_image = torch.zeros_like(x) if baseline is None else baseline.expand_as(x)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    alphas, shares = torch.tensor((nodes + 1) / 2).to(x), torch.tensor(weights / 2).to(x)
    total = torch.zeros_like(x)
    pairs = [(i, step) for i in range(len(x)) for step in range(steps)]
    with fast_gradients(network, x[:1]):
        for start in range(0, len(pairs), batch):
            rows, at = (torch.tensor(part, device=x.device) for part in zip(*pairs[start : start + batch], strict=True))
            alpha = alphas[at].view(-1, 1, 1, 1)
            points = start_image[rows] + alpha * (x[rows] - start_image[rows])
            found = _gradient(network, points, classes[rows]) * shares[at].view(-1, 1, 1, 1)
            total.index_add_(0, rows, found)
            if progress:
                progress(min(len(pairs), start + batch), len(pairs))
    return (x - start_image) * total


@contextmanager
def fast_gradients(network: nn.Module, image: torch.Tensor) -> Iterator[None]:
    """Context manager: as `frozen`, with faster passes that give the same gradients up to rounding.

    Memory is channels last and kept from batch to batch, batch normalisation is folded into the convolution before it,
    and ReLU does not work in place, where it would keep a copy of what it overwrites.

    Args:
        network: the network; it is restored when the block ends.
        image: an image (1, C, H, W) on which the folding is checked.

    Yields:
        Nothing.
    """
    tensors = [(tensor, tensor.data) for tensor in [*network.parameters(), *network.buffers()]]
    in_place: list[Any] = [m for m in network.modules() if getattr(m, "inplace", False)]
    with kept_memory(image.device.type), frozen(network):
        try:
            network.to(memory_format=layout_for(network, image.device.type))
            for module in in_place:
                module.inplace = False
            with folded_norms(network, image):
                yield
        finally:
            for module in in_place:
                module.inplace = True
            for tensor, data in tensors:
                tensor.data = data


def logit_gap(
    network: nn.Module, x: torch.Tensor, classes: torch.Tensor, baseline: torch.Tensor | None = None
) -> torch.Tensor:
    """The logit of each image less that of its baseline.

    Args:
        network: images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W) in [0, 1].
        classes: class indices (N,).
        baseline: image (C, H, W), or one per image; None for black.

    Returns:
        Differences (N,).
    """
    start_image = torch.zeros_like(x) if baseline is None else baseline.expand_as(x)
    with torch.no_grad():
        gap: torch.Tensor = (network(x) - network(start_image)).gather(1, classes.view(-1, 1))[:, 0]
    return gap


def guided_backprop(network: nn.Module, x: torch.Tensor, classes: torch.Tensor, *, batch: int = 8) -> torch.Tensor:
    """Guided backpropagation: the gradient passes a ReLU only where it is positive.

    It covers nn.ReLU, nn.ReLU6, functional.relu, Tensor.relu and torch.relu. In networks without any (SiLU, GELU) there
    is nothing to guide, and the result is the plain gradient. The method shows edges rather than evidence for the class
    [Adebayo et al. 2018].

    Args:
        network: images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W) in [0, 1].
        classes: class indices (N,).
        batch: images per pass.

    Returns:
        Heatmaps (N, C, H, W), with positive and negative values.

    Reference:
        Springenberg et al., "Striving for simplicity: the all convolutional net", 2015, arXiv:1412.6806.
    """
    found = []
    with frozen(network), _GuidedRectifiers():
        found = [_gradient(network, *part) for part in _parts(batch, x, classes)]
    return torch.cat(found)


def rectifiers(network: nn.Module, x: torch.Tensor) -> int:
    """Number of ReLU calls in a pass, which `guided_backprop` guides.

    Args:
        network: the network.
        x: images (N, C, H, W).

    Returns:
        The number of calls.
    """
    counting = _GuidedRectifiers()
    with frozen(network), torch.enable_grad(), counting:
        network(x.clone().requires_grad_())
    return counting.met


class _GuidedRectifiers(TorchFunctionMode):
    """While active, a rectifier's output lets only positive gradients back. met: how many there were."""

    RECTIFIERS = frozenset(
        {
            F.relu, F.relu_, F.relu6, F.hardtanh, F.hardtanh_, torch.relu, torch.relu_, torch.Tensor.relu,
            torch.Tensor.relu_,
        }
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.met = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in self.RECTIFIERS and isinstance(out, torch.Tensor) and out.requires_grad:
            self.met += 1
            return _OnlyPositive.apply(out)
        return out


class _OnlyPositive(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0].clamp_min(0)


def grad_cam(
    network: nn.Module, x: torch.Tensor, classes: torch.Tensor, *, layer: str = "", batch: int = 8
) -> torch.Tensor:
    """Grad-CAM: the maps of a layer, weighted by their mean gradients, summed and rectified.

    The tokens of a transformer are arranged on their grid, without the class token.

    Args:
        network: images (N, C, H, W) to logits (N, K).
        x: images (N, C, H, W) in [0, 1].
        classes: class indices (N,).
        layer: name of a module; "" for the one that `last_maps` finds.
        batch: images per pass.

    Returns:
        Heatmaps (N, h, w), at least 0.

    Raises:
        ModelError: the layer has no maps, or does not exist.

    Reference:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks", 2017, arXiv:1610.02391.
    """
    found = []
    with frozen(network):
        name = layer_name(network, layer) if layer else last_maps(network, x[:1])
        for part, labels in _parts(batch, x, classes):
            with capture(network, [name]) as seen, torch.enable_grad():
                logits = network(part.clone().requires_grad_())
            if not isinstance(maps := seen.get(name), torch.Tensor) or maps.ndim not in (3, 4):
                raise ModelError(f"the layer {name!r} has no feature maps", fix="choose another layer")
            (gradient,) = torch.autograd.grad(logits.gather(1, labels.view(-1, 1)).sum(), maps)
            maps, gradient = as_maps(maps.detach()), as_maps(gradient)
            found.append((gradient.mean((2, 3), keepdim=True) * maps).sum(1).clamp_min(0))
    return torch.cat(found)


def depth_cam(network: ModelNetwork, x: torch.Tensor, classes: torch.Tensor, *, batch: int = 8) -> torch.Tensor:
    """Grad-CAM for a head that reads pooled maps of several depths.

    At each depth, maps are multiplied place by place with their gradient: mean gradients would lose the contributions
    of the maximum and the standard deviation, as the gradient of a deviation has mean 0. For maps that are pooled by
    their mean alone this is Grad-CAM. The depths are added, each weighted by its contribution to the logit per area of
    the image, and the sum is rectified.

    Args:
        network: a network with `feature_levels`.
        x: images (N, C, H, W) in [0, 1].
        classes: class indices (N,).
        batch: images per pass.

    Returns:
        Heatmaps (N, h, w), of the size of the largest maps, at least 0.

    Reference:
        Draelos and Carin, "Use HiResCAM instead of Grad-CAM", 2020, arXiv:2011.08891.
    """
    found, levels = [], network.feature_levels
    assert levels is not None
    with frozen(network):
        names = [*levels.layers, last_maps(levels.backbone, levels.input(x[:1]))]
        for part, labels in _parts(batch, x, classes):
            with capture(levels.backbone, names) as seen, torch.enable_grad():
                pooled = network.backbone_outputs(part.clone().requires_grad_())
            depths = [pooled[i].detach().requires_grad_() for i in levels.chosen]
            with torch.enable_grad():
                logits = levels.head(torch.cat(depths, dim=1))
            shares = torch.autograd.grad(logits.gather(1, labels.view(-1, 1)).sum(), depths)
            spoken = []
            for i, share in zip(levels.chosen, shares, strict=True):
                (gradient,) = torch.autograd.grad(pooled[i], seen[names[i]], share, retain_graph=True)
                spoken.append((as_maps(gradient) * as_maps(seen[names[i]].detach())).sum(1, keepdim=True))
            size = max((tuple(maps.shape[2:]) for maps in spoken), key=math.prod)
            areas = [math.prod(maps.shape[2:]) for maps in spoken]
            laid = [area * F.interpolate(maps, size, mode="bilinear") for area, maps in zip(areas, spoken, strict=True)]
            found.append(torch.stack(laid).sum(0)[:, 0].clamp_min(0))
    return torch.cat(found)


def last_maps(network: nn.Module, x: torch.Tensor, enough: int = ENOUGH_PLACES) -> str:
    """The last module with maps or tokens of which at least `enough` places influence the logits.

    For a transformer that classifies from its class token, this is the last place where the other tokens still matter.
    If the last maps are too coarse, the output of a whole block is preferred to a branch inside the next block.

    Args:
        network: the network.
        x: an image (1, C, H, W).
        enough: least number of places; if no module has as many, one with several places is taken.

    Returns:
        Name of the module.

    Raises:
        ModelError: the network has no maps.
    """
    found: list[tuple[str, bool, torch.Tensor]] = []

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim in (3, 4) and output.requires_grad:
            found.append((name, any(True for _ in module.children()), output))

    layers = [(n, m) for n, m in network.named_modules() if n and "attn" not in n and not isinstance(m, InputLayer)]
    with forward_hooks(layers, keep), torch.enable_grad():
        logits = network(x.clone().requires_grad_())
    # unequal shares: of two classes, one logit may be the other with the sign turned, and their sum says nothing
    asked = (logits * torch.linspace(1, 2, logits.shape[1], device=logits.device)).sum()
    branch = coarse = ""
    for name, block, maps in reversed(found):
        (gradient,) = torch.autograd.grad(asked, maps, retain_graph=True, allow_unused=True)
        places = 0 if gradient is None else int((as_maps(gradient) != 0).any(1).sum())
        if places >= enough and (block or not coarse):
            return name
        if places >= enough:
            branch = branch or name
        elif places > 1:
            coarse = coarse or name
    if branch or coarse:
        return branch or coarse
    raise ModelError("this model has no layer with feature maps", fix="use saliency, smoothgrad or occlusion")


def _gradient(network: nn.Module, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """d logit / d x (N, C, H, W) of one batch."""
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        chosen = network(x).gather(1, classes.view(-1, 1)).sum()
        return torch.autograd.grad(chosen, x)[0]


def _parts(batch: int, x: torch.Tensor, classes: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(torch.split(x, batch), torch.split(classes, batch), strict=True)
