"""Random choices that follow from what an image shows, so that they hardly change when images are added.

What is computed for a drawn image is then found again by a later run on more images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def stable_sample(contents: Sequence[str], rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many of some images, sorted: those whose content and seed give the smallest numbers.

    contents: a digest of each image, which rows count in.
    """
    numbers = np.array([_number(contents[i], seed) for i in rows.tolist()], np.uint64)
    return np.sort(rows[np.argsort(numbers, kind="stable")[:most]])


def stable_draw(content: str, seed: int) -> np.random.Generator:
    """Random numbers for an image."""
    return np.random.default_rng([seed, _number(content, seed)])


def _number(content: str, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {content}".encode(), digest_size=8).digest(), "big")
