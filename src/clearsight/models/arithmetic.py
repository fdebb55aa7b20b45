"""The arithmetic of layers: sizes and receptive fields.

Legend: I side of the input map, N side of the output map, P side of the filter, z padding on each side, s
stride, d input channels, K filters, g groups, all in pixels or counts. One multiply-add is two operations.

A guide to these formulas: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning",
arXiv:1603.07285; for receptive fields Araujo, Norris and Sim 2019, "Computing receptive fields of
convolutional neural networks", Distill.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from clearsight.errors import ModelError


def size_formula(size: int, filter_side: int, *, stride: int = 1, padding: int = 0) -> str:
    """The formula N = (I - P + 2z)/s + 1 with its numbers: `(224-7+2*3)/2+1`. Padding of zero is left out."""
    twice = f"+2*{padding}" if padding else ""
    return f"({size}-{filter_side}{twice})/{stride}+1"


def output_size(size: int, filter_side: int, *, stride: int = 1, padding: int = 0, rounding: str = "none") -> int:
    """Side of the output map, N = (I - P + 2z)/s + 1 [arXiv:1603.07285, relationship 6].

    rounding: "none" asks that the filter steps exactly to the far border; "down" leaves out a last incomplete
    step, as PyTorch's layers do; "up" takes it beyond the border, as its pooling does with ceil_mode. Raises
    ModelError where the filter is larger than the padded input, or the steps do not fit and rounding is
    "none".
    """
    if rounding not in ("none", "down", "up"):
        raise ModelError("unknown rounding mode", found=repr(rounding), expected="none, down or up")
    if min(size, filter_side, stride) < 1 or padding < 0:
        raise ModelError(
            "layer sizes must be positive, and padding must not be negative",
            found=f"input {size}, filter {filter_side}, stride {stride}, padding {padding}",
        )
    formula = size_formula(size, filter_side, stride=stride, padding=padding)
    steps = size - filter_side + 2 * padding
    if steps < 0:
        raise ModelError(
            f"{formula} is below 1: a filter of {filter_side} pixels does not fit into an input of "
            f"{size + 2 * padding} pixels, padding included",
            fix=f"use an input of at least {filter_side - 2 * padding} pixels, a smaller filter or more padding",
        )
    exact = steps / stride + 1
    if rounding == "none" and steps % stride:
        fitting = [s for s in range(1, steps + 1) if steps % s == 0 and abs(s - stride) <= 3]
        sizes = size - steps % stride, size + stride - steps % stride
        raise ModelError(
            f"{formula} is not an integer: {steps} pixels are not divisible by a stride of {stride}",
            found=f"{exact:g}",
            fix=f"use an input of {sizes[0]} or {sizes[1]} pixels"
            + (f", or a stride of {' or '.join(map(str, fitting))}" if fitting else ""),
        )
    if rounding == "up":
        outputs = ceil(exact)
        # PyTorch drops a window that would start in the padding after the input.
        return outputs - 1 if (outputs - 1) * stride >= size + padding else outputs
    return floor(exact)


def same_padding(filter_side: int) -> int:
    """The padding that keeps the size at stride 1, z = (P - 1)/2; ModelError for an even filter."""
    if filter_side % 2 == 0:
        raise ModelError(
            f"({filter_side}-1)/2 is not an integer: with an even filter size, no symmetric padding keeps the input "
            "size",
            fix=f"use a filter of {filter_side - 1} or {filter_side + 1} pixels",
        )
    return (filter_side - 1) // 2


@dataclass(frozen=True)
class ReceptiveField:
    """The window of the input image one unit sees, along one axis.

    side: of the window, in pixels of the image. jump: between the windows of neighbouring units, in pixels; 0
    where all units see the same. start: the first pixel of the first unit's window, below 0 where it begins in
    the padding. Unit i sees the pixels from start + i * jump on.
    """

    side: int = 1
    jump: int = 1
    start: int = 0

    def through(self, filter_side: int, stride: int = 1, dilation: int = 1, padding: int = 0) -> ReceptiveField:
        """The field after a layer: side + (P - 1) * dilation * jump, jump * s, and start - z * jump."""
        side = self.side + (filter_side - 1) * dilation * self.jump
        return ReceptiveField(side, self.jump * stride, self.start - padding * self.jump)

    def window(self, unit: int) -> tuple[int, int]:
        """The first pixel a unit sees, and the one after the last; both may lie beyond the image."""
        first = self.start + unit * self.jump
        return first, first + self.side
