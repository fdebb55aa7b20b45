"""The training loop: one function, read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from clearsight.data.augment import augment
from clearsight.data.loader import batches
from clearsight.errors import TrainingError
from clearsight.train.schedules import one_cycle


@dataclass(frozen=True)
class Epoch:
    """One line of history.csv. Losses are mean cross-entropy in nats; lr is the rate of the last step."""

    epoch: int
    steps: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    """What training left: the history, the best epoch, whose weights the network holds, and images per second."""

    history: tuple[Epoch, ...]
    best: Epoch
    images_per_second: float
    stopped_early: bool


def train_network(
    network: nn.Module,
    pixels: NDArray[Any],
    labels: NDArray[np.int64],
    weights: NDArray[np.float32],
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    *,
    epochs: int,
    batch_size: int,
    groups: Sequence[dict[str, Any]],
    weight_decay: float,
    label_smoothing: float,
    augmentation: str,
    patience: int,
    seed: int,
    device: str,
    channels_last: bool = True,
    frozen_norm: bool = False,
    deadline: float = math.inf,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train in place with AdamW and a one-cycle rate; the weights of the epoch with the lowest validation loss are
    kept.

    pixels (N, C, H, W) uint8 or uint16; labels, weights (N,); train, val: positions.
    groups: parameter groups for the optimiser, each with its own peak rate `lr`.
    frozen_norm: batch normalisation keeps its running statistics, as fine-tuning a pretrained network wants.
    deadline: a time of `time.perf_counter()` after which no further epoch is begun.
    on_step(done, total), on_epoch(epoch): called as training goes on.
    Raises TrainingError when the loss is no longer a finite number; the network then holds its best weights so far.
    """
    order, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network.to(device).to(memory_format=layout)
    peaks = [float(g["lr"]) for g in groups]
    optimiser = torch.optim.AdamW(list(groups), weight_decay=weight_decay)
    steps = math.ceil(len(train) / batch_size)
    total, step, seen, began = steps * epochs, 0, 0, time.perf_counter()
    history: list[Epoch] = []
    best_state = _copy(network)

    for epoch in range(1, epochs + 1):
        network.train()
        if frozen_norm:
            for m in network.modules():
                if isinstance(m, nn.modules.batchnorm._BatchNorm):
                    m.eval()
        loss_sum, right, count = 0.0, 0, 0
        for images, chosen in batches(pixels, train, batch_size, shuffle=order):
            x = augment(images.to(device), augmentation, noise).to(memory_format=layout)
            y = torch.from_numpy(labels[chosen]).to(device)
            w = torch.from_numpy(weights[chosen]).to(device)
            factor = one_cycle(step / max(1, total - 1))
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

            logits = network(x)
            losses = F.cross_entropy(logits, y, reduction="none", label_smoothing=label_smoothing)
            loss = (losses * w).sum() / w.sum()
            value = float(loss.detach())
            if not math.isfinite(value):
                network.load_state_dict(best_state)
                raise TrainingError(
                    f"the loss became {value} in step {step + 1} (epoch {epoch})",
                    found=f"learning rate {optimiser.param_groups[-1]['lr']:.2g}",
                    expected="a finite loss",
                    fix=f"try --lr {max(peaks) / 10:.2g}; history.csv holds the epochs so far",
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()

            step += 1
            seen += len(chosen)
            loss_sum += value * len(chosen)
            right += int((logits.argmax(1) == y).sum())
            count += len(chosen)
            if on_step:
                on_step(step, total)

        val_logits = logits_of(network, pixels, val, batch_size, device, layout)
        val_loss = float(F.cross_entropy(val_logits, torch.from_numpy(labels[val])))
        val_accuracy = float((val_logits.argmax(1).numpy() == labels[val]).mean())
        history.append(
            Epoch(
                epoch,
                step,
                optimiser.param_groups[-1]["lr"],
                loss_sum / count,
                right / count,
                val_loss,
                val_accuracy,
                time.perf_counter() - began,
            )
        )
        if on_epoch:
            on_epoch(history[-1])
        best = min(history, key=lambda e: e.val_loss)
        if best is history[-1]:
            best_state = _copy(network)
        if epoch - best.epoch >= patience or time.perf_counter() > deadline:
            break

    network.load_state_dict(best_state)
    network.eval().to("cpu").to(memory_format=torch.contiguous_format)
    rate = seen / (time.perf_counter() - began)
    return Trained(tuple(history), best, rate, stopped_early=len(history) < epochs)


def logits_of(
    network: nn.Module,
    pixels: NDArray[Any],
    indices: NDArray[np.int64],
    batch_size: int,
    device: str,
    layout: torch.memory_format = torch.contiguous_format,
) -> torch.Tensor:
    """Logits (len(indices), K) on the CPU, in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        found = [
            network(images.to(device, memory_format=layout)).float().cpu()
            for images, _ in batches(pixels, indices, batch_size)
        ]
    return torch.cat(found)


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def history_rows(history: Sequence[Epoch]) -> list[dict[str, Any]]:
    """The history as rows for CSV."""
    return [asdict(e) for e in history]
