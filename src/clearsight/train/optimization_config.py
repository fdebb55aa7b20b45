"""The options of gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clearsight.train.choices import OPTIMISERS, SCHEDULES, WITHOUT_MOMENTUM, known_losses
from clearsight.train.option_field import Auto, option
from clearsight.train.schedules import Schedule


@dataclass(frozen=True)
class OptimizationConfig:
    """What gradient descent minimises, by which steps, and for how long."""

    epochs: int | Auto = option(
        None,
        "number of passes over the training images (default: chosen from data, network and budget)",
        within="[1, inf)",
    )
    max_steps: int | None = option(None, "maximum number of training steps (default: no limit)", within="[1, inf)")
    batch_size: int | Auto = option(
        None,
        "images per batch (default: 128; 256 with muon; smaller for fine-tuning or with little data or memory)",
        within="[1, inf)",
    )
    accumulate: int = option(
        1, "number of batches over which gradients are accumulated before each step", within="[1, inf)"
    )
    loss: str | Auto = option(
        None, "loss function (default: cross-entropy, bce for multilabel, huber for regression)", choices=known_losses
    )
    opt: str | Auto = option(
        None,
        "optimiser (default: adamw; muon for training from scratch on many small images, or for regression on many "
        "images)",
        choices=OPTIMISERS,
    )
    lr: float | None = option(None, "peak learning rate (default: the optimiser's own)", within="(0, inf)")
    lr_find: bool = option(False, "set the learning rate with a range test (default: off)")
    sched: str = option("one-cycle", "learning rate schedule", choices=SCHEDULES)
    step_factor: float = option(
        0.1, "factor of the learning rate at each drop of --sched step and plateau, 0 to 1", within="(0, 1)"
    )
    step_every: float = option(
        0.0,
        "number of epochs between the drops of --sched step; 0 drops after half and three quarters of the run",
        within="[0, inf)",
    )
    decay: float = option(
        0.0,
        "factor of the learning rate per epoch with --sched exponential, 0 to 1; 0 decays to a thousandth over the run",
        within="[0, 1)",
    )
    warm_up: float = option(0.0, "fraction of the run during which the learning rate warms up, 0 to 1", within="[0, 1)")
    momentum: float = option(0.9, "momentum, for optimisers that use it, 0 to 1", within="[0, 1)")
    clip: float | Auto = option(
        None,
        "clip the gradient norm to this value; 0 turns clipping off (default: 1, or 0 with a line search)",
        within="[0, inf)",
    )
    patience: int = option(
        10,
        "number of epochs without an improvement in the validation loss after which training stops",
        within="[1, inf)",
    )
    val_every: int | None = option(None, "number of steps between validations (default: one epoch)", within="[1, inf)")
    amp: str = option(
        "auto",
        "number format for mixed-precision training",
        choices={
            "auto": "bf16 if the hardware supports it and it speeds up the network",
            "bf16": "bfloat16 with float32 weights",
            "fp16": "float16 with loss scaling (GPU only)",
            "off": "float32",
        },
    )
    compile: bool = option(False, "compile the network with torch.compile (default: off)")
    freeze_bn: bool | Auto = None
    """Batch normalisation keeps its running statistics; no option: training decides it, yes for pretrained weights."""

    @property
    def schedule(self) -> Schedule:
        """The schedule of the learning rate."""
        return Schedule(self.sched, self.warm_up, self.patience, self.step_factor, self.step_every, self.decay)

    def steps_per_epoch(self, images: int) -> int:
        """Number of steps in one pass over the training images.

        Args:
            images: number of training images.

        Returns:
            The number of steps.
        """
        return math.ceil(images / self.images_per_step(images))

    def images_per_step(self, images: int) -> int:
        """Number of images behind one step.

        Args:
            images: number of training images.

        Returns:
            Batch size times accumulated batches; all images for gradient descent.
        """
        return images if self.opt == "gd" else min(images, self.batch_size * self.accumulate)

    def conflicts(self) -> list[str]:
        """Options that exclude each other or have no effect."""
        found = []
        if self.lr is not None and self.lr_find:
            found.append("--lr and --lr-find both set the learning rate: drop one")
        if self.opt in ("lbfgs", "armijo"):
            if self.lr_find:
                why = "which finds a learning rate at each step"
                found.append(f"--lr-find has no effect with --opt {self.opt}, {why}: drop one")
            if self.amp == "fp16":
                found.append(f"--opt {self.opt} uses a line search on the loss, which --amp fp16 rescales: drop one")
        if self.opt in WITHOUT_MOMENTUM and self.momentum != 0.9:
            found.append(f"--opt {self.opt} does not use --momentum: drop it, or use --opt momentum")
        if self.opt == "gd" and self.accumulate > 1:
            found.append("--opt gd uses all images at each step: drop --accumulate")
        used = {"--step-factor": ("step", "plateau"), "--step-every": ("step",), "--decay": ("exponential",)}
        given = {"--step-factor": self.step_factor != 0.1, "--step-every": bool(self.step_every)}
        given["--decay"] = bool(self.decay)
        return found + [
            f"{name} has no effect with --sched {self.sched}: drop it, or use --sched {' or '.join(used[name])}"
            for name, asked in given.items()
            if asked and self.sched not in used[name]
        ]
