"""How much each class counts in the loss: all images alike, all classes alike, or as the user states."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearsight.data.dataset import Dataset
from clearsight.errors import ConfigError, did_you_mean
from clearsight.wording import listed


def balanced_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Weights (classes,) float32 by which every class that occurs counts the same: n / (P n_k), P of them occurring.

    labels (n,), each in [0, classes). Their mean over the images is 1, so the rate needs no other value; a class
    without images weighs 0. The same as scikit-learn's `balanced`.
    """
    counts = np.bincount(labels, minlength=classes)
    occurring = np.count_nonzero(counts)
    weights = np.divide(len(labels), occurring * counts, out=np.zeros(classes), where=counts > 0)
    return torch.from_numpy(weights).float()


def weights_of(choice: str, labels: NDArray[np.int64], names: Sequence[str]) -> Tensor:
    """Weights (K,) float32 of the K classes in the loss.

    choice: "none", "balanced", or weights by class as JSON. labels (n,): of the training images; the mean of given
    weights over them is scaled to 1, so the learning rate needs no other value. names: of the classes.
    """
    if choice == "none":
        return torch.ones(len(names))
    if choice == "balanced":
        return balanced_weights(labels, len(names))
    given = json.loads(choice)
    weights = np.array([given[name] for name in names])
    return torch.from_numpy(weights / weights[labels].mean()).float()


def check_class_weight(choice: str, dataset: Dataset) -> None:
    """ConfigError, before training, for a class that the data does not have, and for one without a weight."""
    if choice in ("none", "balanced"):
        return
    given, names = json.loads(choice), dataset.classes
    if unknown := [name for name in given if name not in names]:
        raise ConfigError(
            f"--class-weight: unknown class {unknown[0]!r}", expected=", ".join(names[:8]),
            fix=did_you_mean(unknown[0], names),
        )  # fmt: skip
    if missing := [repr(name) for name in names if name not in given]:
        raise ConfigError(
            f"--class-weight: no weight for {'class' if len(missing) == 1 else 'classes'} {listed(missing, 8)}",
            expected="a weight for each class of the data",
            fix="add the classes; 1 is the usual weight",
        )
