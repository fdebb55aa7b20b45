"""Limits on weights and gradients, and the running average of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def l1_penalty(network: nn.Module) -> Tensor:
    """Sum of |w| over the weights that are trained, a scalar with a gradient.

    Only tensors of two or more dimensions count: biases and the scales of normalisation are no connections to prune.
    """
    weights = [p for p in network.parameters() if p.ndim > 1 and p.requires_grad]
    return sum((p.abs().sum() for p in weights), torch.zeros(()))


@torch.no_grad()
def limit_norms(network: nn.Module, max_norm: float) -> None:
    """Scale down, in place, the incoming weights of every unit whose Euclidean norm is above `max_norm` > 0.

    A unit is a row of a linear layer or a filter of a convolution; biases, and layers that are not trained, are left
    alone [Srivastava 2014, Dropout, section 5.1].
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer.weight.requires_grad:
            incoming = tuple(range(1, layer.weight.ndim))  # the first dimension counts the units
            norms = torch.linalg.vector_norm(layer.weight, dim=incoming, keepdim=True)
            layer.weight.mul_((max_norm / norms).clamp(max=1))  # a norm of 0 gives infinity, and so 1


def limit_gradient(network: nn.Module, clip: float | None) -> None:
    """Scale all gradients, in place, so that their norm taken together is at most `clip`; None or 0 for no limit.

    [Pascanu 2013, arXiv:1211.5063]
    """
    if clip:
        nn.utils.clip_grad_norm_(network.parameters(), clip)


class WeightAverage:
    """Exponential moving average of a network's weights and of its buffers of floating type.

    decay in (0, 1), but never above (1 + t) / (10 + t) after t updates: an average that has seen little must forget
    its random start [Polyak, Juditsky 1992; the correction as in TensorFlow's ExponentialMovingAverage]. Counts, such
    as the batches that normalisation has seen, are not averaged. On the network's device; takes as much memory again.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.tensors = {name: t.detach().clone() for name, t in _floating(network)}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the network's present weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, tensor in _floating(network):
            self.tensors[name].lerp_(tensor, 1 - decay)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """The average as it stands, by reference like PyTorch's own: copy it to keep it."""
        return {"updates": self.updates, "tensors": self.tensors}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved average, bit for bit; it must be of the same network."""
        assert state["tensors"].keys() == self.tensors.keys()
        for name, tensor in self.tensors.items():
            tensor.copy_(state["tensors"][name])
        self.updates = state["updates"]

    @contextlib.contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network holds the average inside the block, and what it held before after it, even one that raised."""
        trained = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        _assign(network, self.tensors)
        try:
            yield
        finally:
            _assign(network, trained)


def _floating(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights and buffers that can be averaged, by name."""
    return ((name, t) for name, t in network.state_dict().items() if t.is_floating_point())


@torch.no_grad()
def _assign(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy values into the network's own tensors, which optimisers and graphs refer to."""
    own = network.state_dict()
    for name, tensor in tensors.items():
        own[name].copy_(tensor)
