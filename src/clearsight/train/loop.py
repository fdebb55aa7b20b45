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
from clearsight.errors import TrainingError
from clearsight.models.auxiliary import AUXILIARY_WEIGHT, auxiliary_logits
from clearsight.models.network import frozen
from clearsight.scale.distributed import ALONE, World
from clearsight.tasks import Task
from clearsight.tasks.losses import one_hot_targets
from clearsight.train.batch_norm import freeze_bn, frozen_statistics
from clearsight.train.checkpoint import Checkpoint
from clearsight.train.class_weights import class_weights
from clearsight.train.observer import Epoch, Observer, Step
from clearsight.train.optimisers import LINE_SEARCHES, build_optimiser
from clearsight.train.regularisers import WeightAverage, l1_penalty, limit_gradient, limit_norms
from clearsight.train.schedules import rate_factor

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Images (N, C, H, W), targets (N, K) and weights (N,)."""


@dataclass(frozen=True)
class Examples:
    """Labelled images: pixels (N, C, H, W) uint8, uint16 or float32 in [0, 1]; labels (N,) class indices; weights (N,)
    how far each label is trusted; train, val: positions among the N. task: what is learned. targets (N, E): what it
    encodes; None for the classes that labels say.
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

    def wanted(self, rows: NDArray[np.int64], smoothing: float = 0.0) -> torch.Tensor:
        """Encoded targets (N, E) of some images, of classes one-hot; smoothing: the share spread over all names."""
        if self.targets is None:
            return one_hot_targets(torch.from_numpy(self.labels[rows]), self.classes, smoothing)
        return self.task.smoothed(torch.from_numpy(self.targets[rows]), smoothing)


