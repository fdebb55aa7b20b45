"""The training loop: one function, read from top to bottom.

Whatever is random in a step, from augmentation to dropout, follows from the seed and the number of the step, and the
order of an epoch from the seed and the number of the epoch. So a run that was killed goes on from its last checkpoint
to the same bits.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.attacks.gradient import pgd
from clearsight.data.augment import augment
from clearsight.data.loader import Images
from clearsight.data.mix import mix
from clearsight.distributed import ALONE, World
from clearsight.errors import TrainingError
from clearsight.models.layers import AUXILIARY_WEIGHT, auxiliary_logits
from clearsight.models.network import frozen
from clearsight.preemption import Preempted, requested
from clearsight.tasks import Task
from clearsight.tasks.losses import Loss, one_hot_targets
from clearsight.train.augmentation_config import AugmentationConfig
from clearsight.train.batch_norm import freeze_bn, frozen_statistics
from clearsight.train.checkpoint import Checkpoint
from clearsight.train.class_weight import weights_of
from clearsight.train.config import TrainConfig
from clearsight.train.observer import UNOBSERVED, Epoch, Observer, Step, ignore
from clearsight.train.optimisers import LINE_SEARCHES, build_optimiser
from clearsight.train.optimization_config import OptimizationConfig
from clearsight.train.regularisers import WeightAverage, l1_penalty, limit_gradient, limit_norms

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Images (N, C, H, W), targets (N, K) and weights (N,)."""


@dataclass(frozen=True)
class Examples:
    """Labelled images for training.

    pixels (N, C, H, W): uint8, uint16, or float32 in [0, 1]. labels (N,): class indices. weights (N,): weight of each
    label, 0 to 1. train, val: positions among the N. task: the task. targets (N, E): encoded targets; None where labels
    give the classes.
    """

    pixels: NDArray[Any]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    task: Task
    targets: NDArray[np.float32] | None = None

    @property
    def classes(self) -> int:
        """How many classes labels are of, where they are learned."""
        return len(self.task.names)

    def loss(self, name: str) -> Loss:
        """A loss of the task.

        Args:
            name: name of the loss.

        Returns:
            A function from outputs and targets to losses (N,).
        """
        return self.task.training.losses[name]

    def targets_of(self, rows: NDArray[np.int64], smoothing: float = 0.0) -> torch.Tensor:
        """Encoded targets of some images.

        Args:
            rows: positions of the images (n,).
            smoothing: share of the target spread over all names, in [0, 1).

        Returns:
            Targets (n, E); one-hot for classes.
        """
        if self.targets is None:
            return one_hot_targets(torch.from_numpy(self.labels[rows]), self.classes, smoothing)
        return self.task.smoothed(torch.from_numpy(self.targets[rows]), smoothing)


@dataclass(frozen=True)
class Trained:
    """What training left: the history, the best epoch, whose weights the network holds, and images per second."""

    history: tuple[Epoch, ...]
    best: Epoch
    images_per_second: float
    stopped_early: bool


