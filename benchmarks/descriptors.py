"""Dense descriptors for whole batches against scikit-image's function image by image, on the same images.

The images are crops of scikit-image's own pictures, 64x64 and gray; the descriptors' numbers are compared too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import spread

IMAGES, SIDE, BATCH = 1000, 64, 64


def measure(repeats: int = 5) -> dict[str, Any]:
    import torch
    from skimage import data, feature

    from clearsight.classical.hog import hog
    from clearsight.classical.texture import lbp

    rng = np.random.default_rng(0)
    pictures = [data.camera(), data.brick(), data.grass(), data.gravel()]
    crops = []
    for i in range(IMAGES):
        picture = pictures[i % len(pictures)]
        top, left = (int(rng.integers(n - SIDE)) for n in picture.shape)
        crops.append(picture[top : top + SIDE, left : left + SIDE])
    eight = np.stack(crops)
    x = torch.from_numpy(eight[:, None].astype(np.float32) / 255)

    def hog_loop() -> Any:
        cells = {"pixels_per_cell": (8, 8), "cells_per_block": (2, 2)}
        return np.stack([feature.hog(image / 255.0, 9, **cells) for image in eight])

    def lbp_loop() -> Any:
        return np.stack([feature.local_binary_pattern(image, 8, 1, "uniform") for image in eight])

    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "hog": (lambda: torch.cat([hog(part, 9, 8, 2) for part in x.split(BATCH)]).numpy(), hog_loop),
        "lbp": (lambda: torch.cat([lbp(part, 8, 1.0, "uniform") for part in x.split(BATCH)]).numpy(), lbp_loop),
    }
    found = {}
    for name, (ours, theirs) in pairs.items():
        difference = float(np.abs(ours() - theirs()).max())
        rates, ratios = [], []
        for _ in range(repeats):
            seconds = []
            for function in (ours, theirs):
                began = time.perf_counter()
                function()
                seconds.append(time.perf_counter() - began)
            rates.append(IMAGES / seconds[0])
            ratios.append(seconds[1] / seconds[0])
        found[name] = {"images_per_second": spread(rates), "times_as_fast": spread(ratios), "bar": 3,
                       "largest_difference": difference}  # fmt: skip
    return found
