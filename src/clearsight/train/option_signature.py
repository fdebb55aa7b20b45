"""The options of `TrainConfig` as real parameters: for type checkers and editors, and for `inspect.signature`.

`tests/train/test_option_signature.py` compares the typed dictionaries with the dataclasses.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from clearsight.train.config import option_types, options_by_name


class EstimatorOptions(TypedDict, total=False):
    """Options of training except `model`, the first parameter of `ImageClassifier`. Paths and lists are converted to
    text, as on the command line.
    """

    resize_mode: str
    normalize: str
    img_size: int | None
    test_fraction: float
    order: str
    task: str
    angle: str | None
    within: str | Sequence[float] | None
    normal: str | int | Sequence[str | int] | None
    grades: str | Sequence[str] | None
    hierarchy: str | Path | None
    value_range: str | Sequence[float] | None
    max_pixels: float
    bands: str | Sequence[int] | None
    folds: int | None
    leave_out: str | Path | None
    other: str | None
    data_dir: str | Path | None
    model_arg: dict[str, Any] | None
    init: str | None
    pretrained: bool | None
    weights: str | os.PathLike[str] | None
    freeze: str
    anomaly: str
    false_alarms: float
    freeze_to: str | None
    head_widths: str | Sequence[int] | None
    epochs: int | None
    max_steps: int | None
    batch_size: int | None
    accumulate: int
    loss: str | None
    opt: str | None
    lr: float | None
    lr_find: bool
    sched: str
    step_factor: float
    step_every: float
    decay: float
    warm_up: float
    momentum: float
    clip: float | None
    patience: int
    val_every: int | None
    amp: str
    compile: bool
    weight_decay: float | None
    l1: float
    max_norm: float | None
    label_smoothing: float | None
    class_weight: str | Path | Mapping[str, float]
    ema: float | None
    augment: str | None
    mixup: float
    cutmix: float
    adversarial: str
    adversarial_epsilon: float
    adversarial_steps: int
    costs: str | None
    min_precision: dict[str, float] | None
    min_recall: dict[str, float] | None
    out: str | Path | None
    resume: bool
    from_run: str | os.PathLike[str] | None
    old_images: bool | None
    checkpoint_every: float
    track: str
    auto_fix: bool
    budget: str | None
    seed: int
    device: str


class Options(EstimatorOptions, total=False):
    """All options of training, as `cs.fit` takes them."""

    model: str


Function = TypeVar("Function", bound=Callable[..., Any])


def options_in_signature(function: Function) -> Function:
    """Give a function that takes **options the options as keyword parameters in its signature.

    Options that are parameters of the function already keep their place.
    """
    signature, types = inspect.signature(function), option_types()
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    taken = {p.name for p in parameters}
    parameters += [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if f.default is dataclasses.MISSING else f.default,  # of a dict: no mutable default
            annotation=types[name],
        )
        for name, f in options_by_name().items()
        if name not in taken
    ]
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return function
