"""From cached pixels to batches of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

HELD = 0.25
"""Share of a GPU's free memory that the images of a run may take."""


def to_float(pixels: NDArray[Any], device: str = "cpu") -> torch.Tensor:
    """uint8 or uint16 of any shape to float32 in [0, 1] on a device; floats pass unchanged."""
    if pixels.dtype == np.uint16:  # a type PyTorch knows little of
        return torch.from_numpy(pixels.astype(np.float32)).div_(65535).to(device)
    array = np.ascontiguousarray(pixels, dtype=np.uint8 if pixels.dtype == np.uint8 else np.float32)
    if not array.flags.writeable:  # of a memory-mapped cache; PyTorch warns of such
        array = array.copy()
    tensor = torch.from_numpy(array).to(device)  # bytes travel, not floats of four
    return tensor.to(torch.float32).div_(255) if array.dtype == np.uint8 else tensor


class Images:
    """Images (N, C, H, W), asked for by row, as float32 in [0, 1] on a device.

    A GPU that has room for all of them, in a quarter of its free memory, holds them: a step then waits for no copy.
    """

    def __init__(self, pixels: NDArray[Any], device: str = "cpu") -> None:
        self.pixels, self.device = pixels, device
        self._held: torch.Tensor | None = None
        cuda = device.startswith("cuda")
        if cuda and pixels.dtype == np.uint8 and pixels.nbytes < HELD * torch.cuda.mem_get_info(device)[0]:
            self._held = torch.from_numpy(np.array(pixels)).to(device)

    def __getitem__(self, rows: NDArray[np.int64]) -> torch.Tensor:
        if self._held is None:
            return to_float(self.pixels[rows], self.device)
        return self._held[torch.from_numpy(rows).to(self.device)].to(torch.float32).div_(255)


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
