"""From cached pixels to batches of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def to_float(pixels: NDArray[Any]) -> torch.Tensor:
    """uint8 or uint16 of any shape to float32 in [0, 1]; floats pass unchanged."""
    if pixels.dtype == np.uint16:  # a type PyTorch knows little of
        return torch.from_numpy(pixels.astype(np.float32)).div_(65535)
    array = np.ascontiguousarray(pixels, dtype=np.uint8 if pixels.dtype == np.uint8 else np.float32)
    if not array.flags.writeable:  # of a memory-mapped cache; PyTorch warns of such
        array = array.copy()
    tensor = torch.from_numpy(array)
    return tensor.to(torch.float32).div_(255) if array.dtype == np.uint8 else tensor


def batches(
    pixels: NDArray[Any],
    indices: NDArray[np.int64],
    batch_size: int,
    *,
    shuffle: np.random.Generator | None = None,
) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
    """Yield (images float32 (B, C, H, W) in [0, 1], their indices (B,)); shuffled when a generator is given.

    A shuffled pass leaves out a last batch of one image, on which batch normalisation is not defined, unless it is all.
    """
    order = indices if shuffle is None else shuffle.permutation(indices)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        if shuffle is not None and len(chosen) == 1 and len(order) > 1:
            return
        yield to_float(pixels[chosen]), chosen
