"""Colour: spaces, histograms, and the most frequent colours of a picture.

Images are tensors (N, C, H, W) in [0, 1]: C = 3 is RGB, C = 1 is gray, for which every space is the gray value itself.
"""

from __future__ import annotations

from typing import Literal

import torch

from clearsight.errors import DataError

Space = Literal["rgb", "hsv", "lab"]

_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)  # D65, 2 degrees
_LOWEST, _SPAN = (0.0, -128.0, -128.0), (100.0, 256.0, 256.0)  # of L, a, b


def hsv(x: torch.Tensor) -> torch.Tensor:
    """RGB to hue, saturation and value, each in [0, 1] [Smith 1978]. (N, 3, H, W) -> (N, 3, H, W).

    Args:
        x: RGB images (N, 3, H, W), float32 in [0, 1].

    Returns:
        float32 (N, 3, H, W), each channel in [0, 1].
    """
    value, which = x.max(dim=1)
    spread = value - x.min(dim=1).values
    saturation = torch.where(value > 0, spread / value.clamp_min(1e-12), 0.0)
    r, g, b = x.unbind(1)
    turns = torch.stack([g - b, b - r, r - g]) / spread.clamp_min(1e-12)  # (3, N, H, W)
    hue = turns.gather(0, which[None])[0] + 2 * which
    return torch.stack([torch.where(spread > 0, hue / 6 % 1, 0.0), saturation, value], dim=1)


def lab(x: torch.Tensor) -> torch.Tensor:
    """sRGB to CIE L*a*b* (D65): L in [0, 100], a and b about -128 to 127. (N, 3, H, W) -> (N, 3, H, W).

    Args:
        x: RGB images (N, 3, H, W), float32 in [0, 1].

    Returns:
        float32 (N, 3, H, W): L in [0, 100], a and b from about -128 to 127.
    """
    linear = torch.where(x > 0.04045, ((x.clamp_min(0) + 0.055) / 1.055) ** 2.4, x / 12.92)
    xyz = torch.einsum("ij,njhw->nihw", x.new_tensor(_TO_XYZ), linear) / x.new_tensor(_WHITE).view(1, 3, 1, 1)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-12) ** (1 / 3), 7.787 * xyz + 16 / 116)
    fx, fy, fz = f.unbind(1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=1)


def in_space(x: torch.Tensor, space: Space) -> torch.Tensor:
    """The image in a colour space whose every channel is scaled to [0, 1]; gray images stay as they are.

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        space: name of the colour space.

    Returns:
        Images of the same shape, each channel in [0, 1].

    Raises:
        DataError: the image has neither one channel nor three.
    """
    if x.shape[1] == 1 or space == "rgb":
        return x
    if x.shape[1] != 3:
        raise DataError(f"space={space} needs RGB images", found=f"{x.shape[1]} channels", fix="use space=rgb")
    if space == "hsv":
        return hsv(x)
    return (lab(x) - x.new_tensor(_LOWEST).view(1, 3, 1, 1)) / x.new_tensor(_SPAN).view(1, 3, 1, 1)


def histogram(x: torch.Tensor, space: Space = "rgb", bins: int = 6) -> torch.Tensor:
    """Share of the pixels in each cell of a grid over the colour space: (N, C, H, W) -> (N, bins**C), rows sum to 1.

    The channels are binned jointly: a cell is a colour, not a shade of one channel. The first channel varies slowest.

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        space: name of the colour space.
        bins: number of bins per channel.

    Returns:
        float32 (N, bins**C), rows sum to 1.

    Raises:
        DataError: the images have more than four channels.

    Example:
        >>> histogram(torch.zeros(1, 1, 8, 8), "rgb", bins=4).tolist()
        [[1.0, 0.0, 0.0, 0.0]]
    """
    if x.shape[1] > 4:  # the grid would have more cells than there is memory
        raise DataError(
            "a colour histogram needs gray or RGB images", found=f"{x.shape[1]} channels",
            fix="use another model, such as hog+svm or a network",
        )  # fmt: skip
    cells = _cells(in_space(x, space), bins)
    counts = x.new_zeros(len(x), bins ** x.shape[1])
    counts.scatter_add_(1, cells, torch.ones_like(cells, dtype=x.dtype))
    return counts / cells.shape[1]


def frequent_colours(x: torch.Tensor, count: int = 2, bins: int = 6) -> torch.Tensor:
    """The most frequent colours, each as the mean of the pixels in its cell and the cell's share of the picture.

    (N, C, H, W) -> (N, count, C + 1), most frequent first; of equally frequent ones, the darker cell first. A picture
    of fewer colours than asked for repeats its last one with share 0.

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        count: number of colours.
        bins: number of bins per channel.

    Returns:
        float32 (N, count, C + 1): the colour and its share.
    """
    channels = x.shape[1]
    cells = _cells(x, bins)
    shares = histogram(x, "rgb", bins)
    order = torch.sort(shares, dim=1, descending=True, stable=True).indices[:, :count]  # (N, count)
    sums = x.new_zeros(len(x), channels, shares.shape[1])
    sums.scatter_add_(2, cells[:, None].expand(-1, channels, -1), x.flatten(2))
    means = sums / (shares * cells.shape[1]).clamp_min(1)[:, None]
    share = shares.gather(1, order)
    colour = means.gather(2, order[:, None].expand(-1, channels, -1)).transpose(1, 2)  # (N, count, C)
    for i in range(1, order.shape[1]):
        colour[:, i] = torch.where(share[:, i, None] > 0, colour[:, i], colour[:, i - 1])
    return torch.cat([colour, share[..., None]], dim=2)


def _cells(x: torch.Tensor, bins: int) -> torch.Tensor:
    """Number of the grid's cell each pixel falls into: (N, C, H, W) -> (N, H W)."""
    level = (x.flatten(2) * bins).long().clamp(0, bins - 1)  # (N, C, H W)
    place = bins ** torch.arange(x.shape[1] - 1, -1, -1, device=x.device)
    return (level * place.view(1, -1, 1)).sum(1)
