"""Test-time augmentation: the predictions for several versions of each image are averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ConfigError, did_you_mean

Floats = NDArray[np.float32]
View = Callable[[Floats], Floats]

AUGMENTATIONS = {
    "mirror": "the image and its horizontal flip",
    "flips": "the image, its horizontal flip, its vertical flip, and both flips combined",
    "turns": "the image and its rotations by 90, 180 and 270 degrees (square images only)",
    "shifts": "the image and four copies shifted by 1/16 of the side length, one in each direction",
    "ten": "the five images of `shifts` and the horizontal flip of each [Krizhevsky et al. 2012]",
}


def tta_functions(name: str) -> list[View]:
    """Functions from images (N, C, H, W) to one augmented version of each; the first leaves them as they are.

    Args:
        name: name of the augmentation, of `AUGMENTATIONS`.

    Returns:
        One function per augmented version.

    Raises:
        ConfigError: a name that does not exist.
    """
    plain: list[View] = [lambda x: x]
    if name == "mirror":
        return [*plain, _mirrored]
    if name == "flips":
        return [*plain, _mirrored, lambda x: x[..., ::-1, :], lambda x: x[..., ::-1, ::-1]]
    if name == "turns":
        return [*plain, *(_turned(k) for k in (1, 2, 3))]
    if name == "shifts":
        return [*plain, *_shifts()]
    if name == "ten":
        five = [*plain, *_shifts()]
        return [*five, *(_after(view) for view in five)]
    raise ConfigError(
        f"unknown test-time augmentation {name!r}",
        expected=", ".join(AUGMENTATIONS),
        fix=did_you_mean(name, AUGMENTATIONS),
    )


def _mirrored(x: Floats) -> Floats:
    return x[..., ::-1]


def _after(view: View) -> View:
    return lambda x: _mirrored(view(x))


def _turned(quarters: int) -> View:
    def turn(x: Floats) -> Floats:
        if x.shape[2] != x.shape[3] and quarters % 2:
            raise ConfigError(
                f"images of {x.shape[2]}x{x.shape[3]} pixels are not square and cannot be rotated by 90 degrees",
                fix="use --tta flips",
            )
        return np.rot90(x, quarters, axes=(2, 3))

    return turn


def _shifts() -> Iterator[View]:
    for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        yield _shifted(down, right)


def _shifted(down: int, right: int) -> View:
    """Moved by a sixteenth of the side, the border repeated."""

    def shift(x: Floats) -> Floats:
        height, width = x.shape[2:]
        rows = np.clip(np.arange(height) - down * max(1, height // 16), 0, height - 1)
        columns = np.clip(np.arange(width) - right * max(1, width // 16), 0, width - 1)
        return x[:, :, rows][..., columns]

    return shift
