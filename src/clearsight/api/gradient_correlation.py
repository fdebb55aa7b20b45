"""Gradient correlation against depth (shattered gradients), written as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.arguments import at_least
from clearsight.console import Console
from clearsight.data.geometry import Geometry
from clearsight.data.loader import to_float
from clearsight.data.pixels import PixelFormat, decode_image, read_bytes
from clearsight.derivatives import Shattered
from clearsight.derivatives.gradient_correlation import DEPTHS, KINDS, POINTS
from clearsight.disk import disk_errors, write_json
from clearsight.errors import ConfigError
from clearsight.tasks import read


def shattered(
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
    out: str | Path = "shattered",
    console: Console | None = None,
) -> tuple[Shattered, Path]:
    """How alike the gradients of nearby inputs are, at initialisation, against depth: `cs.shattered()`.

    The numbers and the page, in the folder `out`. Without models, the fully connected networks of the paper, of these
    depths and kinds. models: networks of the registry, on the line between two images, which `between` names; they are
    squashed to img_size. Two of the built-in digits unless given.
    """
    from clearsight.derivatives import shattered as measured
    from clearsight.derivatives import shattered_between
    from clearsight.report.gradient_correlation_page import write_shattered_page

    at_least(1, img_size=img_size)
    at_least(0, seed=seed)
    options: dict[str, Any] = {
        "networks": networks, "points": points, "lags": lags, "seed": seed, "console": console,
    }  # fmt: skip
    if between and not models:
        raise ConfigError("a line between images needs networks that take images", fix="name some, such as resnet20")
    if models:
        found = shattered_between(models, *_ends(between, img_size), **options)
    else:
        found = measured(depths, kinds=kinds, **options)
    folder = Path(out).expanduser()
    with disk_errors(folder, "the page", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "shattered.html"
        write_shattered_page(page, found)
        write_json(folder / "shattered.json", found.to_dict())
    return found, page


def _ends(between: tuple[str | Path, str | Path] | None, side: int) -> list[NDArray[np.float32]]:
    """Two images (C, side, side) in [0, 1]."""
    geometry = Geometry(side, side, "squash")
    if between:
        images = [decode_image(read_bytes(path), str(path), PixelFormat(3, 8), geometry) for path in between]
    else:
        source = read("digits").source
        images = [source.decode(row, PixelFormat(1, 8), geometry) for row in (0, 1)]
    return [to_float(image).numpy() for image in images]
