"""Checks of arguments that several functions share, and the names that arguments have in other libraries."""

from __future__ import annotations

import inspect
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from clearsight.errors import ConfigError, nearest

Function = TypeVar("Function", bound=Callable[..., Any])

OTHER_OPTIONS = {
    **dict.fromkeys(
        ("imgsz", "image_size", "imagesize", "input_size", "target_size", "size", "img", "resolution"), "img_size"
    ),
    **dict.fromkeys(("optimizer", "optimiser", "optim", "opt_func", "solver"), "opt"),
    **dict.fromkeys(("learning_rate", "lr0", "lr_max", "max_lr", "base_lr", "learning_rate_init"), "lr"),
    **dict.fromkeys(("num_epochs", "n_epochs", "max_epochs", "n_epoch", "num_train_epochs", "max_iter"), "epochs"),
    **dict.fromkeys(("bs", "batch", "train_batch_size"), "batch_size"),
    **dict.fromkeys(
        ("scheduler", "lr_scheduler", "schedule", "lr_schedule", "learning_rate_schedule", "lr_scheduler_type"), "sched"
    ),
    **dict.fromkeys(("arch", "architecture", "backbone", "model_name", "network"), "model"),
    **dict.fromkeys(
        (
            "augmentation",
            "augmentations",
            "transform",
            "transforms",
            "aug",
            "auto_augment",
            "batch_tfms",
            "aug_transforms",
        ),
        "augment",
    ),
    **dict.fromkeys(("random_state", "random_seed", "manual_seed"), "seed"),
    **dict.fromkeys(("output_dir", "out_dir", "save_dir", "project", "output", "default_root_dir"), "out"),
    **dict.fromkeys(("test_size", "test_split"), "test_fraction"),
    **dict.fromkeys(("cv", "n_splits", "n_folds", "kfold", "k_fold"), "folds"),
    **dict.fromkeys(("smoothing", "labelsmoothing"), "label_smoothing"),
    **dict.fromkeys(("warmup", "warmup_epochs", "warmup_ratio", "warmup_steps"), "warm_up"),
    **dict.fromkeys(("model_ema", "ema_decay", "use_ema"), "ema"),
    **dict.fromkeys(("criterion", "loss_func", "loss_fn"), "loss"),
    **dict.fromkeys(("wd", "weight_decay_rate"), "weight_decay"),
    **dict.fromkeys(("early_stopping", "early_stopping_patience"), "patience"),
    **dict.fromkeys(("time_limit", "time_budget", "max_time"), "budget"),
    **dict.fromkeys(("fp16", "mixed_precision", "half"), "amp"),
    **dict.fromkeys(("pretrain",), "pretrained"),
    **dict.fromkeys(("resize", "fit", "fit_mode"), "resize_mode"),
    **dict.fromkeys(("from_", "init_from", "base_run", "resume_from"), "from_run"),
    **dict.fromkeys(
        ("gradient_clip_val", "max_grad_norm", "grad_clip", "clip_grad", "clipnorm", "global_clipnorm"), "clip"
    ),
    **dict.fromkeys(("accumulate_grad_batches", "gradient_accumulation_steps", "grad_accum_steps"), "accumulate"),
}
"""Options of training as Ultralytics, fastai, Keras, timm, Lightning and scikit-learn call them, and as they are called
here.
"""

NOT_NEEDED = {
    **dict.fromkeys(("num_classes", "n_classes", "nc", "n_out"), "the number of classes is determined by the data"),
    **dict.fromkeys(("in_chans", "in_channels", "n_channels"), "the number of channels is determined by the images"),
    **dict.fromkeys(("workers", "num_workers", "n_jobs"), "images are decoded once, using all cores"),
    **dict.fromkeys(
        ("val_split", "validation_split", "valid_pct"), "set the number of cross-validation folds with `folds`"
    ),
}
"""Options that other libraries have and training here does not need, and why."""

OTHER_NETWORK_ARGUMENTS = {
    **dict.fromkeys(("num_classes", "n_classes", "nc", "n_out"), "classes"),
    **dict.fromkeys(("in_chans", "in_channels", "n_channels"), "channels"),
    **dict.fromkeys(("imgsz", "image_size", "input_size"), "img_size"),
    "weights": "pretrained",
}
"""Arguments of `build_model` as timm and torchvision call them, and as they are called here."""


TYPED_OTHERWISE = {"from_run": "from"}
"""Options that have another name on the command line, as theirs is a word of Python."""


def flag(name: str) -> str:
    """An option's name as it is typed: img_size is --img-size."""
    return "--" + TYPED_OTHERWISE.get(name, name).replace("_", "-")


def program() -> str:
    """How the command line was started, for commands to be typed again: `clearsight`, the path of that script where the
    shell does not find it, or `python -m clearsight`.
    """
    started = Path(sys.argv[0] if sys.argv else "")
    if started.parts[-2:] == ("clearsight", "__main__.py"):
        return "python -m clearsight"
    return shlex.quote(sys.argv[0]) if started.name == "clearsight" and not shutil.which("clearsight") else "clearsight"


def at_least(least: int, **options: int | None) -> None:
    """Raise ConfigError for the first option below `least`; None stands for a default."""
    for name, value in options.items():
        if value is not None and value < least:
            raise ConfigError(f"{flag(name)} must be {least} or more, not {value}")


def unknown_option(name: str, known: Iterable[str]) -> str:
    """What to say about an option of training that does not exist here: its name here, or near ones."""
    names = set(known)
    if OTHER_OPTIONS.get(name) in names:
        return f"{name!r} is called {OTHER_OPTIONS[name]!r} in Clearsight"
    if name in NOT_NEEDED:
        return f"unknown option {name!r}: {NOT_NEEDED[name]}"
    return f"unknown option {name!r} ({nearest(name, names)})"


def other_option(name: str, known: Iterable[str]) -> str | None:
    """A hint for an option of the command line as other libraries call it; None for any other.

    Args:
        name: as it was typed, such as `--optimizer`.
        known: options of the command, as they are typed.

    Returns:
        Text for the `fix` of an error, or None.

    Example:
        >>> other_option("--learning-rate", ["--lr", "--epochs"])
        'did you mean --lr?'
    """
    word = name.lstrip("-").replace("-", "_").lower()
    if word in OTHER_OPTIONS and flag(OTHER_OPTIONS[word]) in set(known):
        return f"did you mean {flag(OTHER_OPTIONS[word])}?"
    return NOT_NEEDED.get(word)


def names_of_others(others: Mapping[str, str]) -> Callable[[Function], Function]:
    """A decorator: arguments named as in other libraries raise a ConfigError that gives the name here."""

    def decorate(function: Function) -> Function:
        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if found := [f"{name!r} is called {others[name]!r} in Clearsight" for name in kwargs if name in others]:
                raise ConfigError("; ".join(found))
            return function(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return decorate


class ArgumentError(ConfigError, TypeError):
    """A function was given an argument that it does not have; for Python a TypeError."""


def known_arguments(function: Function) -> Function:
    """A decorator: an argument that the function does not have raises an ArgumentError that gives the nearest name."""
    parameters = inspect.signature(function).parameters
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values()), "options are checked when they are used"
    known = [name for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    options = [name for name in known if name != "self"]

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if unknown := [name for name in kwargs if name not in known]:
            faults = "; ".join(unknown_option(name, options) for name in unknown)
            raise ArgumentError(f"{function.__name__}: {faults}")
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]
