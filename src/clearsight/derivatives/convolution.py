"""Backpropagation through a convolution by hand: the layer as a matrix, and its two gradients.

Networks call this convolution, though it is a correlation: the kernel is not flipped. For an input x (C, H, W), a
kernel w (K, C, P, P), stride s and z zeros around the input,

    y[k, i, j] = sum over c, u, v of  w[k, c, u, v] x[c, s i + u - z, s j + v - z]          (K, H', W')

with H' = (H - P + 2 z) / s + 1, rounded down. y is linear in x, so there is a matrix A with vec(y) = A vec(x), its rows
the kernel laid on each place of the input; most of it is zero, and the same numbers stand in every row. Let L be a
loss and g = dL/dy, the gradient that comes from above. The chain rule gives

    dL/dx = A^T g          dL/dx[c, a, b] = sum over k, u, v of  w[k, c, P-1-u, P-1-v] g~[k, a + z + u, b + z + v]
    dL/dw                  dL/dw[k, c, u, v] = sum over i, j of  g[k, i, j] x[c, s i + u - z, s j + v - z]

where g~ is g with s - 1 zeros between its values and P - 1 around it. So the adjoint of a correlation is a correlation
with the flipped kernel, input and output channels swapped: a convolution in the sense of mathematics. And the kernel's
gradient is the correlation of the input with g [LeCun et al. 1998; Dumoulin, Visin 2016, arXiv:1603.07285].

NumPy arrays, the type of float that comes in. One image; a batch is a loop, and its kernel gradients add up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.floating]


def output_side(side: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Places where a kernel of this side fits along an input;

    Args:
        side: side of the input in pixels.
        kernel: side of the kernel in pixels.
        stride: step in pixels.
        padding: zeros added on each side.

    Returns:
        Number of positions.

    Raises:
        ValueError: there is none.
    """
    places = (side - kernel + 2 * padding) // stride + 1
    if stride < 1 or padding < 0:
        raise ValueError(f"stride must be at least 1 and padding at least 0, not {stride} and {padding}")
    if side - kernel + 2 * padding < 0:
        raise ValueError(f"a kernel of size {kernel} does not fit into an input of size {side} with padding {padding}")
    return places


def correlate(x: Floats, kernel: Floats, stride: int = 1, padding: int = 0) -> Floats:
    """The forward pass: x (C, H, W), kernel (K, C, P, P) -> y (K, H', W').

    Args:
        x: input (C, H, W).
        kernel: kernels (K, C, P, P).
        stride: step in pixels.
        padding: zeros added on each side.

    Returns:
        float64 (K, H', W').
    """
    side = kernel.shape[2]
    rows, columns = (output_side(n, side, stride, padding) for n in x.shape[1:])
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    y = np.zeros((len(kernel), rows, columns), np.result_type(x, kernel))
    for u in range(side):
        for v in range(side):
            seen = padded[:, u : u + stride * rows : stride, v : v + stride * columns : stride]
            y += np.einsum("kc,cij->kij", kernel[:, :, u, v], seen[:, :rows, :columns])
    return y


def convolution_matrix(kernel: Floats, shape: tuple[int, int, int], stride: int = 1, padding: int = 0) -> csr_array:
    """The sparse matrix A (K H' W', C H W) of the layer for inputs of a shape (C, H, W): vec(y) = A vec(x).

    `.toarray()` shows it; its transpose is the backward pass.

    Args:
        kernel: kernels (K, C, P, P).
        shape: shape (C, H, W) of the input.
        stride: step in pixels.
        padding: zeros added on each side.

    Returns:
        Sparse matrix (K H' W', C H W).
    """
    channels, height, width = shape
    outputs, _, side, _ = kernel.shape
    rows, columns = (output_side(n, side, stride, padding) for n in (height, width))
    k, c, u, v, i, j = np.indices((outputs, channels, side, side, rows, columns)).reshape(6, -1)
    y, x = stride * i + u - padding, stride * j + v - padding  # the pixel that the kernel's u, v lies on
    valid = (y >= 0) & (y < height) & (x >= 0) & (x < width)  # zeros beyond the border add nothing
    row = (k * rows + i) * columns + j
    column = (c * height + y) * width + x
    places = (row[valid], column[valid])
    return csr_array((kernel[k, c, u, v][valid], places), shape=(outputs * rows * columns, channels * height * width))


def input_gradient(
    gradient: Floats, kernel: Floats, shape: tuple[int, int, int], stride: int = 1, padding: int = 0
) -> Floats:
    """dL/dx (C, H, W) from dL/dy (K, H', W'): correlation of the spread gradient with the flipped kernel.

    Args:
        gradient: gradient at the output (K, H', W').
        kernel: kernels (K, C, P, P).
        shape: shape (C, H, W) of the input.
        stride: step in pixels.
        padding: zeros added on each side.

    Returns:
        float64 (C, H, W).
    """
    _, height, width = shape
    side = kernel.shape[2]
    outputs, rows, columns = gradient.shape
    spread = np.zeros((outputs, height + 2 * padding + side - 1, width + 2 * padding + side - 1), gradient.dtype)
    first = side - 1
    spread[:, first : first + stride * rows : stride, first : first + stride * columns : stride] = gradient
    flipped = kernel[:, :, ::-1, ::-1].swapaxes(0, 1)  # (C, K, P, P)
    whole = correlate(spread, flipped)  # of the padded input (C, H + 2 z, W + 2 z)
    return whole[:, padding : padding + height, padding : padding + width]


def kernel_gradient(gradient: Floats, x: Floats, side: int, stride: int = 1, padding: int = 0) -> Floats:
    """dL/dw (K, C, P, P) from dL/dy (K, H', W') and the input (C, H, W): correlation of the input with the gradient.

    Args:
        gradient: gradient at the output (K, H', W').
        x: input (C, H, W).
        side: side of the kernel in pixels.
        stride: step in pixels.
        padding: zeros added on each side.

    Returns:
        float64 (K, C, P, P).
    """
    _, rows, columns = gradient.shape
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    found = np.zeros((len(gradient), len(x), side, side), np.result_type(x, gradient))
    for u in range(side):
        for v in range(side):
            seen = padded[:, u : u + stride * rows : stride, v : v + stride * columns : stride]
            found[:, :, u, v] = np.einsum("kij,cij->kc", gradient, seen[:, :rows, :columns])
    return found
