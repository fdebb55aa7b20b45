"""Template matching: where in a picture a smaller one is found, by sliding it over every place."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.errors import DataError


@dataclass(frozen=True)
class Match:
    """The best place of a template: its upper left corner, and the score of every place (H - h + 1, W - w + 1)."""

    row: int
    column: int
    score: float
    scores: NDArray[np.float32]


def match(image: ArrayLike, template: ArrayLike, *, normalised: bool = True) -> Match:
    """Slide the template over the image, both (H, W) or (H, W, 3), and take the place with the highest score.

    Args:
        image: image to search, (H, W) or (H, W, 3).
        template: image to find, not larger, with as many channels.
        normalised: the correlation coefficient of template and window, from -1 to 1, which brightness and contrast
            leave alone; a window or template without any contrast scores 0. Otherwise the raw cross-correlation, the
            sum of products, which prefers bright places to right ones.

    Returns:
        The best position and the score of every position.

    Raises:
        DataError: the template does not fit into the image, or has no contrast.

    Example:
        >>> image = np.zeros((8, 8))
        >>> image[2:4, 5:7] = [[1, 0.5], [0.2, 0]]
        >>> found = match(image, image[2:4, 5:7])
        >>> found.row, found.column
        (2, 5)
    """
    f, t = _checked(image, template, 1.0)
    if not normalised:
        scores = cv2.matchTemplate(f, t, cv2.TM_CCORR)
    else:
        scores = cv2.matchTemplate(f, t, cv2.TM_CCOEFF_NORMED)
        scores[~_contrast(f, t.shape[:2])] = 0  # where the coefficient is nothing divided by nothing
        scores = np.clip(scores, -1, 1) if np.ptp(t, axis=(0, 1)).any() else np.zeros_like(scores)
    row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return Match(int(row), int(column), float(scores[row, column]), scores)


def checked_pair(
    image: ArrayLike, template: ArrayLike, smallest: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Image and template as float32 with a last axis for channels.

    Args:
        image: pixels (H, W) or (H, W, C).
        template: pixels (h, w) or (h, w, C).
        smallest: smallest size at which the template must fit into the image, as a share of its own.

    Returns:
        The image (H, W, C) and the template (h, w, C), float32.

    Raises:
        DataError: different numbers of channels, an empty template, or one that does not fit.
    """
    f, t = _checked(image, template, smallest)
    return (f[..., None], t[..., None]) if f.ndim == 2 else (f, t)


def _checked(image: ArrayLike, template: ArrayLike, smallest: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    f, t = np.asarray(image, np.float32), np.asarray(template, np.float32)
    if f.ndim != t.ndim or f.ndim not in (2, 3) or (f.ndim == 3 and f.shape[2] != t.shape[2]):
        raise DataError(
            "the image and the template have different numbers of channels", found=f"shapes {f.shape} and {t.shape}"
        )
    if smallest * t.shape[0] > f.shape[0] or smallest * t.shape[1] > f.shape[1]:
        raise DataError(
            "the template is larger than the image",
            found=f"a template of {t.shape[0]}x{t.shape[1]} pixels and an image of {f.shape[0]}x{f.shape[1]}",
            fix="swap the two images, or crop the template",
        )
    if 0 in t.shape:
        raise DataError("the template is empty", found=f"shape {t.shape}")
    return f, t


def _contrast(f: NDArray[np.float32], window: tuple[int, ...]) -> NDArray[np.bool_]:
    """Places whose window holds two different values at least, in any channel."""
    size = np.ones(window, np.uint8)
    anchor = (0, 0)
    planes = f[..., None] if f.ndim == 2 else f
    places = slice(0, f.shape[0] - window[0] + 1), slice(0, f.shape[1] - window[1] + 1)
    varied = np.zeros((places[0].stop, places[1].stop), bool)
    for c in range(planes.shape[2]):
        plane = np.ascontiguousarray(planes[..., c])
        highest, lowest = cv2.dilate(plane, size, anchor=anchor), cv2.erode(plane, size, anchor=anchor)
        varied |= (highest > lowest)[places]
    return varied
