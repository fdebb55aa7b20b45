"""Squeeze-and-excitation gates, class by class [Hu et al. 2018, arXiv:1709.01507, section 7.2]."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.data.cached_pixels import PixelView
from clearsight.data.loader import to_float
from clearsight.errors import ModelError
from clearsight.models.base import forward_hooks
from clearsight.models.feature_maps import output_at
from clearsight.models.layer_probe import short_name
from clearsight.models.network import frozen
from clearsight.predictor import Predictor


@dataclass(frozen=True)
class BlockGates:
    """One block's gates. mean (K, C) in [0, 1]: of each class's images, for each channel; a channel is scaled by its
    gate. spread: deviation of a channel's gate from class to class, averaged over channels. within: deviation from
    image to image of one class, averaged likewise.
    """

    block: str
    mean: NDArray[np.float32]
    spread: float
    within: float


@dataclass(frozen=True)
class ClassGates:
    """Gates of every block, shallow to deep, and the classes with the number of images each mean is taken over."""

    classes: tuple[str, ...]
    images: tuple[int, ...]
    blocks: tuple[BlockGates, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "classes": list(self.classes), "images": list(self.images),
            "blocks": [
                {"block": b.block, "spread": b.spread, "within": b.within, "mean": b.mean.tolist()} for b in self.blocks
            ],
        }  # fmt: skip


def class_gates(
    predictor: Predictor,
    images: PixelView,
    labels: NDArray[np.integer],
    *,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> ClassGates:
    """The mean gates of each class over images (N, C, H, W) with labels (N,); classes without images are left out.

    Raises ModelError for a network without gates.
    """
    need_gates(predictor)
    network = predictor.network
    present, number = np.unique(labels, return_inverse=True)
    counts = np.bincount(number)
    sums: dict[str, NDArray[np.float64]] = {}
    squares: dict[str, NDArray[np.float64]] = {}
    with frozen(network), torch.no_grad():
        for start in range(0, len(images), batch):
            own = number[start : start + batch]
            with _watched(network) as seen:
                network(to_float(images[start : start + batch]))
            for name, gates in seen.items():
                values = gates.flatten(1).double().cpu().numpy()  # (B, C)
                zero = np.zeros((len(present), values.shape[1]))
                np.add.at(sums.setdefault(name, zero.copy()), own, values)
                np.add.at(squares.setdefault(name, zero), own, values**2)
            if progress:
                progress(min(len(images), start + batch), len(images))
    blocks = []
    for name, total in sums.items():
        mean = total / counts[:, None]
        variance = np.maximum(0, squares[name] / counts[:, None] - mean**2)
        blocks.append(
            BlockGates(
                short_name(name), mean.astype(np.float32), float(mean.std(0).mean()), float(np.sqrt(variance).mean())
            )
        )
    return ClassGates(tuple(predictor.classes[i] for i in present), tuple(int(n) for n in counts), tuple(blocks))


def need_gates(predictor: Predictor) -> None:
    """ModelError for a network without squeeze-and-excitation."""
    with frozen(predictor.network), torch.no_grad(), _watched(predictor.network) as seen:
        predictor.network(torch.zeros(1, *predictor.shape))
    if not seen:
        raise ModelError(
            "this network has no squeeze-and-excitation gates",
            fix="train one with gates: --model seresnet18, or --model-arg se=true with another network",
        )


def gated_before(network: nn.Module, layer: str, x: torch.Tensor) -> bool:
    """Whether squeeze-and-excitation has run when the layer of this name gives out its maps for images x."""
    with frozen(network), torch.no_grad(), _watched(network) as seen:
        output_at(network, layer, x)
    return bool(seen)


@contextmanager
def _watched(network: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Collect the gates (N, C, 1, 1) of every block in a forward pass: what modules named `gate` give out, as they are
    named here and in timm.
    """
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[2:] == (1, 1):
            seen[name.rpartition(".")[0]] = output

    gates = [(name, module) for name, module in network.named_modules() if name.rpartition(".")[2] == "gate"]
    with forward_hooks(gates, keep):
        yield seen
