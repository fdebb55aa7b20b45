"""One prediction for several images of one thing, such as the recordings of a speaker: the mean of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError
from clearsight.wording import count


@dataclass(frozen=True)
class Averages:
    """G groups of images. outputs (G, O): the mean of each group's. first (G,): position of each group's first image.
    names: the value that a group's images share; the image's name for those without a value, which stand alone.
    """

    outputs: NDArray[np.floating]
    first: NDArray[np.int64]
    names: tuple[str, ...]


def averages(
    outputs: NDArray[np.floating],
    truth: NDArray[np.generic],
    values: NDArray[np.str_],
    images: Sequence[str],
    column: str,
) -> Averages:
    """The mean outputs of the images of each value.

    Args:
        outputs: of the network (N, O).
        truth: targets of the images, (N,) or (N, T).
        values: value of each image (N,); an image with "" stands alone.
        images: name of each image.
        column: name of the column, for the error.

    Returns:
        The groups, in the order of their first images.

    Raises:
        DataError: images of one value have different targets.
    """
    keys = [value or f"\t{i}" for i, value in enumerate(values.tolist())]
    places = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    group = np.array([places[key] for key in keys])
    _, first = np.unique(group, return_index=True)
    same = (truth == truth[first][group]).reshape(len(truth), -1).all(1)
    if not same.all():
        mixed = sorted({str(values[i]) for i in np.flatnonzero(~same)})
        raise DataError(
            f"images with the same {column} have different targets",
            found=f"{count(len(mixed), 'affected value')} of {column} (first: {mixed[0]!r})",
            expected=f"one target per {column}",
            fix="correct the labels, or average by a different column",
        )
    sums = np.zeros((len(places), *outputs.shape[1:]))
    np.add.at(sums, group, outputs)
    mean = sums / np.bincount(group).reshape(-1, *[1] * (outputs.ndim - 1))
    names = tuple(str(values[i]) or images[i] for i in first)
    return Averages(mean.astype(outputs.dtype), first, names)
