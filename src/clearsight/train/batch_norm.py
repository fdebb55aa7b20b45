"""Batch normalisation while something else is going on: held still, asked again, or folded into the convolutions."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clearsight.models.base import forward_hooks

TOLERANCE = 1e-3
"""Largest difference of a network's outputs, folded or not, as a share of the largest output."""


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a network has batch normalisation."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def freeze_bn(network: nn.Module) -> None:
    """Put every batch normalisation in evaluation mode: it uses its running statistics and keeps them."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


@contextlib.contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Inside the block batch normalisation uses each batch's statistics and leaves its running ones as they are."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextlib.contextmanager
def folded_norms(network: nn.Module, images: torch.Tensor) -> Iterator[int]:
    """Inside the block, convolutions do the work of the held batch normalisations behind them; yields how many do.

    A normalisation in evaluation mode is y = g (x - mean) / std + b per channel, so a convolution with weights
    W g / std and bias b - mean g / std gives y at once. W, g and b stay the parameters, and their gradients are the
    same up to rounding; what is saved is the normalisations' forward and backward pass. images (N, C, H, W): some to
    find out by which layers touch, and to check on that nothing else changes; where something does, nothing is folded.
    """
    was_training = network.training
    with torch.no_grad():
        network.eval()
        pairs, before = _pairs(network, images)
        for conv, norm in pairs:
            _fold(conv, norm)
        after = network(images)
    if not torch.allclose(before, after, rtol=0, atol=TOLERANCE * float(before.abs().max())):
        _unfold(pairs)
        pairs = []
    network.train(was_training)
    try:
        yield len(pairs)
    finally:
        _unfold(pairs)


def _pairs(network: nn.Module, images: torch.Tensor) -> tuple[list[tuple[nn.Conv2d, _BatchNorm]], torch.Tensor]:
    """Convolutions whose output goes straight into a batch normalisation, with that normalisation; and the network's
    output.
    """
    made_by: dict[int, nn.Conv2d] = {}
    alive: list[torch.Tensor] = []  # so that no two tensors share an id
    pairs: list[tuple[nn.Conv2d, _BatchNorm]] = []
    calls: dict[nn.Module, int] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            made_by[id(output)] = module
            alive.append(output)
        elif id(inputs[0]) in made_by:
            pairs.append((made_by[id(inputs[0])], module))  # type: ignore[arg-type]

    with forward_hooks(((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d | _BatchNorm)), note):
        output: torch.Tensor = network(images)
    touching = [
        (conv, norm)
        for conv, norm in pairs
        if calls[conv] == calls[norm] == 1 and norm.affine and norm.track_running_stats
    ]
    return touching, output


def _fold(conv: nn.Conv2d, norm: _BatchNorm) -> None:
    """Give both modules forward passes of their own. Weights that take no gradient are folded once."""

    def folded() -> nn.Conv2d:
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        own = 0.0 if conv.bias is None else conv.bias
        other = copy.copy(conv)  # the same kind of convolution, padding of its own included, with other weights
        weights: dict[str, Any] = {
            "weight": conv.weight * scale.view(-1, 1, 1, 1),
            "bias": norm.bias + (own - norm.running_mean) * scale,
        }
        other._parameters = weights
        return other

    learns = any(p is not None and p.requires_grad for p in (conv.weight, conv.bias, norm.weight, norm.bias))
    fixed = None if learns else folded()

    def convolve(x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = type(conv).forward(fixed or folded(), x)
        return result

    conv.forward = convolve  # type: ignore[method-assign,assignment]
    norm.forward = _rest_of(norm)  # type: ignore[method-assign,assignment]


def _rest_of(norm: _BatchNorm) -> Callable[[torch.Tensor], torch.Tensor]:
    """What a module does besides normalising: timm's also drop and activate."""

    def rest(x: torch.Tensor) -> torch.Tensor:
        for part in ("drop", "act"):
            if isinstance(after := getattr(norm, part, None), nn.Module):
                x = after(x)
        return x

    return rest


def _unfold(pairs: list[tuple[nn.Conv2d, _BatchNorm]]) -> None:
    for pair in pairs:
        for module in pair:
            module.__dict__.pop("forward", None)
