"""The loss of a network on fixed images, as a function of its weights: values, gradients, Hessian-vector products.

Shapes: N images, K classes; P weights, those that vary, as one vector (P,) in the order of `named_parameters`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from clearsight.data.loader import to_float
from clearsight.models.network import frozen
from clearsight.tasks.losses import LOSSES, one_hot_targets


@dataclass(frozen=True)
class Objective:
    """Mean loss over images, in evaluation mode: batch normalisation keeps its running statistics, dropout is off.

    module: a network, or the head of one; it is never changed. inputs: N of what it takes, an array or a view of one,
    pixels as whole numbers or floats. labels (N,): class indices. vary: names of the parameters that may move, at
    least one. loss: as `tasks.losses.LOSSES` names it; smoothing: of its targets. temperature: divides the logits.
    batch: inputs in memory at once.
    """

    module: nn.Module
    inputs: Any
    labels: NDArray[np.int64]
    vary: tuple[str, ...]
    classes: int
    loss: str = "cross-entropy"
    smoothing: float = 0.0
    temperature: float = 1.0
    batch: int = 64

    @property
    def weights(self) -> torch.Tensor:
        """The point where the network stands: a copy of its weights (P,)."""
        return torch.cat([p.detach().reshape(-1) for p in self._own()])

    @property
    def shapes(self) -> list[torch.Size]:
        """The shape of each parameter that varies."""
        return [p.shape for p in self._own()]

    def at(self, point: torch.Tensor) -> tuple[float, float]:
        """Mean loss and accuracy at weights (P,); not finite where the weights are too large for float32.

        Args:
            point: weights (P,).

        Returns:
            Loss in nats and accuracy in [0, 1].
        """
        loss, right = 0.0, 0
        moved = dict(zip(self.vary, self.split(point), strict=True))
        with frozen(self.module), torch.no_grad():
            for x, targets in self._batches():
                logits = functional_call(self.module, moved, (x,))
                loss += float(LOSSES[self.loss](logits / self.temperature, targets).double().sum())
                right += int((logits.argmax(1) == targets.argmax(1)).sum())
        return loss / len(self.labels), right / len(self.labels)

    def gradient(self, point: torch.Tensor) -> torch.Tensor:
        """Of the mean loss at weights (P,): (P,).

        Args:
            point: weights (P,).

        Returns:
            float32 (P,).
        """
        total = torch.zeros_like(point)
        for parts, slopes in self._slopes(point, twice=False):
            total += _flat(slopes, parts)
        return total

    def hessian_vector(self, point: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """The Hessian of the mean loss at a point, times a vector: (P,), (P,) -> (P,) [Pearlmutter 1994].

        H v is the gradient of g . v, g being the gradient and v held still; H itself, P x P, is never built.

        Args:
            point: weights (P,).
            vector: direction (P,).

        Returns:
            float32 (P,).
        """
        total = torch.zeros_like(point)
        along = self.split(vector.to(point))
        for parts, slopes in self._slopes(point, twice=True):
            inner = sum((g * v).sum() for g, v in zip(slopes, along, strict=True))
            if isinstance(inner, torch.Tensor) and inner.requires_grad:  # a loss linear in the weights has no curvature
                seconds = torch.autograd.grad(inner, parts, allow_unused=True, materialize_grads=True)
                total += _flat(seconds, parts)
        return total

    def split(self, point: torch.Tensor) -> list[torch.Tensor]:
        """A vector (P,) in the shapes of the parameters.

        Args:
            point: weights (P,).

        Returns:
            One tensor per parameter.
        """
        shapes = self.shapes
        return [p.view(s) for p, s in zip(torch.split(point, [s.numel() for s in shapes]), shapes, strict=True)]

    def _own(self) -> list[nn.Parameter]:
        known = dict(self.module.named_parameters())
        return [known[name] for name in self.vary]

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        dtype = self._own()[0].dtype
        for start in range(0, len(self.labels), self.batch):
            some = slice(start, start + self.batch)
            targets = one_hot_targets(torch.from_numpy(self.labels[some]), self.classes, self.smoothing)
            yield to_float(self.inputs[some]).to(dtype), targets.to(dtype)

    def _slopes(
        self, point: torch.Tensor, *, twice: bool
    ) -> Iterator[tuple[list[torch.Tensor], Sequence[torch.Tensor]]]:
        """For each batch, the weights in their shapes and the gradient of its share of the mean loss.

        twice: gradients that can be differentiated again; PyTorch's fused attention cannot, so it is left out.
        """
        with frozen(self.module):
            for x, targets in self._batches():
                parts = [p.detach().clone().requires_grad_() for p in self.split(point)]
                moved = dict(zip(self.vary, parts, strict=True))
                with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
                    logits = functional_call(self.module, moved, (x,))
                    loss = LOSSES[self.loss](logits / self.temperature, targets).sum() / len(self.labels)
                    slopes = torch.autograd.grad(
                        loss, parts, create_graph=twice, allow_unused=True, materialize_grads=True
                    )
                yield parts, slopes


def _flat(tensors: Sequence[torch.Tensor], parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Side by side, in one vector of the weights' type."""
    return torch.cat([t.detach().reshape(-1).to(p) for t, p in zip(tensors, parts, strict=True)])
