"""How much each class counts in the loss."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def class_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Weights (classes,) float32 by which every class that occurs counts the same: n / (P n_k), P of them occurring.

    labels (n,), each in [0, classes). Their mean over the images is 1, so the rate needs no other value; a class
    without images weighs 0. The same as scikit-learn's `balanced`.
    """
    counts = np.bincount(labels, minlength=classes)
    occurring = np.count_nonzero(counts)
    weights = np.divide(len(labels), occurring * counts, out=np.zeros(classes), where=counts > 0)
    return torch.from_numpy(weights).float()
