"""Limits on weights and gradients, and the running average of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def l1_penalty(network: nn.Module) -> Tensor:
    """Sum of |w| over the weights that are trained, a scalar with a gradient.

    Only tensors of two or more dimensions count: biases and the scales of normalisation are no connections to prune.

    Args:
        network: the network that is trained.

    Returns:
        Scalar tensor with a gradient.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, -2.0]]))
        >>> l1_penalty(layer).item()
        3.0
    """
    weights = [p for p in network.parameters() if p.ndim > 1 and p.requires_grad]
    return sum((p.abs().sum() for p in weights), torch.zeros(()))


@torch.no_grad()
def limit_norms(network: nn.Module, max_norm: float | None) -> None:
    """Scale down, in place, the incoming weights of every unit whose Euclidean norm is above `max_norm` > 0; None for
    no limit.

    A unit is a row of a linear layer or a filter of a convolution; biases, and layers that are not trained, are left
    alone [Srivastava 2014, Dropout, section 5.1].

    Args:
        network: the network that is trained.
        max_norm: maximum Euclidean norm, above 0; None for no limit.
    """
    if max_norm is None:
        return
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer.weight.requires_grad:
            incoming = tuple(range(1, layer.weight.ndim))  # the first dimension counts the units
            norms = torch.linalg.vector_norm(layer.weight, dim=incoming, keepdim=True)
            layer.weight.mul_((max_norm / norms).clamp(max=1))  # a norm of 0 gives infinity, and so 1


def limit_gradient(network: nn.Module, clip: float | None) -> None:
    """Scale all gradients, in place, so that their norm taken together is at most `clip`; None or 0 for no limit.

    [Pascanu 2013, arXiv:1211.5063]

    Args:
        network: the network that is trained, with gradients.
        clip: maximum norm, 0 or None for no limit.
    """
    if clip:
        nn.utils.clip_grad_norm_(network.parameters(), clip)


class WeightAverage(AveragedModel):
    """Exponential moving average of a network's weights and of its buffers of floating type, on the network's device.

    Counts, such as the batches that normalisation has seen, are copied.

    Args:
        network: the network to average; its present weights are the first.
        decay: decay per update, in (0, 1), but never above (1 + t) / (10 + t) after t updates: an average of few
            weights must forget the random start.

    Reference:
        Polyak, Juditsky 1992, "Acceleration of stochastic approximation by averaging"; the correction is that of
        TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        super().__init__(network, multi_avg_fn=self._take_in, use_buffers=True)
        self.update(network)  # the first call copies, so n_averaged is 1 + t from here on

    def update(self, network: nn.Module) -> None:
        """Take in the network's present weights.

        Args:
            network: the network that is trained.
        """
        self.update_parameters(network)

    def _take_in(self, averaged: Sequence[Tensor], current: Sequence[Tensor], n_averaged: Tensor | int) -> None:
        if not averaged[0].is_floating_point():
            for count, now in zip(averaged, current, strict=True):
                count.copy_(now)
            return
        updates = int(self.n_averaged) - 1  # not of `n_averaged`, which may be on a GPU, as that would wait for it
        decay = min(self.decay, (1 + updates) / (10 + updates))
        get_ema_multi_avg_fn(decay)(averaged, current, n_averaged)  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """The network holds the average inside the block, and what it held before after it, even one that raised.

        Args:
            network: the network that is trained.

        Yields:
            nothing; the weights are restored when the block ends.
        """
        trained = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self.module.state_dict())
        try:
            yield
        finally:
            network.load_state_dict(trained)