def train_network(
    network: nn.Module,
    data: Examples,
    config: TrainConfig,
    groups: Sequence[dict[str, Any]],
    *,
    checkpoint: Checkpoint | None = None,
    observer: Observer = UNOBSERVED,
    on_epoch: Callable[[Epoch], None] = ignore,
    on_step: Callable[[int, int], None] = ignore,
    world: World = ALONE,
) -> Trained:
    """Train a network in place; the weights of the epoch with the lowest validation loss are kept.

    Args:
        network: the network.
        data: images and targets.
        config: options as `resolve.resolve` returns them.
        groups: parameter groups for the optimiser, each with its own peak learning rate `lr`.
        checkpoint: where training is saved, and resumed from if it holds a state; None for no checkpoint.
        observer: receives statistics of the steps.
        on_epoch: called as on_epoch(epoch) after each epoch.
        on_step: called as on_step(done, total) after each step.
        world: the processes that share each batch.

    Returns:
        The curves and the kept epoch.

    Raises:
        TrainingError: a training or validation loss is not finite; the network then holds its best weights so far.
        Preempted: a scheduler ends the process; the checkpoint is written.
    """
    how, regularization, augmentation = config.optimization, config.regularization, config.augmentation
    seed, device, layout = config.run.seed, config.run.device, layout_for(network, config.run.device)
    network.to(device).to(memory_format=layout)
    optimiser = build_optimiser(how.opt, groups, momentum=how.momentum, weight_decay=regularization.weight_decay)
    peaks = [float(group["lr"]) for group in optimiser.param_groups]
    average = WeightAverage(network, regularization.ema) if regularization.ema else None
    scaler = torch.amp.GradScaler(device.partition(":")[0], enabled=how.amp == "fp16")
    world.same_weights(network)
    forward: nn.Module = torch.compile(network) if how.compile else network  # type: ignore[assignment]
    class_weight = weights_of(regularization.class_weight, data.labels[data.train], data.task.names)
    loss_of, per_epoch = data.loss(how.loss), how.steps_per_epoch(len(data.train))
    total = min(per_epoch * how.epochs, how.max_steps or per_epoch * how.epochs)

    gradient = _Gradient(network, forward, data, config, optimiser, scaler, loss_of, world)
    pixels = Images(data.pixels, device)
    history: list[Epoch] = []
    best_state = copy_state(network)
    step, seen, before, tally = 0, 0, 0.0, np.zeros(3)  # tally: summed loss, right answers, images since the last line
    stateful: dict[str, Any] = {"network": network, "optimiser": optimiser, "scaler": scaler}
    if average is not None:
        stateful["average"] = average
    if checkpoint is not None and (saved := checkpoint.restore(stateful)) is not None:
        history, best_state = [Epoch(**row) for row in saved["history"]], saved["best"]
        step, seen, before, tally = saved["step"], saved["seen"], saved["seconds"], np.array(saved["tally"])
        for line in history:
            on_epoch(line)
    began, shuffled, order = time.perf_counter() - before, 0, data.train
    observer.start(network, groups)

    while step < total and not _worn_out(history, how.patience):
        asked = time.perf_counter()
        epoch, place = step // per_epoch + 1, step % per_epoch
        if shuffled != epoch:
            order, shuffled = np.random.default_rng([seed, epoch]).permutation(data.train), epoch
        rows = np.array_split(order, per_epoch)[place]  # nearly equal steps: no last one too small to normalise over
        step_seed = _mixed(seed, step, world.rank)
        torch.manual_seed(step_seed)  # dropout and its like
        noise = torch.Generator().manual_seed(step_seed)
        parts = np.array_split(rows, math.ceil(len(rows) / how.batch_size))
        batches = [_batch(pixels, data, world.share(part), config, class_weight, noise) for part in parts]
        weight = world.sum(torch.stack([w.sum() for _, _, w in batches]).sum())  # of the whole step, on all processes
        rate = _set_rates(optimiser, peaks, how, (step / max(1, total - 1), (total - 1) / per_epoch), history)
        waited = time.perf_counter() - asked
        if augmentation.adversarial == "pgd":
            batches = [(_attacked(network, x, y, augmentation, step_seed), y, w) for x, y, w in batches]

        network.train()
        if how.freeze_bn:
            freeze_bn(network)
        observer.before_forward(step + 1)
        value, right, logits = gradient(batches, weight)
        spent = time.perf_counter() - asked
        facts = Step(step + 1, total, epoch, rate, value, *batches[-1][:2], logits, waited, spent, len(parts[-1]))
        observer.after_backward(facts)
        if not math.isfinite(value):
            network.load_state_dict(best_state)
            raise _diverged(value, step + 1, epoch, rate, max(peaks))
        limit_gradient(network, how.clip)
        search = (partial(gradient.searched, batches, weight, step),) if how.opt in LINE_SEARCHES else ()
        scaler.step(optimiser, *search)
        scaler.update()
        limit_norms(network, regularization.max_norm)
        if average is not None:
            average.update(network)
        tally += value * len(rows), right, len(rows)
        step, seen = step + 1, seen + len(rows)
        observer.after_update(facts)
        on_step(step, total)

        if step == total or (step % how.val_every == 0 if how.val_every else step % per_epoch == 0):
            with average.applied(network) if average is not None else contextlib.nullcontext():
                val_loss, val_accuracy = _validate(network, pixels, data, config, world)
                if val_loss < min((earlier.val_loss for earlier in history), default=math.inf):
                    best_state = copy_state(network)
            train_loss, train_accuracy = (tally[:2] / tally[2]).tolist()
            seconds = time.perf_counter() - began
            line = Epoch(epoch, step, rate, train_loss, train_accuracy, val_loss, val_accuracy, seconds)
            if math.isfinite(val_loss):
                history.append(line)
                on_epoch(line)
            observer.after_epoch(line)
            if not math.isfinite(val_loss):
                network.load_state_dict(best_state)
                raise _diverged(val_loss, step, epoch, rate, max(peaks), "validation loss")
            tally = np.zeros(3)
        if checkpoint is not None and (checkpoint.due() or (gradient.ending and checkpoint.writes)):
            checkpoint.save(
                **{name: part.state_dict() for name, part in stateful.items()}, best=best_state, step=step, seen=seen,
                history=[asdict(line) for line in history], seconds=time.perf_counter() - began, tally=tally.tolist(),
            )  # fmt: skip
        if gradient.ending:
            raise Preempted

    network.load_state_dict(best_state)
    network.eval().to("cpu").to(memory_format=torch.contiguous_format)
    best = min(history, key=lambda e: e.val_loss)
    return Trained(tuple(history), best, seen / (time.perf_counter() - began), stopped_early=step < total)


