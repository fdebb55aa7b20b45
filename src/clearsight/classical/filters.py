"""Linear filters: correlation, convolution, what lies beyond the border, and kernels joined into one.

    correlate(image, KERNELS["sobel-x"])         slide the kernel as it is
    convolve(image, gaussian(2.0))               slide it flipped, which is what makes filters associative
    convolve(image, joined(first, second))       = convolve(convolve(image, first), second), away from the border

Images are (H, W) or (H, W, C); results are float64 of the same shape, not clipped; with padding "valid" they hold only
the places where the whole kernel lies on the image, (H - h + 1, W - w + 1).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, signal

from clearsight.errors import ConfigError, DataError, nearest

Floats = NDArray[np.float64]

PADDINGS = {"zero": "constant", "reflect": "mirror", "replicate": "nearest", "valid": "constant"}
"""What a kernel sees beyond the border: zeros; the image mirrored at its edge pixels, which are not repeated; the edge
pixels repeated; nothing, so that the result is smaller. The values are SciPy's names; "valid" is cut from zeros."""

_SMOOTH, _SLOPE = np.array([[1.0], [2.0], [1.0]]), np.array([[-1.0, 0.0, 1.0]])

KERNELS: dict[str, Floats] = {
    "identity": np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "box": np.full((3, 3), 1 / 9),
    "gaussian": np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
    "sharpen": np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "laplacian": np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "sobel-x": _SMOOTH @ _SLOPE,
    "sobel-y": (_SMOOTH @ _SLOPE).T,
}
"""Kernels by name, as `correlate` slides them. sobel-x is the derivative along x, positive where the image gets
brighter to the right: it answers to vertical edges. `gaussian` is the binomial 3x3; `gaussian(sigma)` is any other."""


def gaussian(sigma: float) -> Floats:
    """A Gaussian kernel of standard deviation sigma pixels, cut at 4 sigma, summing to 1: (2 r + 1, 2 r + 1).

    Args:
        sigma: standard deviation in pixels, above 0.

    Returns:
        float64 (2 r + 1, 2 r + 1), sums to 1.

    Raises:
        ConfigError: sigma is out of range.
    """
    if not sigma > 0 or not math.isfinite(sigma):
        raise ConfigError("a Gaussian needs a width", found=f"sigma {sigma}", expected="a number above 0")
    reach = max(1, int(4 * sigma + 0.5))
    x = np.arange(-reach, reach + 1)
    bell = np.exp(-(x**2) / (2 * sigma**2))
    bell /= bell.sum()
    return np.outer(bell, bell)


def kernel(text: str) -> Floats:
    """A kernel from what is typed: a name of `KERNELS`, `gaussian:SIGMA`, or numbers such as "0,1,0;1,-4,1;0,1,0".

    Args:
        text: name of a kernel, `gaussian:SIGMA`, or numbers with commas between columns and semicolons between rows.

    Returns:
        float64 (h, w).

    Raises:
        ConfigError: the text is no kernel.

    Example:
        >>> kernel("0,1,0;1,-4,1;0,1,0").shape
        (3, 3)
    """
    if text in KERNELS:
        return KERNELS[text]
    name, _, number = text.partition(":")
    try:
        sigma = float(number) if name == "gaussian" and number else None
        rows = [] if sigma is not None else [[float(cell) for cell in row.split(",")] for row in text.split(";")]
    except ValueError as error:
        hint = nearest(text, [*KERNELS, "sobel", "gaussian:SIGMA"])
        raise ConfigError(
            f"unknown kernel {text!r}",
            expected='the name of a kernel, or numbers such as "0,1,0;1,-4,1;0,1,0"',
            fix=hint,
        ) from error
    if sigma is not None:
        return gaussian(sigma)
    if len({len(row) for row in rows}) != 1:
        lengths = ", ".join(str(len(row)) for row in rows)
        raise ConfigError("the rows of the kernel differ in length", found=lengths)
    return np.array(rows)


