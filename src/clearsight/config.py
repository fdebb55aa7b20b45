"""The options of a run: one frozen dataclass per stage, one default and one help line per option.

The command line is generated from these classes and the Python API takes the same names, so an option exists in one
place. Configuration stops at the functions that start a stage; everything below them takes plain arguments.
"""

from __future__ import annotations

import dataclasses
import re
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from clearsight.errors import ConfigError, nearest


def option(default: Any, help: str, *, choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field with the one help line and, where the set is closed, the allowed values."""
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class DataConfig:
    """How files become pixels and splits."""

    fit: str = option(
        "squash",
        "how an image meets the input size: squash (all of it, stretched), pad (all of it, bordered), "
        "crop (its centre), auto (measured)",
        choices=("auto", "crop", "pad", "squash"),
    )
    img_size: int | None = option(None, "side of the square input in pixels (default: the network's own)")
    test_fraction: float = option(0.25, "share of the images held out for the test, where no test split is given")
    folds: int = option(5, "parts the development images are cut into; one of them validates")
    data_dir: str | None = option(None, "folder that holds the files of a built-in data set (mnist, ...)")


@dataclass(frozen=True)
class ModelConfig:
    """Which network, and where its weights come from."""

    model: str = option("auto", "a name from `clearsight models`, timm/NAME, or auto")
    pretrained: bool | None = option(None, "start from published weights (default: if they are on this machine)")
    freeze: str = option(
        "auto",
        "which weights stay as they are: all (train a head on frozen features), none (train everything), auto",
        choices=("auto", "all", "none"),
    )


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained by gradient descent."""

    epochs: int | None = option(None, "passes over the training images (default: from data, network and budget)")
    batch_size: int | None = option(None, "images per step (default: 128, smaller for little data)")
    lr: float | None = option(None, "peak learning rate (default: by optimiser and batch size)")
    weight_decay: float = option(0.05, "decoupled weight decay of AdamW")
    label_smoothing: float = option(0.0, "share of belief spread over the other classes in the target, 0 to 1")
    augment: str = option(
        "light",
        "changes to training images: none, light (shift, turn, zoom), strong (also mirror, light, erasing)",
        choices=("none", "light", "strong"),
    )
    patience: int = option(10, "epochs without a better validation loss before training stops")


@dataclass(frozen=True)
class RunConfig:
    """Where a run is written and what it may cost."""

    out: str | None = option(None, "folder to write (default: runs/NAME, numbered when taken)")
    budget: str | None = option(
        None, "further time that may be spent on training a pretrained network, such as 90s, 5m or 1h"
    )
    seed: int = option(0, "number that fixes the splits, the initial weights and the order of the data")
    device: str = option("auto", "processor that trains", choices=("auto", "cpu", "cuda"))


@dataclass(frozen=True)
class Config:
    """All options of a run, by stage."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @classmethod
    def from_options(cls, **options: Any) -> Config:
        """Build a config from flat option names: `Config.from_options(model="lenet5", epochs=3)`.

        Raises ConfigError naming every unknown option and every bad value at once.
        """
        stages: dict[str, Any] = {stage.name: stage.default_factory for stage in dataclasses.fields(cls)}
        owner = {f.name: (name, f) for name, made in stages.items() for f in dataclasses.fields(made)}
        faults: list[str] = []
        chosen: dict[str, dict[str, Any]] = {name: {} for name in stages}
        for name, value in options.items():
            if name not in owner:
                faults.append(f"there is no option {name!r} ({nearest(name, owner)})")
                continue
            stage, f = owner[name]
            value = str(value) if isinstance(value, Path) else value
            if fault := _fault(name, f, value, get_type_hints(stages[stage])[name]):
                faults.append(fault)
            chosen[stage][name] = value
        if faults:
            raise ConfigError("; ".join(faults), fix="See `clearsight train --help` for every option.")
        config = cls(**{name: made(**chosen[name]) for name, made in stages.items()})
        config._check()
        return config

    def _check(self) -> None:
        """Refuse values outside their range, all of them in one message."""
        faults = []
        d, t = self.data, self.train
        if d.img_size is not None and not 1 <= d.img_size <= 4096:
            faults.append(f"--img-size {d.img_size} must lie between 1 and 4096 pixels")
        if not 0 < d.test_fraction < 1:
            faults.append(f"--test-fraction {d.test_fraction} must lie between 0 and 1")
        if d.folds < 2:
            faults.append(f"--folds {d.folds} must be 2 or more")
        if t.epochs is not None and t.epochs < 1:
            faults.append(f"--epochs {t.epochs} must be 1 or more")
        if t.batch_size is not None and t.batch_size < 1:
            faults.append(f"--batch-size {t.batch_size} must be 1 or more")
        if t.lr is not None and not t.lr > 0:
            faults.append(f"--lr {t.lr} must be above 0")
        if t.weight_decay < 0:
            faults.append(f"--weight-decay {t.weight_decay} must be 0 or more")
        if not 0 <= t.label_smoothing < 1:
            faults.append(f"--label-smoothing {t.label_smoothing} must lie in [0, 1)")
        if t.patience < 1:
            faults.append(f"--patience {t.patience} must be 1 or more")
        if self.run.budget is not None:
            try:
                seconds(self.run.budget)
            except ConfigError as error:
                faults.append(str(error).rstrip("."))
        if not 0 <= self.run.seed < 2**32:
            faults.append(f"--seed {self.run.seed} must lie between 0 and 4294967295")
        if faults:
            raise ConfigError("; ".join(faults))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The config as plain values for JSON, by stage."""
        return dataclasses.asdict(self)


def seconds(text: str) -> float:
    """Read a length of time: `90`, `90s`, `5m`, `1.5h`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not match or float(match[1]) <= 0:
        raise ConfigError("a time cannot be read", found=repr(text), expected="a positive one, such as 90s, 5m or 1h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def value_type(annotation: Any) -> tuple[type, bool]:
    """The plain type behind an option's annotation, and whether None is allowed."""
    if get_origin(annotation) in (types.UnionType, Union):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        return inner[0], True
    return annotation, False


def _fault(name: str, f: dataclasses.Field[Any], value: Any, annotation: Any) -> str | None:
    kind, optional = value_type(annotation)
    if value is None and optional:
        return None
    choices = f.metadata["choices"]
    if choices and value not in choices:
        return f"--{name.replace('_', '-')} {value!r} is not one of {', '.join(choices)}"
    good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not good and not (kind is float and isinstance(value, int) and not isinstance(value, bool)):
        return f"--{name.replace('_', '-')} {value!r} should be a {kind.__name__}"
    return None
