"""The options of a run: one frozen dataclass per subject; one default, one help line and one range per option.

The command line, the signatures of the Python API and config.json come from these classes, so an option exists in one
place. Training works with the same class: `resolve.resolve` fills in what the user left open. Configuration stops at
the functions that start a stage; everything below them takes plain arguments.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field, replace
from numbers import Number
from typing import TYPE_CHECKING, Any, get_type_hints

from clearsight.arguments import unknown_option
from clearsight.errors import ConfigError
from clearsight.train.augmentation_config import AugmentationConfig
from clearsight.train.choices import (
    ANOMALIES,
    INITIALISATIONS,
    OPTIMISERS,
    SCHEDULES,
    WITHOUT_MOMENTUM,
    known_losses,
    known_tasks,
)
from clearsight.train.decision_config import DecisionConfig, with_hierarchy
from clearsight.train.option_field import fault, low_high, option, option_fields, seconds
from clearsight.train.run_config import RunConfig
from clearsight.train.schedules import Schedule
from clearsight.train.transfer_config import TransferConfig

if TYPE_CHECKING:
    Auto = Any
else:
    Auto = None
"""None: training decides. Type checkers take it for Any, since a resolved config holds the value itself."""


@dataclass(frozen=True)
class DataConfig:
    """How files become pixels and splits."""

    resize_mode: str = option(
        "squash",
        "method for resizing images to the input size",
        choices={
            "squash": "the whole image, stretched to fit",
            "pad": "the whole image, padded to keep its aspect ratio",
            "crop": "a centre crop",
            "auto": "the mode with the best validation score",
        },
    )
    img_size: int | None = option(
        None, "side length of the square input in pixels (default: the network's own)", within="[1, 4096]"
    )
    test_fraction: float = option(
        0.25, "fraction of the images held out as the test split if the data has none, 0 to 1", within="(0, 1)"
    )
    order: str = option(
        "content",
        "order of the images, by which splits are drawn and batches are formed",
        choices={
            "content": "by their pixels: the same split and weights in every form of the data",
            "listed": "as the data lists them, as in earlier versions",
        },
    )
    task: str = option("auto", "what to predict", choices=known_tasks)
    angle: str | None = option(
        None,
        "unit of the targets if they are angles, so that 359 and 1 degrees are close (default: targets are not angles)",
        choices=("degrees", "radians"),
    )
    within: str | None = option(
        None, "range to which predicted values are clipped, such as -30,30 (default: no limits)"
    )
    normal: str | None = option(
        None, "classes that are normal for --task anomaly, such as good or 0,1,2 (default: the only class)"
    )
    grades: str | None = option(
        None, "grades for --task ordinal in ascending order, such as low,mid,high (default: numeric order)"
    )
    folds: int | None = option(
        None, "number of cross-validation folds; the first is the validation split (default: 5, or 10 for many images)",
        within="[2, inf)",
    )  # fmt: skip
    leave_out: str | None = option(
        None,
        "CSV file whose `image` column lists images to exclude from training, such as label_issues.csv (default: none)",
    )
    other: str | None = option(None, "class of out-of-distribution examples to be flagged as unknown (default: none)")
    data_dir: str | None = option(
        None, "folder with the files of a built-in data set, such as mnist (default: the cache)"
    )


@dataclass(frozen=True)
class ModelConfig:
    """Which network, and where its weights come from."""

    model: str = option("auto", "name of the network: one listed by `clearsight models`, timm/NAME, or auto")
    model_arg: dict[str, Any] = option(
        {}, "option of the network, such as residual=false or dropout=0.5; may be given several times (default: none)"
    )
    init: str | None = option(
        None,
        "initialisation of random weights, with an optional gain as in he:0.1; "
        "best-of:xavier,he,... tries several (default: the network's own)",
        choices=INITIALISATIONS,
        best_of=True,
        gain=True,
    )
    pretrained: bool | None = option(
        None, "start from pretrained weights (default: yes, if they are already on this machine)"
    )
    freeze: str = option(
        "auto",
        "pretrained layers to freeze",
        choices={
            "auto": "chosen by validation score and time budget",
            "all": "all layers; only a head is trained on their features",
            "lower": "the lower blocks; their number is chosen by validation score",
            "none": "none; earlier layers get lower learning rates than later ones",
            "recipe": "the blocks usually frozen for this amount of data and this similarity to ImageNet",
        },
    )
    anomaly: str = option("auto", "anomaly detection method for --task anomaly", choices=ANOMALIES)
    false_alarms: float = option(0.05, "false alarm rate on normal images for --task anomaly, 0 to 1", within="(0, 1)")


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


@dataclass(frozen=True)
class RegularizationConfig:
    """What keeps weights small and predictions cautious."""

    weight_decay: float | Auto = option(
        None,
        "weight decay: decoupled for adamw and muon, an L2 penalty for others (default: the optimiser's own)",
        within="[0, inf)",
    )
    l1: float = option(0.0, "coefficient of the L1 penalty on the weights", within="[0, inf)")
    max_norm: float | None = option(
        None, "maximum norm of the incoming weights of each unit (default: no limit)", within="(0, inf)"
    )
    label_smoothing: float | Auto = option(
        None,
        "fraction of the target probability spread over all classes, 0 to 1 (default: 0, or 0.1 for many small images)",
        within="[0, 1)",
    )
    class_weights: str = option(
        "none",
        "class weights in the loss",
        choices={"none": "equal weight for every image", "balanced": "equal weight for every class"},
    )
    ema: float | None = option(
        None,
        "decay of the exponential moving average of the weights, such as 0.99 (default: no average)",
        within="(0, 1)",
    )


@dataclass(frozen=True)
class TrainConfig:
    """All options of a run, by subject. Names are unique, so they are flat on the command line and in signatures.

    Example:
        >>> TrainConfig.from_options(model="lenet5", epochs=3).optimization.epochs
        3
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    regularization: RegularizationConfig = field(default_factory=RegularizationConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    decision: DecisionConfig = field(default_factory=DecisionConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @classmethod
    def from_options(cls, **options: Any) -> TrainConfig:
        """Build a config from flat option names.

        Args:
            **options: values by the name of the option, as in the Python API.

        Returns:
            The config.

        Raises:
            ConfigError: names every unknown option, every value out of range and every conflict at once.
        """
        config, faults = cls._parsed(options)
        _refuse([*faults, *config._conflicts()])
        return config

    @classmethod
    def given(cls, **options: Any) -> TrainConfig:
        """Options as a user gives them: those of a run may be added, and only then it is clear whether they conflict.

        Args:
            **options: values by the name of the option.

        Returns:
            The config; with `resume` or `from_run`, conflicts between options are not checked.

        Raises:
            ConfigError: as of `from_options`.
        """
        if not options.get("resume") and options.get("from_run") is None:
            return cls.from_options(**options)
        config, faults = cls._parsed(options)
        _refuse(faults)
        return config

    @classmethod
    def _parsed(cls, options: dict[str, Any]) -> tuple[TrainConfig, list[str]]:
        """The config, and every unknown option and value out of range."""
        known, hints = options_by_name(), option_types()
        faults: list[str] = []
        chosen: dict[str, Any] = {}
        for name, value in options.items():
            if name not in known:
                faults.append(unknown_option(name, known))
                continue
            if value is None and known[name].default is dataclasses.MISSING:  # of a dict: none was given
                continue
            value = os.fspath(value) if isinstance(value, os.PathLike) else value  # a run too
            if name in ("normal", "head_widths") and isinstance(value, Number):
                value = str(value)
            if name in ("within", "normal", "grades", "head_widths") and isinstance(value, tuple | list):
                value = ",".join(map(str, value))
            if wrong := fault(known[name], value, hints[name]):
                faults.append(wrong)
            else:
                chosen[name] = value
        return cls().with_options(**with_hierarchy(chosen)), faults

    def with_options(self, **values: Any) -> TrainConfig:
        """The config with other values of some options, unchecked.

        Args:
            **values: values by the name of the option.

        Returns:
            The new config.
        """
        sections = {}
        for name, section in vars(self).items():
            own = {key: values.pop(key) for key in vars(section) if key in values}
            sections[name] = replace(section, **own)
        assert not values, f"unknown fields: {', '.join(values)}"
        return TrainConfig(**sections)

    def _conflicts(self) -> list[str]:
        """Options that exclude each other, and values no range can describe."""
        m, o, a, faults = self.model, self.optimization, self.augmentation, self.decision.conflicts()
        if self.run.old_images is not None and self.run.from_run is None:
            faults.append("--old-images has an effect only with --from: add --from RUN")
        faults += self.transfer.conflicts(m.freeze, m.pretrained)
        if self.run.budget is not None:
            try:
                seconds(self.run.budget)
            except ConfigError as error:
                faults.append(str(error).rstrip("."))
        if m.init is not None and m.pretrained:
            faults.append("--init and --pretrained both set the initial weights: drop one")
        if m.freeze in ("all", "lower", "recipe") and m.pretrained is False:
            faults.append(f"--freeze {m.freeze} needs published weights, which --no-pretrained excludes: drop one")
        if self.data.within is not None:
            try:
                low_high(self.data.within)
            except ConfigError as error:
                faults.append(str(error).rstrip("."))
            if self.data.angle:
                faults.append("--within does not apply to angles and cannot be combined with --angle: drop one")
        if self.data.task != "anomaly":
            changed = {"--normal": self.data.normal is not None, "--anomaly": m.anomaly != "auto"}
            changed["--false-alarms"] = m.false_alarms != 0.05
            if given := [name for name, asked in changed.items() if asked]:
                faults.append(f"add --task anomaly to use {', '.join(given)}")
        if o.loss == "gaussian-nll" and self.data.angle:
            faults.append("--loss gaussian-nll does not apply to angles and cannot be combined with --angle: drop one")
        if o.lr is not None and o.lr_find:
            faults.append("--lr and --lr-find both set the learning rate: drop one")
        if o.lr_find and o.opt in ("lbfgs", "armijo"):
            faults.append(
                f"--lr-find has no effect with --opt {o.opt}, which finds a learning rate at each step: drop one"
            )
        faults += schedule_conflicts(o)
        if a.mixup and a.cutmix:
            faults.append("--mixup and --cutmix cannot be combined: drop one")
        if o.loss in ("hinge", "focal") and (a.mixup or a.cutmix):
            faults.append(
                f"--loss {o.loss} is not defined for the mixed targets of --mixup and --cutmix: use a different loss"
            )
        if a.adversarial == "none" and (a.adversarial_epsilon != 0.03 or a.adversarial_steps != 7):
            faults.append(
                "--adversarial-epsilon and --adversarial-steps have an effect only with --adversarial pgd: add it"
            )
        if o.opt in ("lbfgs", "armijo") and o.amp == "fp16":
            faults.append(f"--opt {o.opt} uses a line search on the loss, which --amp fp16 rescales: drop one")
        if o.opt in WITHOUT_MOMENTUM and o.momentum != 0.9:
            faults.append(f"--opt {o.opt} does not use --momentum: drop it, or use --opt momentum")
        if o.opt == "gd" and o.accumulate > 1:
            faults.append("--opt gd uses all images at each step: drop --accumulate")
        return faults

    def changed(self) -> dict[str, Any]:
        """Options that differ from their defaults.

        Returns:
            Values by name, without `resume` and `out`, whose folder is in use now.
        """
        default = TrainConfig().options()
        return {
            name: value
            for name, value in self.options().items()
            if name not in ("out", "resume") and value != default[name]
        }

    def options(self) -> dict[str, Any]:
        """The value of every option.

        Returns:
            Values by flat name.
        """
        return {name: value for section in self.to_dict().values() for name, value in section.items()}

    def training(self) -> dict[str, Any]:
        """The options that the training loop reads.

        Returns:
            Values of optimisation, regularisation and augmentation by flat name.
        """
        return {**vars(self.optimization), **vars(self.regularization), **vars(self.augmentation)}

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """All options as plain values for JSON.

        Returns:
            Values by subject and name.
        """
        return {
            name: {f.name: getattr(section, f.name) for f in option_fields(type(section))}
            for name, section in vars(self).items()
        }


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ConfigError("; ".join(faults), fix="See `clearsight train --help` for all options.")


SECTIONS: dict[str, type] = {name: type(section) for name, section in vars(TrainConfig()).items()}
"""The dataclass of each subject."""


def options_by_name() -> dict[str, dataclasses.Field[Any]]:
    """The dataclass field of every option.

    Returns:
        Fields by flat name.
    """
    return {f.name: f for section in SECTIONS.values() for f in option_fields(section)}


def option_types() -> dict[str, Any]:
    """The type of every option.

    Returns:
        Types by flat name.
    """
    return {name: hint for section in SECTIONS.values() for name, hint in get_type_hints(section).items()}


def schedule_conflicts(o: OptimizationConfig) -> list[str]:
    """Options of the learning rate that the schedule does not use.

    Args:
        o: options of optimisation.

    Returns:
        A sentence for each, with what to do.
    """
    used = {"--step-factor": ("step", "plateau"), "--step-every": ("step",), "--decay": ("exponential",)}
    given = {"--step-factor": o.step_factor != 0.1, "--step-every": bool(o.step_every)}
    given["--decay"] = bool(o.decay)
    return [
        f"{name} has no effect with --sched {o.sched}: drop it, or use --sched {' or '.join(used[name])}"
        for name, asked in given.items()
        if asked and o.sched not in used[name]
    ]