@dataclass(frozen=True)
class Training:
    """How to train, every value decided; `config.TrainConfig` says what each means.

    frozen_norm: batch normalisation keeps its running statistics, as fine-tuning a pretrained network wants.
    amp: off, bf16 or fp16.
    """

    epochs: int
    batch_size: int
    max_steps: int | None = None
    accumulate: int = 1
    loss: str = "cross-entropy"
    opt: str = "adamw"
    sched: str = "one-cycle"
    warm_up: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 0.05
    l1: float = 0.0
    max_norm: float | None = None
    clip: float | None = 1.0
    label_smoothing: float = 0.0
    class_weights: str = "none"
    augment: str = "none"
    mixup: float = 0.0
    cutmix: float = 0.0
    adversarial: str = "none"
    adversarial_epsilon: float = 0.03
    adversarial_steps: int = 7
    ema: float | None = None
    patience: int = 10
    val_every: int | None = None
    amp: str = "off"
    compile: bool = False
    frozen_norm: bool = False

    def steps_per_epoch(self, images: int) -> int:
        """Updates in one pass over the training images."""
        return math.ceil(images / self.images_per_step(images))

    def images_per_step(self, images: int) -> int:
        """Images behind one update: the batch times the batches accumulated, or all for gradient descent."""
        return images if self.opt == "gd" else min(images, self.batch_size * self.accumulate)


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
    how: Training,
    groups: Sequence[dict[str, Any]],
    *,
    seed: int,
    device: str,
    checkpoint: Checkpoint | None = None,
    observer: Observer | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    world: World = ALONE,
) -> Trained:
    """Train in place; the weights of the epoch with the lowest validation loss are kept.

    groups: parameter groups for the optimiser, each with its own peak rate `lr`. checkpoint: where to go on from, if it
    holds something, and to save to. on_step(done, total), on_epoch(epoch): called as training goes on. world: the
    processes that share each batch. Raises TrainingError when the loss of a step or of validation is no longer a finite
    number; the network then holds its best weights so far.
    """
    layout = layout_for(network, device)
    network.to(device).to(memory_format=layout)
    optimiser = build_optimiser(how.opt, groups, momentum=how.momentum, weight_decay=how.weight_decay)
    peaks = [float(group["lr"]) for group in optimiser.param_groups]
    average = WeightAverage(network, how.ema) if how.ema else None
    scaler = torch.amp.GradScaler(device, enabled=how.amp == "fp16")
    forward = world.wrap(torch.compile(network) if how.compile else network, device)
    loss_of, per_class = data.task.training.losses[how.loss], torch.ones(data.classes)
    if how.class_weights == "balanced":
        per_class = class_weights(data.labels[data.train], data.classes)
    per_epoch = how.steps_per_epoch(len(data.train))
    total = min(per_epoch * how.epochs, how.max_steps or per_epoch * how.epochs)

    def loss_and_gradient(pieces: Sequence[Batch], weight: torch.Tensor) -> tuple[float, float, torch.Tensor]:
        """Loss of a step's batches together, sum of the images' scores, logits of the last batch; gradients are left in
        place.
        """
        optimiser.zero_grad(set_to_none=True)
        sums = torch.zeros(2, dtype=torch.float64, device=device)  # of losses, of scores; asked for once
        for number, (images, target, w) in enumerate(pieces):
            together = world.no_sync(forward, last=number == len(pieces) - 1)
            with together, auxiliary_logits(network) as extra, autocast(device, how.amp):
                logits = forward(images.to(memory_format=layout))
                losses = loss_of(_not_half(logits), target)
                for inner in extra:
                    losses = losses + AUXILIARY_WEIGHT * loss_of(_not_half(inner), target)
                loss = (losses * w).sum() / weight
                cost = loss + how.l1 * l1_penalty(network) / (len(pieces) * world.size) if how.l1 else loss
            scaler.scale(cost * world.size).backward()  # type: ignore[no-untyped-call]
            scores = data.task.training_score(logits.detach(), target, how.loss)
            sums += torch.stack([loss.detach().double(), scores.sum().double()])
        if scaler.is_enabled():
            scaler.unscale_(optimiser)
        value, right = world.sum(sums).tolist()
        return value, right, logits.detach()

    def searched(pieces: Sequence[Batch], weight: torch.Tensor, step: int) -> float:
        """What is minimised, at weights a line search tries, with the same random numbers."""
        torch.manual_seed(_mixed(seed, step, world.rank))
        with frozen_statistics(network):
            value = loss_and_gradient(pieces, weight)[0]
        limit_gradient(network, how.clip)
        return value + (how.l1 * float(l1_penalty(network).detach()) if how.l1 else 0.0)

    pixels = Images(data.pixels, device)
    history: list[Epoch] = []
    best_state = copy_state(network)
    step, seen, before, tally = 0, 0, 0.0, np.zeros(3)  # tally: summed loss, right answers, images since the last line
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        scaler.load_state_dict(saved["scaler"])
        if average is not None:
            average.load_state_dict(saved["average"])
        history, best_state = [Epoch(**row) for row in saved["history"]], saved["best"]
        step, seen, before, tally = saved["step"], saved["seen"], saved["seconds"], np.array(saved["tally"])
        for line in history:
            if on_epoch:
                on_epoch(line)
    began, shuffled, order = time.perf_counter() - before, 0, data.train
    if observer:
        observer.start(network, groups)

    while step < total and not _worn_out(history, how.patience):
        asked = time.perf_counter()
        epoch, place = step // per_epoch + 1, step % per_epoch
        if shuffled != epoch:
            order, shuffled = np.random.default_rng([seed, epoch]).permutation(data.train), epoch
        rows = np.array_split(order, per_epoch)[place]  # nearly equal steps: no last one too small to normalise over
        torch.manual_seed(_mixed(seed, step, world.rank))  # dropout and its like
        noise = torch.Generator().manual_seed(_mixed(seed, step, world.rank))
        parts = np.array_split(rows, math.ceil(len(rows) / how.batch_size))
        pieces = [_batch(pixels, data, world.share(part), how, per_class, noise) for part in parts]
        weight = world.sum(torch.stack([w.sum() for _, _, w in pieces]).sum())  # of the whole step, on all processes
        losses_so_far = [line.val_loss for line in history]
        factor = rate_factor(how.sched, step / max(1, total - 1), how.warm_up, losses_so_far, how.patience)
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        rate, waited = max(peaks) * factor, time.perf_counter() - asked
        if how.adversarial == "pgd":
            start = _mixed(seed, step, world.rank)
            pieces = [(_attacked(network, x, target, how, start), target, w) for x, target, w in pieces]

        network.train()
        if how.frozen_norm:
            freeze_bn(network)
        if observer:
            observer.before_forward(step + 1)
        value, right, logits = loss_and_gradient(pieces, weight)
        images, target, _ = pieces[-1]
        spent = time.perf_counter() - asked
        facts = Step(step + 1, total, epoch, rate, value, images, target, logits, waited, spent, len(parts[-1]))
        if observer:
            observer.after_backward(facts)
        if not math.isfinite(value):
            network.load_state_dict(best_state)
            raise _diverged(value, step + 1, epoch, rate, max(peaks))
        limit_gradient(network, how.clip)
        search = (partial(searched, pieces, weight, step),) if how.opt in LINE_SEARCHES else ()
        scaler.step(optimiser, *search)
        scaler.update()
        if how.max_norm is not None:
            limit_norms(network, how.max_norm)
        if average is not None:
            average.update(network)
        tally += value * len(rows), right, len(rows)
        step, seen = step + 1, seen + len(rows)
        if observer:
            observer.after_update(facts)
        if on_step:
            on_step(step, total)

        if step == total or (step % how.val_every == 0 if how.val_every else step % per_epoch == 0):
            with average.applied(network) if average is not None else contextlib.nullcontext():
                val_loss, val_accuracy = _validate(network, pixels, data, how, world)
                train_loss, train_accuracy = float(tally[0] / tally[2]), float(tally[1] / tally[2])
                spent = time.perf_counter() - began
                line = Epoch(epoch, step, rate, train_loss, train_accuracy, val_loss, val_accuracy, spent)
                if val_loss < min((earlier.val_loss for earlier in history), default=math.inf):
                    best_state = copy_state(network)
            if math.isfinite(val_loss):
                history.append(line)
                if on_epoch:
                    on_epoch(line)
            if observer:
                observer.after_epoch(line)
            if not math.isfinite(val_loss):
                network.load_state_dict(best_state)
                raise _diverged(val_loss, step, epoch, rate, max(peaks), "validation loss")
            tally = np.zeros(3)
        if checkpoint is not None and checkpoint.due():
            checkpoint.save(
                network=network.state_dict(),
                optimiser=optimiser.state_dict(),
                scaler=scaler.state_dict(),
                average=average.state_dict() if average is not None else {},
                history=[asdict(line) for line in history],
                best=best_state,
                step=step,
                seen=seen,
                seconds=time.perf_counter() - began,
                tally=tally.tolist(),
            )

    network.load_state_dict(best_state)
    network.eval().to("cpu").to(memory_format=torch.contiguous_format)
    best = min(history, key=lambda e: e.val_loss)
    return Trained(tuple(history), best, seen / (time.perf_counter() - began), stopped_early=step < total)


