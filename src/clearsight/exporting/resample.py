"""The geometry's rule as arithmetic on tensors, for graphs that take images of any size.

Scaling an axis is a product with a matrix of weights (n, size), which follows from the sizes alone: row i holds the
cubic kernel [Keys 1981, a = -1/2] around the place of pixel i, widened by the scale where the image shrinks, its
sum 1. So a graph needs no operator of its own for it, every engine computes the same, and sizes stay open. Width comes
first and 8-bit values are rounded between, as `data.geometry` has it; results differ from Pillow's by one level in
about one value of ten thousand, where the two fall on different sides of a half.
"""

from __future__ import annotations

import torch
from torch import nn

from clearsight.data.geometry import Geometry


class Resample(nn.Module):
    """Values 0 to `top` of any size (N, C, H, W) to the geometry's (N, C, height, width), whole numbers as float32."""

    def __init__(self, geometry: Geometry, bits: int) -> None:
        super().__init__()
        self.geometry, self.top, self.between = geometry, float(2**bits - 1), bits == 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = self._axes(_positions(x[0, 0, :, 0]), _positions(x[0, 0, 0, :]))
        x = torch.matmul(x.float(), columns.T)
        if self.between:
            x = self._rounded(x)
        return self._rounded(torch.matmul(rows, x))

    def _rounded(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 0.5).floor().clamp(0.0, self.top)

    def _axes(self, y: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (height, H) and (width, W) for positions y (H,) and x (W,). Whole numbers throughout, so that they
        are exact: an image is scaled by target / source, both of one side.
        """
        height, width, fit = self.geometry.height, self.geometry.width, self.geometry.fit
        h, w = y[-1] + 1, x[-1] + 1
        if fit == "squash":
            return _weights(y, height, h, h * 0 + height), _weights(x, width, w, w * 0 + width)
        wide = h * width <= w * height  # wider than the frame: by width it fits, by height it covers
        if fit == "crop":
            source, target = torch.where(wide, h, w), torch.where(wide, height, width)
            above = (h * target - height * source) // (2 * source)
            left = (w * target - width * source) // (2 * source)
            return _weights(y, height, source, target, above), _weights(x, width, source, target, left)
        source, target = torch.where(wide, w, h), torch.where(wide, width, height)
        return _framed(y, height, h, source, target), _framed(x, width, w, source, target)


def _positions(line: torch.Tensor) -> torch.Tensor:
    """0, 1, 2, ... along a line of pixels (L,), without asking for its length, which tracing would fix."""
    return torch.ones_like(line, dtype=torch.int64).cumsum(0) - 1


def _weights(
    positions: torch.Tensor, n: int, source: torch.Tensor, target: torch.Tensor, offset: torch.Tensor | int = 0
) -> torch.Tensor:
    """Weights (n, L) of pixels at `positions` (L,) for n pixels that begin `offset` into the image scaled by
    target / source.
    """
    i = torch.arange(n, device=positions.device)[:, None] + offset
    apart = (2 * positions[None] + 1) * target - (2 * i + 1) * source  # of the centres, in 1 / (2 target) of a pixel
    x = (apart.float() / (2 * torch.maximum(source, target)).float()).abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    kernel = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    return kernel / kernel.sum(1, keepdim=True)


def _framed(
    positions: torch.Tensor, n: int, size: torch.Tensor, source: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Weights (n, L) of the whole line, scaled by about target / source to a whole number of pixels, in the middle of
    n; zeros around it.
    """
    doubled = 2 * size * target
    new = (doubled + source) // (2 * source)
    tie = (new * 2 * source == doubled + source) & (new % 2 == 1)  # halves go to the even number, as Python's do
    new = (new - tie.long()).clamp(1, n)
    start = (n - new) // 2
    i = torch.arange(n, device=positions.device)
    inside = (i >= start) & (i < start + new)
    found = _weights(positions, n, size, new, -start)
    return torch.where(inside[:, None], found, torch.zeros_like(found))
