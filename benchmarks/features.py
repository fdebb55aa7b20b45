"""From files to features against the inference engine alone, in one run, on elpv's 2,624 PNG files.

The road: read, hash and decode every file into the cache, then run the backbone over the cached pixels, both from
nothing.
The limit: the same compiled network over the same number of images that lie in memory as float32 batches.
"""

from __future__ import annotations

import shutil
import time
from typing import Any

import numpy as np

from benchmarks.harness import fresh_cache, spread


def measure(repeats: int = 3) -> dict[str, Any]:
    from clearsight.data.cached_pixels import cached_pixels
    from clearsight.data.geometry import Geometry
    from clearsight.data.loader import to_float
    from clearsight.data.scan import scan
    from clearsight.models.execution import BATCH, OpenVinoEngine
    from clearsight.models.network import Backbone
    from clearsight.tasks import read
    from clearsight.train.config import TrainConfig
    from clearsight.train.features import extract
    from clearsight.train.recipe import plan
    from clearsight.train.strategies.probe import new_probe

    dataset = read("elpv")
    rows = np.arange(len(dataset))
    road, engine, ratio = [], [], []
    with fresh_cache() as cache:
        recipe = plan(TrainConfig(), scan(dataset))
        probe = new_probe(recipe)
        side = Geometry(recipe.img_size, recipe.img_size)
        network = OpenVinoEngine(Backbone(probe), (1, recipe.img_size, recipe.img_size))  # converts once, kept below
        for repeat in range(repeats + 1):
            for kind in ("pixels", "features"):
                shutil.rmtree(cache / kind, ignore_errors=True)
            began = time.perf_counter()
            facts = scan(dataset)
            pixels = cached_pixels(dataset.source, facts.digests, facts.form, side)
            extract(probe, pixels, rows, device="cpu")
            took = time.perf_counter() - began
            batches = [to_float(pixels.array[i : i + BATCH]).numpy() for i in range(0, 512, BATCH)]
            began = time.perf_counter()
            for _ in network.stream(batches[k % len(batches)] for k in range(len(dataset) // BATCH)):
                pass
            alone = time.perf_counter() - began
            if repeat:  # the first is the warm-up
                road.append(len(dataset) / took)
                engine.append(len(dataset) // BATCH * BATCH / alone)
                ratio.append(road[-1] / engine[-1])
    return {
        "files_to_features_images_per_second": spread(road),
        "engine_images_per_second": spread(engine),
        "ratio": spread(ratio),
        "bar": 0.65,
    }
