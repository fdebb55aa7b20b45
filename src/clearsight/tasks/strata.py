"""How targets vary: groups of similar images, which are spread evenly over the splits where images are not of one class
each; and targets that are the same for all images, of which nothing can be learned.

Shapes: N images, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from clearsight.data.audit import Finding
from clearsight.data.dataset import Dataset
from clearsight.errors import DataError

BINS = 10
"""Parts of the range of a number that are spread evenly over the splits."""

FEWEST = 10
"""Images in each of these parts at least."""


def rarest_label(values: NDArray[np.float32], names: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """A group for each image (N,), the rarest label it has of labels (N, K), and the groups' names."""
    counts = values.sum(0)
    order = np.argsort(counts, kind="stable")
    has = values[:, order] > 0
    group = np.where(has.any(1), order[has.argmax(1)], len(names))
    sizes = np.bincount(group, minlength=len(names) + 1)
    group[sizes[group] < FEWEST] = sizes.argmax()  # too few to be split evenly
    used = np.unique(group)
    if len(used) < 2:
        even = int(np.abs(counts - len(values) / 2).argmin())
        return values[:, even].astype(np.int64), (f"without {names[even]}", f"with {names[even]}")
    return np.searchsorted(used, group), tuple([*names, "no label"][g] for g in used)


def tenths(numbers: NDArray[np.float64], name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """A group for each number (N,), the tenth of their range by rank, and the groups' names."""
    bins = int(np.clip(len(numbers) // FEWEST, 1, BINS))
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)))
    if len(edges) < 3:  # nearly constant: below or above the mean
        group = (numbers > numbers.mean()).astype(np.int64)
        return group, (f"{name} low", f"{name} high")
    group = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    used = np.unique(group)
    words = [f"{name} {a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
    return np.searchsorted(used, group).astype(np.int64), tuple(words[g] for g in used)


def constant_names(dataset: Dataset) -> list[str]:
    """Names of the targets that are the same for all images."""
    columns = zip(dataset.names, dataset.targets.T, strict=True)
    return [name for name, column in columns if column.min() == column.max()]


def constant_finding(error: DataError | None) -> list[Finding]:
    """The audit's finding about targets that training refuses with this error; none where it does not."""
    if error is None:
        return []
    message = error.happened + (f": {error.found}" if error.found else "")
    return [Finding("constant-targets", "warning", f"{message}; `train` rejects such data", error.fix or "")]