def _worn_out(history: Sequence[Epoch], patience: int) -> bool:
    """Whether the validation loss has not got better for `patience` epochs."""
    if not history:
        return False
    best = min(history, key=lambda e: e.val_loss)
    return history[-1].epoch - best.epoch >= patience


def _batch(
    pixels: Images,
    data: Examples,
    rows: NDArray[np.int64],
    how: Training,
    per_class: torch.Tensor,
    noise: torch.Generator,
) -> Batch:
    """Images (N, C, H, W), targets (N, K) and weights (N,) as training sees them."""
    images, device = pixels[rows], pixels.device
    wanted = data.wanted(rows, how.label_smoothing).to(device)
    images = augment(images, how.augment, noise)
    images, wanted = mix(images, wanted, noise, mixup=how.mixup, cutmix=how.cutmix)
    weights = torch.from_numpy(data.weights[rows]).to(device)
    if data.task.training.label_issues:
        weights = weights * (wanted @ per_class.to(device))
    return images, wanted, weights


def _attacked(network: nn.Module, images: torch.Tensor, wanted: torch.Tensor, how: Training, seed: int) -> torch.Tensor:
    """The images that the network, as it is in evaluation mode, finds hardest near these [Madry et al. 2018]."""
    with frozen(network):
        return pgd(
            network, images, wanted, how.adversarial_epsilon, steps=how.adversarial_steps, seed=seed, batch=len(images)
        )


def _validate(network: nn.Module, pixels: Images, data: Examples, how: Training, world: World) -> tuple[float, float]:
    """Mean loss and score on the validation images, each process judging its share."""
    rows = world.share(data.val)
    logits = logits_of(network, pixels, rows, how.batch_size, layout_for(network, pixels.device), how.amp)
    wanted = data.wanted(rows)
    losses, scores = (
        data.task.training.losses[how.loss](logits, wanted),
        data.task.training_score(logits, wanted, how.loss),
    )
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
    """Logits (len(rows), K) on the CPU, in evaluation mode, of a network that is where the images are asked for."""
    network.eval()
    with torch.inference_mode(), autocast(pixels.device, amp):
        found = [
            network(pixels[rows[start : start + batch_size]].to(memory_format=layout)).float().cpu()
            for start in range(0, len(rows), batch_size)
        ]
    return torch.cat(found)


@contextlib.contextmanager
def autocast(device: str, amp: str) -> Iterator[None]:
    """Run the block's passes in bfloat16 or float16 where that is asked for."""
    dtype = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]
    with torch.autocast(device, dtype) if dtype else contextlib.nullcontext():
        yield


def layout_for(network: nn.Module, device: str) -> torch.memory_format:
    """Channels last, which most networks train faster in, with two exceptions: on a CPU without AVX-512, families that
    say `channels_last = False` of themselves; and networks with a strided 1x1 convolution of few input channels, whose
    backward pass corrupts memory on some processors (PyTorch 2.14, seen with fewer than 8).
    """
    narrow = device == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512"
    slower = narrow and any(not getattr(m, "channels_last", True) for m in network.modules())
    risky = any(
        isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and max(m.stride) > 1 and m.in_channels < 8
        for m in network.modules()
    )
    return torch.contiguous_format if slower or risky else torch.channels_last


def copy_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's tensors, copied."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _not_half(logits: torch.Tensor) -> torch.Tensor:
    """Half precision is for the network; its loss is taken in float32."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _mixed(seed: int, step: int, rank: int) -> int:
    """A number for the random sources of one step in one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _diverged(value: float, step: int, epoch: int, rate: float, peak: float, what: str = "loss") -> TrainingError:
    return TrainingError(
        f"the {what} became {value} in step {step} (epoch {epoch})",
        found=f"learning rate {rate:.2g}",
        expected="a finite loss",
        fix=f"try --lr {peak / 10:.2g}; history.csv holds the epochs so far",
    )
