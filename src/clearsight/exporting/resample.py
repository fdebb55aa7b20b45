"""The geometry's rule as arithmetic on tensors, for graphs that take images of any size.

Scaling an axis is a product with a matrix of weights (n, size), which follows from the sizes alone: row i holds the
cubic kernel [Keys 1981, a = -1/2] around the place of pixel i, widened by the scale where the image shrinks, its
sum 1. So a graph needs no operator of its own for it, and sizes stay open. Width comes first, as in `data.geometry`.

One pixel a level off can move a probability by 3e-4 (measured, ELPV), so the numbers are Pillow's to the bit: boxes in
float32; weights in float64, for 8 bits in whole multiples of 2^-22; 8-bit values rounded after each axis.
"""

from __future__ import annotations

import torch
from torch import nn

from clearsight.data.geometry import Geometry

UNIT = 2.0**22
"""Weights for 8 bits are multiples of 1 / UNIT."""


class Resample(nn.Module):
    """Whole numbers of any size (N, C, H, W) to the geometry's (N, C, height, width), as float32."""

    def __init__(self, geometry: Geometry, bits: int) -> None:
        super().__init__()
        self.geometry, self.bits = geometry, bits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = self._axes(_positions(x[0, 0, :, 0]), _positions(x[0, 0, 0, :]))
        x = torch.matmul(x.double(), columns.T)
        x = self._rounded(x) if self.bits == 8 else x.float().double()
        return self._rounded(torch.matmul(rows, x)).float()

    def _rounded(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 0.5).floor().clamp(0.0, 2.0**self.bits - 1)

    def _axes(self, y: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (height, H) and (width, W) for positions y (H,) and x (W,)."""
        height, width, fit = self.geometry.height, self.geometry.width, self.geometry.resize_mode
        h, w = y[-1] + 1, x[-1] + 1
        if fit == "squash":
            return self._weights(y, height, h * 0, h), self._weights(x, width, w * 0, w)
        wide = h * width <= w * height  # wider than the frame: by width it fits, by height it covers
        if fit == "crop":
            source, target = torch.where(wide, h, w), torch.where(wide, height, width)
            factor = target.double() / source.double()
            return self._cut(y, height, h, source, target, factor), self._cut(x, width, w, source, target, factor)
        source, target = torch.where(wide, w, h), torch.where(wide, width, height)
        return self._framed(y, height, h, source, target), self._framed(x, width, w, source, target)

    def _weights(
        self,
        positions: torch.Tensor,
        n: int,
        start: torch.Tensor,
        end: torch.Tensor,
        spread: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Weights (n, L) of pixels at `positions` (L,) for the n, or `spread`, pixels that the line from start to end
        becomes.
        """
        start, end = start.float(), end.float()
        scale = (end - start).double() / (n if spread is None else spread)
        i = torch.arange(n, device=positions.device, dtype=torch.float64)[:, None]
        centre = start.double() + (i + 0.5) * scale
        x = ((positions.double()[None] - centre + 0.5) / scale.clamp(min=1.0)).abs()
        near = (1.5 * x - 2.5) * x * x + 1
        far = ((x - 5) * x + 8) * x * -0.5 + 2
        kernel = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
        weights = kernel / kernel.sum(1, keepdim=True)
        return (weights * UNIT).round() / UNIT if self.bits == 8 else weights

    def _cut(
        self,
        positions: torch.Tensor,
        n: int,
        size: torch.Tensor,
        source: torch.Tensor,
        target: torch.Tensor,
        factor: torch.Tensor,
    ) -> torch.Tensor:
        """Weights (n, L) of the middle of a line that is n pixels long once it is scaled by factor = target / source;
        its corner lies on the grid of the scaled pixels.
        """
        start = ((size * target - n * source) // (2 * source)).double() / factor
        kept = torch.minimum(size.double(), n / factor)
        return self._weights(positions, n, start, torch.minimum(size.double(), start + kept))

    def _framed(
        self, positions: torch.Tensor, n: int, size: torch.Tensor, source: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        """Weights (n, L) of the whole line, scaled by about target / source to a whole number of pixels, in the middle
        of n; zeros around it.
        """
        new = (size.double() * (target.double() / source.double())).round().long().clamp(1, n)
        start = (n - new) // 2
        i = torch.arange(n, device=positions.device)
        found = self._weights(positions, n, size * 0, size, new)[(i - start).clamp(0, n - 1)]
        return torch.where(((i >= start) & (i < start + new))[:, None], found, torch.zeros_like(found))


def _positions(line: torch.Tensor) -> torch.Tensor:
    """0, 1, 2, ... along a line of pixels (L,), without asking for its length, which tracing would fix."""
    return torch.ones_like(line, dtype=torch.int64).cumsum(0) - 1