@dataclass
class _Gradient:
    """Loss and gradient of a step, over all processes. ending: whether a scheduler ends one of them."""

    network: nn.Module
    forward: nn.Module
    data: Examples
    config: TrainConfig
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    loss_of: Loss
    world: World
    ending: bool = False

    def __call__(self, batches: Sequence[Batch], weight: torch.Tensor) -> tuple[float, float, torch.Tensor]:
        """Loss of a step's batches, sum of the images' scores, logits of the last batch; gradients stay in place."""
        how, device, l1 = self.config.optimization, self.config.run.device, self.config.regularization.l1
        layout = layout_for(self.network, device)
        self.optimiser.zero_grad(set_to_none=True)
        exact = torch.float32 if device == "mps" else torch.float64
        sums = torch.zeros(3, dtype=exact, device=device)  # of losses, of scores; asked for once
        sums[2] = requested()
        for images, targets, w in batches:
            with autocast(device, how.amp):
                batch = images.to(memory_format=layout)
                logits, losses = _outputs(self.network, self.forward, batch, targets, self.loss_of)
                loss = cost = (losses * w).sum() / weight
                if l1:
                    cost = loss + l1 * l1_penalty(self.network) / (len(batches) * self.world.size)
            self.scaler.scale(cost).backward()  # type: ignore[no-untyped-call]
            scores = self.data.task.training_score(logits.detach(), targets, how.loss)
            sums[:2] += torch.stack([loss.detach().to(sums), scores.sum().to(sums)])
        self.world.sum_gradients(self.network)
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimiser)
        value, right, stop = self.world.sum(sums).tolist()
        self.ending = self.ending or stop > 0
        return value, right, logits.detach()

    def searched(self, batches: Sequence[Batch], weight: torch.Tensor, step: int) -> float:
        """What is minimised, at weights a line search tries, with the same random numbers."""
        l1 = self.config.regularization.l1
        torch.manual_seed(_mixed(self.config.run.seed, step, self.world.rank))
        with frozen_statistics(self.network):
            value = self(batches, weight)[0]
        limit_gradient(self.network, self.config.optimization.clip)
        return value + (l1 * float(l1_penalty(self.network).detach()) if l1 else 0.0)


def _set_rates(
    optimiser: torch.optim.Optimizer,
    peaks: Sequence[float],
    config: OptimizationConfig,
    progress: tuple[float, float],
    history: Sequence[Epoch],
) -> float:
    """Set the learning rate of each parameter group to its peak times the schedule's factor, and return the largest.

    progress: share of the steps done, 0 to 1; and the epochs in all.
    """
    factor = config.schedule.factor(*progress, [line.val_loss for line in history])
    for group, peak in zip(optimiser.param_groups, peaks, strict=True):
        group["lr"] = peak * factor
    return max(peaks) * factor


def _worn_out(history: Sequence[Epoch], patience: int) -> bool:
    """Whether the validation loss has not got better for `patience` epochs."""
    if not history:
        return False
    best = min(history, key=lambda e: e.val_loss)
    return history[-1].epoch - best.epoch >= patience


