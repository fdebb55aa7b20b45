"""SmoothGrad, 50 samples, EfficientNet-Lite0 at 224 pixels, against Captum's NoiseTunnel at its default settings.

Both in one run on the same photograph, network and class; the maps are compared too. And the faithfulness of every
gradient method on held-out digits and solar cells, against places in random order.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.harness import fresh_cache, spread


def measure(repeats: int = 3) -> dict[str, Any]:
    return {
        "smoothgrad": _speed(repeats),
        "faithfulness on digits": _faithful("digits", 60),
        "faithfulness on elpv": _faithful("elpv", 24),
        "the same, where is it defective": _faithful("elpv", 24, target="defective"),
    }


def _speed(repeats: int) -> dict[str, Any]:
    import captum.attr as attr
    import torch
    from skimage import data

    from clearsight.explanation.gradients import smoothgrad
    from clearsight.runs.load import load_predictor

    predictor = load_predictor("efficientnet_lite0")
    pixels = next(iter(predictor.pixels(data.chelsea())))
    x = torch.from_numpy(pixels)
    target = int(predictor.logits(pixels)[0].argmax())
    spread_ = 0.1 * float(x.max() - x.min())
    ours, theirs, ratio = [], [], []
    maps: list[Any] = []
    for repeat in range(repeats + 1):
        began = time.perf_counter()
        mine = smoothgrad(predictor.network, x, torch.tensor([target]), samples=50)
        middle = time.perf_counter()
        tunnel = attr.NoiseTunnel(attr.Saliency(predictor.network))
        torch.manual_seed(0)
        other = tunnel.attribute(x.clone(), target=target, nt_samples=50, stdevs=spread_).detach()
        end = time.perf_counter()
        maps = [mine.amax(1)[0].numpy(), other.amax(1)[0].numpy()]
        if repeat:  # the first is the warm-up
            ours.append(middle - began)
            theirs.append(end - middle)
            ratio.append(theirs[-1] / ours[-1])
    return {
        "seconds": spread(ours), "captum_seconds": spread(theirs), "times_as_fast": spread(ratio), "bar": 3,
        "correlation_of_the_maps": float(np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]),
    }  # fmt: skip


def _faithful(data: str, count: int, target: str | None = None) -> dict[str, Any]:
    from clearsight.api.fit import fit
    from clearsight.explanation import GRADIENT_METHODS, explain
    from clearsight.runs.images import held_out

    with fresh_cache(), tempfile.TemporaryDirectory() as folder:
        run = fit(data, out=f"{folder}/run")
        held = held_out(run.folder)
        images = held.sample(count, 0).images
        images = images[: len(images)].astype(np.float32) / 255
        faithfulness = list(explain(held.predictor, images, method=GRADIENT_METHODS, target=target))
    found = {}
    for method in GRADIENT_METHODS:
        mine = [e for e in faithfulness if e.method == method]
        scores = [e.faithfulness.score for e in mine if e.faithfulness]
        shuffled = [e.randomised for e in mine if e.randomised is not None]
        found[method] = {
            "score": spread(scores),
            "mean": float(np.mean(scores)),
            "standard_error": float(np.std(scores) / len(scores) ** 0.5),
            "mean_correlation_with_shuffled_weights": float(np.mean(shuffled)) if shuffled else None,
        }
    return found
