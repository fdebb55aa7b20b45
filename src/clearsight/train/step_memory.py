"""Memory of a training step, measured on a trial step, and the batch that fits (rows N7, T5)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clearsight.models.layers import auxiliary_logits
from clearsight.train.optimisers import build_optimiser
from clearsight.wording import count, size_words

SHARE = 0.5
"""Part of the free memory that a step may take."""

MOST = 0.8
"""The same where less would leave batch normalisation with fewer than `FEW` images."""

FEW = 16
"""Images per batch below which the statistics of batch normalisation are too noisy [Wu, He 2018]."""

TRIAL = 2
"""Images of the smaller of two trial batches; the larger has twice as many."""

COPIES = 3
"""Copies of a batch's images in a step: as they are read, as they are augmented, and as they are normalised."""


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a training step takes: for each image of the batch, and apart from them.

    per_image: images, activations kept for the backward pass and the largest gradients. fixed: weights, their
    gradients, the state of the optimiser, and the copy of the best weights.
    """

    per_image: int
    fixed: int


@dataclass(frozen=True)
class BatchPlan:
    """Images per batch, batches per step, and why."""

    batch: int
    accumulate: int
    why: str


def step_memory(
    network: nn.Module,
    shape: Sequence[int],
    *,
    opt: str = "adamw",
    device: str = "cpu",
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    copies: int = 1,
) -> StepMemory:
    """Measure the memory of a training step on two trial batches.

    The network is copied, so its statistics stay; random numbers too.

    Args:
        network: the network, with any outputs.
        shape: shape of one image, (C, H, W).
        opt: name of the optimiser.
        device: "cpu" or "cuda".
        autocast: context manager in which a step runs, as for mixed precision.
        copies: copies of the weights that training keeps: of the best epoch, and of a moving average.

    Returns:
        Bytes per image, and bytes apart from them.
    """
    with torch.random.fork_rng():
        trial = copy.deepcopy(network).to(device).train()
        small, large = (_kept(trial, TRIAL * k, shape, device, autocast) for k in (1, 2))
    image = 4 * torch.Size(shape).numel()
    weights = sum(t.nbytes for t in (*network.parameters(), *network.buffers()))
    trained = sum(p.nbytes for p in network.parameters() if p.requires_grad)
    return StepMemory(
        per_image=max(1, (large - small) // TRIAL) + COPIES * image,
        fixed=round((1 + copies) * weights + trained * (1 + _state_share(opt))),
    )


def _kept(
    trial: nn.Module,
    images: int,
    shape: Sequence[int],
    device: str,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> int:
    """Bytes that the graph of a batch keeps for the backward pass, weights aside, and the largest gradients."""
    own = {t.untyped_storage().data_ptr() for t in (*trial.parameters(), *trial.buffers())}
    kept: dict[int, int] = {}
    largest = [0]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            largest[0] = max(largest[0], storage.nbytes())
        return tensor

    x = torch.zeros(images, *shape, device=device)
    with autocast(), auxiliary_logits(trial) as extra, torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        logits = trial(x)
        loss = sum((z.float().square().mean() for z in (logits, *extra)), torch.zeros((), device=device))
    del loss
    return sum(kept.values()) + largest[0]


def _state_share(opt: str) -> float:
    """Bytes of an optimiser's state for each byte of weights, from a step on a small matrix."""
    probe = nn.Parameter(torch.zeros(64, 64))
    optimiser = build_optimiser(opt, [{"params": [probe], "lr": 1e-3}], momentum=0.9, weight_decay=0.0)

    def closure() -> float:
        probe.grad = torch.ones_like(probe)
        return 0.0

    closure()
    optimiser.step(closure)
    state: Any = optimiser.state
    values = [value for own in state.values() for value in own.values()]
    return sum(value.nbytes for value in values if isinstance(value, Tensor)) / probe.nbytes


def planned_batch(memory: StepMemory, free: int | None, usual: int, *, normalised: bool, reason: str) -> BatchPlan:
    """The usual batch where it fits; otherwise a smaller one, several of which make a step.

    Args:
        memory: of a step.
        free: bytes of free memory; None where the system does not say.
        usual: images per step.
        normalised: the network has batch normalisation that is trained, so small batches harm it.
        reason: why so many images are usual, in words.

    Returns:
        The plan.

    Example:
        >>> planned_batch(StepMemory(10**8, 10**9), 8 * 10**9, 128, normalised=True, reason="the default").batch
        16
    """
    each = f"a step takes {size_words(memory.fixed)} and {size_words(memory.per_image)} per image"
    if free is None:
        return BatchPlan(usual, 1, f"{reason}; the free memory is unknown")
    fits = _fitting(memory, SHARE * free)
    if fits >= usual:
        return BatchPlan(usual, 1, f"{reason}; {each}, and {size_words(free)} is free")
    if normalised and fits < min(FEW, usual):
        fits = min(FEW, usual, _fitting(memory, MOST * free))
    batch = 1 << (max(1, fits).bit_length() - 1)
    accumulate = -(-usual // batch)
    why = (
        f"{each}, and only {size_words(free)} is free, so gradients of {count(accumulate, 'batch', 'batches')} are "
        f"added up to steps of {count(usual, 'image')}"
    )
    if normalised and batch < FEW:
        why += f"; batch normalisation over fewer than {FEW} images is noisy: a smaller --img-size or network helps"
    return BatchPlan(batch, accumulate, why)


def _fitting(memory: StepMemory, room: float) -> int:
    return int(max(0.0, room - memory.fixed) / memory.per_image)