def _outputs(
    network: nn.Module, forward: nn.Module, images: torch.Tensor, targets: torch.Tensor, loss_of: Loss
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, K) and the loss of each image (N,), to which heads that only training has contribute."""
    with auxiliary_logits(network) as extra:
        logits = forward(images)
        losses = loss_of(_not_half(logits), targets)
        for inner in extra:
            losses = losses + AUXILIARY_WEIGHT * loss_of(_not_half(inner), targets)
    return logits, losses


def _batch(
    pixels: Images,
    data: Examples,
    rows: NDArray[np.int64],
    config: TrainConfig,
    class_weight: torch.Tensor,
    noise: torch.Generator,
) -> Batch:
    """Images (N, C, H, W), targets (N, K) and weights (N,) as training sees them."""
    images, device, augmentation = pixels[rows], pixels.device, config.augmentation
    targets = data.targets_of(rows, config.regularization.label_smoothing).to(device)
    images = augment(images, augmentation.augment, noise)
    images, targets = mix(images, targets, noise, mixup=augmentation.mixup, cutmix=augmentation.cutmix)
    weights = torch.from_numpy(data.weights[rows]).to(device)
    if data.task.training.label_issues:
        weights = weights * (targets @ class_weight.to(device))
    return images, targets, weights


def _attacked(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, how: AugmentationConfig, seed: int
) -> torch.Tensor:
    """The images that the network, as it is in evaluation mode, finds hardest near these [Madry et al. 2018]."""
    with frozen(network):
        return pgd(
            network, images, targets, how.adversarial_epsilon, steps=how.adversarial_steps, seed=seed, batch=len(images)
        )


def _validate(
    network: nn.Module, pixels: Images, data: Examples, config: TrainConfig, world: World
) -> tuple[float, float]:
    """Mean loss and score on the validation images, of which each process evaluates its share."""
    rows, how = world.share(data.val), config.optimization
    logits = logits_of(network, pixels, rows, how.batch_size, layout_for(network, pixels.device), how.amp)
    targets = data.targets_of(rows)
    losses = data.loss(how.loss)(logits, targets)
    scores = data.task.training_score(logits, targets, how.loss)
    loss, score = (world.sum(torch.stack([losses.sum(), scores.sum()]).double()) / len(data.val)).tolist()
    return loss, score


def logits_of(
    network: nn.Module,
    pixels: Images,
    rows: NDArray[np.int64],
    batch_size: int,
    layout: torch.memory_format = torch.contiguous_format,
    amp: str = "off",
) -> torch.Tensor:
    """Logits of images, in evaluation mode, on the CPU.

    Args:
        network: the network.
        pixels: images on the device of the network.
        rows: positions of the images (n,).
        batch_size: images per pass.
        layout: memory layout of the images.
        amp: "off", "bf16" or "fp16".

    Returns:
        Logits (n, K), float32.
    """
    network.eval()
    with torch.inference_mode(), autocast(pixels.device, amp):
        found = [
            network(pixels[rows[start : start + batch_size]].to(memory_format=layout)).float().cpu()
            for start in range(0, len(rows), batch_size)
        ]
    return torch.cat(found)


@contextlib.contextmanager
def autocast(device: str, amp: str) -> Iterator[None]:
    """Context manager: run passes in mixed precision.

    Args:
        device: "cpu" or "cuda".
        amp: "off", "bf16" or "fp16".

    Yields:
        Nothing.
    """
    dtype = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]
    with torch.autocast(device.partition(":")[0], dtype) if dtype else contextlib.nullcontext():
        yield


def layout_for(network: nn.Module, device: str) -> torch.memory_format:
    """The memory layout in which a network trains fastest.

    That is channels last, with two exceptions: on a CPU without AVX-512, families with `channels_last = False`; and
    networks with a strided 1x1 convolution of fewer than 8 input channels, whose backward pass corrupts memory on some
    processors (PyTorch 2.14).

    Args:
        network: the network.
        device: "cpu" or "cuda".

    Returns:
        The layout.
    """
    narrow = device == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512"
    slower = narrow and any(not getattr(m, "channels_last", True) for m in network.modules())
    risky = any(
        isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and max(m.stride) > 1 and m.in_channels < 8
        for m in network.modules()
    )
    return torch.contiguous_format if slower or risky else torch.channels_last


def copy_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the network's tensors.

    Args:
        network: the network.

    Returns:
        Tensors by name.
    """
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _not_half(logits: torch.Tensor) -> torch.Tensor:
    """Half precision is for the network; its loss is taken in float32."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _mixed(seed: int, step: int, rank: int) -> int:
    """A number for the random sources of one step in one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _diverged(value: float, step: int, epoch: int, rate: float, peak: float, what: str = "loss") -> TrainingError:
    return TrainingError(
        f"the {what} became {value} at step {step} (epoch {epoch})",
        found=f"learning rate {rate:.2g}",
        expected="a finite loss",
        fix=f"try --lr {peak / 10:.2g}; history.csv contains the epochs so far",
    )
