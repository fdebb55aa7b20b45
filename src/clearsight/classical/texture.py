"""Texture and shape: local binary patterns, co-occurrence of gray levels, Gabor filters, Hu's moments.

Images are tensors (N, 1, H, W) in [0, 1]; `gray` makes them of any others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn import functional as F

from clearsight.errors import ConfigError

Patterns = Literal["default", "ror", "uniform", "nri_uniform"]

_LUMA = (0.2125, 0.7154, 0.0721)


def gray(x: torch.Tensor) -> torch.Tensor:
    """Luminance (N, 1, H, W) of RGB images (scikit-image's weights); the mean of any other number of channels."""
    if x.shape[1] == 3:
        return (x * x.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return x.mean(1, keepdim=True)


def lbp(x: torch.Tensor, points: int = 8, radius: float = 1.0, method: Patterns = "uniform") -> torch.Tensor:
    """Local binary patterns [Ojala, Pietikäinen, Mäenpää 2002]: a code for each pixel, (N, 1, H, W) -> (N, H, W).

    Each of `points` neighbours on a circle, interpolated between pixels, gives one bit: not darker than the centre.
    method "default": the bits as a number; "ror": the smallest number of all rotations; "uniform": the count of set
    bits where the circle changes at most twice, points + 1 elsewhere, which rotation leaves alone; "nri_uniform": the
    uniform patterns, with rotations distinguished. Beyond the border lies black. Codes are those of
    `skimage.feature.local_binary_pattern`.
    """
    levels = (x[:, 0].double() * 65535).round() / 257  # of 8 bits they are whole numbers again
    bits = _bits(levels, points, radius)  # (points, N, H, W)
    if method == "default":
        return _number(bits)
    if method == "ror":
        return torch.stack([_number(bits.roll(-i, 0)) for i in range(points)]).amin(0)
    changes = (bits != bits.roll(-1, 0)).sum(0)
    if method == "uniform":
        return torch.where(changes <= 2, bits.sum(0), points + 1)
    if method != "nri_uniform":
        raise ConfigError(f"unknown LBP method {method!r}", expected="default, ror, uniform or nri_uniform")
    return _rotated_uniform(bits, changes, points)


def lbp_codes(points: int, method: Patterns) -> int:
    """How many codes a method knows."""
    whole: int = 2**points
    return {"default": whole, "ror": whole, "uniform": points + 2, "nri_uniform": points * (points - 1) + 3}[method]


def lbp_histogram(
    x: torch.Tensor, points: int = 8, radius: float = 1.0, method: Patterns = "uniform", grid: int = 1
) -> torch.Tensor:
    """Shares of the codes in each of grid x grid parts of the image: (N, 1, H, W) -> (N, grid² codes)."""
    codes, many = lbp(x, points, radius, method), lbp_codes(points, method)
    rows, columns = _places(codes.shape[1], grid, x.device), _places(codes.shape[2], grid, x.device)
    part = rows[:, None] * grid + columns[None]  # (H, W)
    counts = x.new_zeros(len(x), grid * grid * many)
    counts.scatter_add_(1, (part * many + codes).flatten(1), torch.ones_like(codes, dtype=x.dtype).flatten(1))
    parts = counts.view(len(x), grid * grid, many)
    return (parts / parts.sum(-1, keepdim=True).clamp_min(1)).flatten(1)


def _places(side: int, grid: int, device: torch.device) -> torch.Tensor:
    """Which of `grid` nearly equal parts each of `side` positions lies in."""
    return torch.arange(side, device=device) * grid // max(1, side)


def _bits(x: torch.Tensor, points: int, radius: float) -> torch.Tensor:
    """Whether each neighbour is at least as bright as its centre: (N, H, W) -> (points, N, H, W)."""
    reach = math.ceil(radius)
    height, width = x.shape[1:]
    padded = F.pad(x, (reach + 1,) * 4)

    def shifted(row: int, column: int) -> torch.Tensor:
        top, left = row + reach + 1, column + reach + 1
        return padded[:, top : top + height, left : left + width]

    found = []
    for p in range(points):
        angle = 2 * math.pi * p / points
        row, column = round(-radius * math.sin(angle), 5), round(radius * math.cos(angle), 5)
        above, left = math.floor(row), math.floor(column)
        down, right = _between(height, row, x)[:, None], _between(width, column, x)
        upper, lower = shifted(above, left), shifted(math.ceil(row), left)
        if column != left:
            beside = math.ceil(column)
            upper = (1 - right) * upper + right * shifted(above, beside)
            lower = (1 - right) * lower + right * shifted(math.ceil(row), beside)
        found.append((upper if row == above else (1 - down) * upper + down * lower) >= x)
    return torch.stack(found)


def _between(side: int, offset: float, x: torch.Tensor) -> torch.Tensor:
    """How far beyond a pixel each place plus an offset lies, (side,) in [0, 1). Rounded at every place by itself, as in
    scikit-image: where a neighbour ties with its centre, that decides.
    """
    place = torch.arange(side, dtype=x.dtype, device=x.device) + offset
    return place - place.floor()


def _number(bits: torch.Tensor) -> torch.Tensor:
    """Bits (points, ...) as numbers, the first one the lowest."""
    weights = 2 ** torch.arange(len(bits), device=bits.device)
    return (bits.long() * weights.view(-1, *[1] * (bits.ndim - 1))).sum(0)


def _rotated_uniform(bits: torch.Tensor, changes: torch.Tensor, points: int) -> torch.Tensor:
    """Codes of the uniform patterns: by the count of set bits and where they begin; the last code for all others."""
    ones = bits.sum(0)
    before = bits.roll(1, 0)
    begins = (bits & ~before).long().argmax(0)  # of the run of ones; meaningless for none and all
    between = 1 + (ones - 1) * points + (points - begins) % points
    code = torch.where(ones == 0, 0, torch.where(ones == points, points * (points - 1) + 1, between))
    return torch.where(changes <= 2, code, points * (points - 1) + 2)


def cooccurrence(
    x: torch.Tensor, distances: Sequence[int] = (1, 2), angles: Sequence[float] | None = None, levels: int = 16
) -> torch.Tensor:
    """Gray-level co-occurrence [Haralick, Shanmugam, Dinstein 1973]: how often two levels stand at an offset.

    (N, 1, H, W) -> (N, distances, angles, levels, levels), symmetric, each matrix summing to 1 (to 0 where the image is
    smaller than the offset). angles: in radians, 0 to the right; default 0, 45, 90 and 135 degrees.
    """
    angles = [i * math.pi / 4 for i in range(4)] if angles is None else angles
    level = (x[:, 0] * levels).long().clamp(0, levels - 1)
    found = []
    for distance in distances:
        for angle in angles:
            row, column = round(math.sin(angle) * distance), round(math.cos(angle) * distance)
            first, second = _pairs(level, row, column)
            counts = x.new_zeros(len(x), levels * levels)
            both = torch.cat([first * levels + second, second * levels + first], 1)
            counts.scatter_add_(1, both, torch.ones_like(both, dtype=x.dtype))
            found.append((counts / counts.sum(1, keepdim=True).clamp_min(1)).view(-1, levels, levels))
    return torch.stack(found, 1).view(len(x), len(distances), len(angles), levels, levels)


def _pairs(level: torch.Tensor, row: int, column: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels (N, P) of all pixels that have a partner at an offset, and of their partners."""
    height, width = level.shape[1:]
    top, left = max(0, -row), max(0, -column)
    bottom, right = max(top, min(height, height - row)), max(left, min(width, width - column))
    first = level[:, top:bottom, left:right]
    second = level[:, top + row : bottom + row, left + column : right + column]
    return first.flatten(1), second.flatten(1)


def haralick(matrices: torch.Tensor) -> torch.Tensor:
    """Six numbers per co-occurrence matrix: contrast, dissimilarity, homogeneity, energy, correlation, entropy.

    (..., L, L) -> (..., 6). The correlation of an image of one level is 1, as in scikit-image.
    """
    levels = matrices.shape[-1]
    i = torch.arange(levels, dtype=matrices.dtype, device=matrices.device)
    apart = i[:, None] - i[None]
    rows, columns = matrices.sum(-1), matrices.sum(-2)
    mean_row, mean_column = (rows * i).sum(-1), (columns * i).sum(-1)
    deviation_row = ((rows * i.square()).sum(-1) - mean_row.square()).clamp_min(0).sqrt()
    deviation_column = ((columns * i.square()).sum(-1) - mean_column.square()).clamp_min(0).sqrt()
    joint = (matrices * i[:, None] * i[None]).sum((-1, -2)) - mean_row * mean_column
    spread = deviation_row * deviation_column
    return torch.stack(
        [
            (matrices * apart.square()).sum((-1, -2)),
            (matrices * apart.abs()).sum((-1, -2)),
            (matrices / (1 + apart.square())).sum((-1, -2)),
            matrices.square().sum((-1, -2)).sqrt(),
            torch.where(spread > 1e-12, joint / spread.clamp_min(1e-12), 1.0),
            -torch.xlogy(matrices, matrices).sum((-1, -2)),
        ],
        dim=-1,
    )


def gabor_kernel(frequency: float, theta: float, bandwidth: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A complex wave under a Gaussian [Gabor 1946; Daugman 1985]: real and imaginary part, each (h, w) float64.

    frequency: waves per pixel. theta: direction of the wave in radians. bandwidth: in octaves; it sets the Gaussian's
    standard deviation, b / f, which is cut at three of them. The numbers are those of `skimage.filters.gabor_kernel`.
    """
    sigma = math.sqrt(math.log(2) / 2) / math.pi * (2**bandwidth + 1) / (2**bandwidth - 1) / frequency
    cos, sin = math.cos(theta), math.sin(theta)
    reach_x = math.ceil(max(abs(3 * sigma * cos), abs(3 * sigma * sin), 1))
    reach_y = math.ceil(max(abs(3 * sigma * sin), abs(3 * sigma * cos), 1))
    y, x = torch.meshgrid(
        torch.arange(-reach_y, reach_y + 1, dtype=torch.float64),
        torch.arange(-reach_x, reach_x + 1, dtype=torch.float64),
        indexing="ij",
    )
    along, across = x * cos + y * sin, -x * sin + y * cos
    bell = torch.exp(-0.5 * (along.square() + across.square()) / sigma**2) / (2 * math.pi * sigma**2)
    wave = 2 * math.pi * frequency * along
    return bell * wave.cos(), bell * wave.sin()


def gabor(x: torch.Tensor, frequencies: Sequence[float] = (0.05, 0.1, 0.2, 0.4), directions: int = 6) -> torch.Tensor:
    """Mean and standard deviation of the strength of each Gabor filter's answer: (N, 1, H, W) -> (N, F D 2).

    Beyond the border lies the image mirrored, as far as it reaches.
    """
    found = []
    for frequency in frequencies:
        for direction in range(directions):
            real, imaginary = gabor_kernel(frequency, math.pi * direction / directions)
            bank = torch.stack([real, imaginary])[:, None].to(x)
            reach = [side // 2 for side in bank.shape[2:]]
            mode = "reflect" if reach[0] < x.shape[2] and reach[1] < x.shape[3] else "replicate"
            response = F.conv2d(F.pad(x, (reach[1], reach[1], reach[0], reach[0]), mode=mode), bank)
            strength = response.square().sum(1).sqrt().flatten(1)
            found += [strength.mean(1), strength.std(1, correction=0)]
    return torch.stack(found, 1)


def hu_moments(x: torch.Tensor) -> torch.Tensor:
    """Hu's seven numbers [Hu 1962], which shift, size and rotation leave alone: (N, 1, H, W) -> (N, 7).

    Taken of the brightness as a mass; an all-black image has all seven 0.
    """
    mass = x[:, 0].double()
    rows = torch.arange(x.shape[2], dtype=mass.dtype, device=x.device)[:, None]
    columns = torch.arange(x.shape[3], dtype=mass.dtype, device=x.device)[None]
    total = mass.sum((1, 2)).clamp_min(1e-12)
    middle_row = (mass * rows).sum((1, 2)) / total
    middle_column = (mass * columns).sum((1, 2)) / total
    dy = rows[None] - middle_row.view(-1, 1, 1)
    dx = columns[None] - middle_column.view(-1, 1, 1)

    def eta(p: int, q: int) -> torch.Tensor:
        """Central moment of order p in x and q in y, made independent of size."""
        return (mass * dx**p * dy**q).sum((1, 2)) / total ** ((p + q) / 2 + 1)

    n20, n02, n11, n30, n12, n21, n03 = (
        eta(2, 0), eta(0, 2), eta(1, 1), eta(3, 0), eta(1, 2), eta(2, 1), eta(0, 3),
    )  # fmt: skip
    a, b = n30 + n12, n21 + n03
    c, d = n30 - 3 * n12, 3 * n21 - n03
    return torch.stack(
        [
            n20 + n02,
            (n20 - n02) ** 2 + 4 * n11**2,
            c**2 + d**2,
            a**2 + b**2,
            c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
            (n20 - n02) * (a**2 - b**2) + 4 * n11 * a * b,
            d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
        ],
        dim=1,
    ).to(x.dtype)


def log_hu(x: torch.Tensor) -> torch.Tensor:
    """Hu's moments on a logarithmic scale that keeps their signs: -sign(h) log10 |h|, 0 for 0. (N, 1, H, W) -> (N,
    7).
    """
    h = hu_moments(x).double()
    return torch.where(h == 0, 0.0, -h.sign() * h.abs().clamp_min(1e-30).log10()).to(x.dtype)
