"""Gradient correlation against depth (shattered gradients)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.api.results import saved
from clearsight.arguments import at_least, known_arguments
from clearsight.console import Console, usual_console
from clearsight.data.geometry import Geometry
from clearsight.data.loader import to_float
from clearsight.data.pixels import PixelFormat, decode_image, read_bytes
from clearsight.derivatives import GradientCorrelation
from clearsight.derivatives.gradient_correlation import DEPTHS, KINDS, POINTS
from clearsight.errors import ConfigError
from clearsight.result import refuse_existing
from clearsight.tasks import read


@known_arguments
def gradient_correlation(
    models: Sequence[str] = (),
    *,
    between: tuple[str | Path, str | Path] | None = None,
    depths: Sequence[int] = DEPTHS,
    kinds: Sequence[str] = tuple(KINDS),
    networks: int = 10,
    points: int = POINTS,
    lags: int = 15,
    img_size: int = 32,
    seed: int = 0,
    out: str | Path | None = None,
    console: Console | None = None,
) -> GradientCorrelation:
    """Measure how similar the gradients of nearby inputs are at initialisation, by depth: `cs.gradient_correlation()`.

    Args:
        models: networks of the registry, measured on the line between two images; none measures the fully connected
            networks of the paper.
        between: the two images, squashed to `img_size`; None is two of the built-in digits.
        depths: hidden layers of the fully connected networks.
        kinds: names of `derivatives.gradient_correlation.KINDS`.
        networks: how many are averaged.
        points: inputs on the line.
        lags: longest lag, in points.
        img_size: side of the images of `models`.
        seed: random seed.
        out: folder to save the result to, as `save` does; None writes nothing.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        The autocorrelation of the gradients against the lag, for each kind and depth.

    Raises:
        ModelError: there is no such network.
        ConfigError: an option is out of range.
        OutputError: `out` holds an earlier result.

    Reference:
        Balduzzi et al. 2017, arXiv:1702.08591.
    """
    from clearsight.derivatives import correlation_between
    from clearsight.derivatives import gradient_correlation as measured

    if out is not None:
        refuse_existing(out, ("gradient_correlation.html", "gradient_correlation.json"))
    at_least(1, img_size=img_size)
    at_least(0, seed=seed)
    options: dict[str, Any] = {
        "networks": networks, "points": points, "lags": lags, "seed": seed,
        "console": console or usual_console(),
    }  # fmt: skip
    if between and not models:
        raise ConfigError(
            "--between needs networks that take images as input", fix="name at least one network, such as resnet20"
        )
    if models:
        found = correlation_between(models, *_ends(between, img_size), **options)
    else:
        found = measured(depths, kinds=kinds, **options)
    return saved(found, out)


def _ends(between: tuple[str | Path, str | Path] | None, side: int) -> list[NDArray[np.float32]]:
    """Two images (C, side, side) in [0, 1]."""
    geometry = Geometry(side, side, "squash")
    if between:
        images = [decode_image(read_bytes(path), str(path), PixelFormat(3, 8), geometry) for path in between]
    else:
        source = read("digits").source
        images = [source.decode(row, PixelFormat(1, 8), geometry) for row in (0, 1)]
    return [to_float(image).numpy() for image in images]
