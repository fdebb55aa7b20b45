"""The arithmetic of layers: sizes, parameters, multiply-adds, receptive fields; convolution as a matrix.

Legend: I side of the input map, N side of the output map, P side of the filter, z padding on each side, s
stride, d input channels, K filters, g groups, all in pixels or counts. One multiply-add is two operations.

A guide to these formulas: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning",
arXiv:1603.07285; for receptive fields Araujo, Norris and Sim 2019, "Computing receptive fields of
convolutional neural networks", Distill.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor

import torch
from torch.nn import functional as F

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
        raise ModelError("a size cannot be rounded so", found=repr(rounding), expected="none, down or up")
    if min(size, filter_side, stride) < 1 or padding < 0:
        raise ModelError(
            "a layer's sizes must be positive",
            found=f"input {size}, filter {filter_side}, stride {stride}, padding {padding}",
        )
    formula = size_formula(size, filter_side, stride=stride, padding=padding)
    steps = size - filter_side + 2 * padding
    if steps < 0:
        raise ModelError(
            f"{formula} is below 1: {filter_side} pixels of filter do not fit into {size + 2 * padding}",
            fix=f"use at least {filter_side - 2 * padding} pixels of input, a smaller filter or more padding",
        )
    exact = steps / stride + 1
    if rounding == "none" and steps % stride:
        fitting = [s for s in range(1, steps + 1) if steps % s == 0 and abs(s - stride) <= 3]
        sizes = size - steps % stride, size + stride - steps % stride
        raise ModelError(
            f"{formula} is not a whole number: {steps} pixels cannot be crossed in steps of {stride}",
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
            f"({filter_side}-1)/2 is not a whole number: under an even filter no equal padding "
            "on both sides keeps the size",
            fix=f"use a filter of {filter_side - 1} or {filter_side + 1} pixels",
        )
    return (filter_side - 1) // 2


def conv_parameters(
    filter_side: int | tuple[int, int], inputs: int, filters: int, *, groups: int = 1, bias: bool = True
) -> int:
    """Parameters of a convolution, (P * P * d/g + bias) * K. filter_side may be (height, width)."""
    if inputs % groups or filters % groups:
        raise ModelError(
            f"{inputs} channels and {filters} filters cannot be cut into {groups} equal groups",
            expected="channels and filters that are multiples of the groups",
        )
    height, width = (filter_side, filter_side) if isinstance(filter_side, int) else filter_side
    return (height * width * inputs // groups + int(bias)) * filters


def conv_multiply_adds(
    filter_side: int | tuple[int, int], inputs: int, filters: int, outputs: int, *, groups: int = 1
) -> int:
    """Multiply-adds of a convolution without biases: (P * P * d/g) * K at `outputs` x `outputs` places."""
    weights = conv_parameters(filter_side, inputs, filters, groups=groups, bias=False)
    return weights * outputs * outputs


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


def receptive_field(layers: Iterable[tuple[int, int]]) -> int:
    """Side of the receptive field of a stack of (filter side, stride): `[(3, 1), (3, 1)]` gives 5."""
    field = ReceptiveField()
    for filter_side, stride in layers:
        field = field.through(filter_side, stride)
    return field.side


@dataclass(frozen=True)
class StackComparison:
    """Small filters in a row against one that sees as much, as many channels in as out, without biases.

    receptive_field: in pixels, of both. stacked, single: parameters. saving: share of `single` that the stack
    saves.
    """

    receptive_field: int
    stacked: int
    single: int
    saving: float


def stacked_against_single(filter_sides: Sequence[int], channels: int) -> StackComparison:
    """Compare filters of stride 1 in a row with the single one of their receptive field.

    Two 3x3 against one 5x5 have 18 C^2 parameters against 25 C^2, a saving of 28 % [Szegedy et al. 2016,
    arXiv:1512.00567, section 3.1]; three 3x3 against one 7x7 have 27 C^2 against 49 C^2 [Simonyan and
    Zisserman 2015, arXiv:1409.1556, section 2.3].
    """
    side = receptive_field((p, 1) for p in filter_sides)
    stacked = sum(conv_parameters(p, channels, channels, bias=False) for p in filter_sides)
    single = conv_parameters(side, channels, channels, bias=False)
    return StackComparison(side, stacked, single, 1 - stacked / single)


def convolution_matrix(kernel: torch.Tensor, size: int, *, stride: int = 1, padding: int = 0) -> torch.Tensor:
    """The matrix M with M @ x.flatten() == conv2d(x, kernel).flatten(): a convolution is linear in its input.

    kernel (K, d, P, P), x (d, I, I) -> M (K * N * N, d * I * I). Each row holds one placement of one filter
    and is zero elsewhere; rows share their weights. "Convolution" as in networks: the filter is not flipped.
    Memory grows as K * d * N^2 * I^2, so this is for looking and for small maps.
    """
    filters, inputs, side, _ = kernel.shape
    n = output_size(size, side, stride=stride, padding=padding, rounding="down")
    matrix = kernel.new_zeros(filters, n, n, inputs, size, size)
    for i in range(n):
        for j in range(n):
            top, left = i * stride - padding, j * stride - padding
            # the part of the filter that lies on the image; the rest meets the zeros around it
            a, b = max(0, -top), min(side, size - top)
            c, e = max(0, -left), min(side, size - left)
            matrix[:, i, j, :, top + a : top + b, left + c : left + e] = kernel[:, :, a:b, c:e]
    return matrix.reshape(filters * n * n, inputs * size * size)


def convolution_adjoint(
    gradient: torch.Tensor, kernel: torch.Tensor, size: int, *, stride: int = 1, padding: int = 0
) -> torch.Tensor:
    """Back-propagation through a convolution by hand: from the output's gradient to the input's.

    gradient (N, K, n, n), kernel (K, d, P, P) -> (N, d, size, size). It is the adjoint (the transposed
    `convolution_matrix`) and is itself a convolution: s - 1 zeros between the gradient's values, P - 1 - z
    around them, the filter turned by 180 degrees, and the roles of d and K exchanged [arXiv:1603.07285,
    relationship 14].
    """
    batch, filters, n, _ = gradient.shape
    side = kernel.shape[-1]
    spread = (n - 1) * stride + 1
    dilated = gradient.new_zeros(batch, filters, spread, spread)
    dilated[:, :, ::stride, ::stride] = gradient
    # rows at the far border that no step of the filter reached get zeros too
    unreached = size + 2 * padding - side - (n - 1) * stride
    before = side - 1 - padding
    after = before + unreached
    dilated = F.pad(dilated, (before, after, before, after))  # a negative number crops
    flipped = kernel.flip(2, 3).transpose(0, 1)  # (d, K, P, P)
    return F.conv2d(dilated, flipped)


def convolution_kernel_gradient(
    x: torch.Tensor, gradient: torch.Tensor, side: int, *, stride: int = 1, padding: int = 0
) -> torch.Tensor:
    """The gradient by the filter: for each weight, its input times the gradient, summed over all places.

    x (N, d, I, I), gradient (N, K, n, n) -> (K, d, P, P): the input correlated with the spread gradient.
    """
    n = gradient.shape[-1]
    spread = (n - 1) * stride + 1
    dilated = gradient.new_zeros(*gradient.shape[:2], spread, spread)
    dilated[:, :, ::stride, ::stride] = gradient
    padded = F.pad(x, (padding,) * 4)
    by_channel = F.conv2d(padded.transpose(0, 1), dilated.transpose(0, 1))  # (d, K, >= P, >= P)
    return by_channel[:, :, :side, :side].transpose(0, 1)