def correlate(image: ArrayLike, kernel: ArrayLike, padding: str = "zero") -> Floats:
    """(f * k)[y, x] = sum over i, j of f[y + i - a, x + j - b] k[i, j], with (a, b) the kernel's middle, size // 2.

    Args:
        image: array (H, W) or (H, W, C).
        kernel: array (h, w).
        padding: "zero", "reflect" or "replicate".

    Returns:
        float64, same shape as the image.

    Example:
        >>> correlate([[0.0, 1.0, 0.0]], [[1.0, 2.0, 3.0]], padding="zero").tolist()
        [[3.0, 2.0, 1.0]]
    """
    k = _checked(kernel)
    return _slide(image, k, (k.shape[0] // 2, k.shape[1] // 2), padding)


def convolve(image: ArrayLike, kernel: ArrayLike, padding: str = "zero") -> Floats:
    """(f * k)[y, x] = sum over i, j of f[y - i + a, x - j + b] k[i, j]: correlation with the kernel turned by 180°.

    Args:
        image: array (H, W) or (H, W, C).
        kernel: array (h, w).
        padding: "zero", "reflect" or "replicate".

    Returns:
        float64, same shape as the image.
    """
    k = _checked(kernel)
    return _slide(image, k[::-1, ::-1], ((k.shape[0] - 1) // 2, (k.shape[1] - 1) // 2), padding)


def joined(first: ArrayLike, second: ArrayLike) -> Floats:
    """The kernel that convolves as `first` and then `second` do: (h1 + h2 - 1, w1 + w2 - 1), for odd sides.

    (f * first) * second = f * (first * second). At the border the two differ, as far in as the first kernel reaches:
    there the second one sees the padding of a filtered image, not the filtered padding of the image. With
    padding "valid" they are the same everywhere.

    Args:
        first: kernel (h1, w1), odd sides.
        second: kernel (h2, w2), odd sides.

    Returns:
        float64 (h1 + h2 - 1, w1 + w2 - 1).

    Example:
        >>> joined([[1, 1, 1]], [[1, 0, -1]]).tolist()
        [[1.0, 1.0, 0.0, -1.0, -1.0]]
    """
    a, b = _checked(first), _checked(second)
    return np.asarray(signal.convolve2d(a, b))


def sobel(image: ArrayLike, padding: str = "reflect") -> Floats:
    """Magnitude of the gradient: the square root of sobel-x squared plus sobel-y squared.

    Args:
        image: array (H, W) or (H, W, C).
        padding: "zero", "reflect" or "replicate".

    Returns:
        float64, same shape as the image, at least 0.
    """
    return np.hypot(correlate(image, KERNELS["sobel-x"], padding), correlate(image, KERNELS["sobel-y"], padding))


def _slide(image: ArrayLike, k: Floats, before: tuple[int, int], padding: str) -> Floats:
    """Correlate, by SciPy. before: rows and columns of the kernel that lie before the pixel it answers for."""
    if padding not in PADDINGS:
        raise ConfigError(f"unknown padding {padding!r}", expected=", ".join(PADDINGS))
    f = np.asarray(image, dtype=np.float64)
    if f.ndim not in (2, 3) or 0 in f.shape:
        raise DataError(
            "the input is not an image", found=f"an array of shape {f.shape}", expected="(H, W) or (H, W, C)"
        )
    widths = [(a, side - 1 - a) for a, side in zip(before, k.shape, strict=True)]
    if padding == "reflect" and any(max(w) >= side for w, side in zip(widths, f.shape, strict=False)):
        raise DataError(
            "the image is smaller than the kernel, so reflect padding is impossible",
            found=f"an image of {f.shape[0]}x{f.shape[1]} pixels and a kernel of {k.shape[0]}x{k.shape[1]}",
            fix="use replicate or zero padding",
        )
    if padding == "valid" and any(side > size for side, size in zip(k.shape, f.shape, strict=False)):
        raise DataError(
            "the kernel is larger than the image, so the image must be padded",
            found=f"an image of {f.shape[0]}x{f.shape[1]} pixels and a kernel of {k.shape[0]}x{k.shape[1]}",
            fix="use zero, reflect or replicate padding, or a smaller kernel",
        )
    origin = [a - side // 2 for a, side in zip(before, k.shape, strict=True)]
    if f.ndim == 3:
        k, origin = k[:, :, None], [*origin, 0]
    found = np.asarray(ndimage.correlate(f, k, mode=PADDINGS[padding], origin=origin))
    if padding != "valid":
        return found
    rows, columns = (slice(a, size - b) for (a, b), size in zip(widths, f.shape, strict=False))
    return found[rows, columns]


def _checked(kernel: ArrayLike) -> Floats:
    k = np.asarray(kernel, dtype=np.float64)
    if k.ndim != 2 or 0 in k.shape or not np.isfinite(k).all():
        raise ConfigError(
            "the kernel is invalid",
            found=f"an array of shape {k.shape}",
            expected="finite values in an array of shape (h, w)",
        )
    return k
