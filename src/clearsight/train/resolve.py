"""From the options a user gave to a config in which every value of training is decided."""

from __future__ import annotations

from typing import Any

from clearsight.models.execution import device_of
from clearsight.train.config import TrainConfig
from clearsight.train.optimisers import LINE_SEARCHES, default_weight_decay

UNDECIDED: dict[str, Any] = {
    "epochs": 1, "batch_size": 128, "loss": "cross-entropy", "opt": "adamw", "amp": "off", "freeze_bn": False,
    "label_smoothing": 0.0, "augment": "none",
}  # fmt: skip
"""Values of options that neither the user nor the way of training decides."""


def resolve(config: TrainConfig, **decided: Any) -> TrainConfig:
    """The config that `train_network` takes: no value of training is None for "decide" or "auto" any more.

    Args:
        config: what the user asked for; the values in it stay.
        decided: values of fields that the user left open, by flat name; `UNDECIDED` has those of the others.

    Weight decay and the limit of the gradient follow from the optimiser.
    """
    asked = config.training()
    values = {name: value for name, value in (UNDECIDED | decided).items() if asked[name] in (None, "auto")}
    opt = values.get("opt", asked["opt"])
    if asked["weight_decay"] is None:
        values.setdefault("weight_decay", default_weight_decay(opt))
    if asked["clip"] is None:
        values.setdefault("clip", 0.0 if opt in LINE_SEARCHES else 1.0)
    return config.with_options(**values, device=device_of(config.run.device))
