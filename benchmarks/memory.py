"""Peak memory of `fit` at 20,000 and at 60,000 generated images: it must not grow with their number.

Parts of what `fit` holds are filled by a few thousand images and grow no further, the 2,000 of the OOD detector
and the kernels of the 4,000 that mirror images are tried on, from 10,000 training images on; both sizes lie above them.

Counted is anonymous memory; the pages of memory-mapped cache files are the kernel's to give and take. Images are
80x80 RGB JPEG files, two classes of coloured noise, for a head on frozen features, whose backbone runs at 80 pixels,
so that the larger set takes minutes and both run in the same engine; and 32x32 ones for one epoch of a network from
scratch, in batches of 64, which `train` would make larger for the larger set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.harness import PeakMemory, fresh_cache

SIZES = 20_000, 60_000


def measure() -> dict[str, Any]:
    return {"frozen features": _growth("efficientnet_lite0", 80), "from scratch": _growth("resnet8", 32)}


def _growth(model: str, side: int) -> dict[str, Any]:
    peaks = {}
    for n in SIZES:
        with fresh_cache(), tempfile.TemporaryDirectory() as folder:
            _generate(Path(folder), n, side)
            command = [sys.executable, "-m", "benchmarks.memory", folder, model, str(side)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            peaks[n] = json.loads(done.stdout)
    small, large = peaks.values()
    return {
        "peak_bytes": {str(n): peak for n, peak in peaks.items()},
        "growth": large / small,
        "bytes_per_further_image": (large - small) / (SIZES[1] - SIZES[0]),
    }


def _generate(root: Path, n: int, side: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(n):
        folder = root / ("dark" if i % 2 else "light")
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(0, 200, (side, side, 3)) + (0 if i % 2 else 40)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.jpg")


def _peak(folder: str, model: str, side: int) -> int:
    from clearsight.tasks import read
    from clearsight.train.config import TrainConfig
    from clearsight.train.fit import fit

    with PeakMemory() as memory:
        fit(read(folder), TrainConfig.from_options(img_size=side, model=model, epochs=1, batch_size=64))
    return memory.peak


if __name__ == "__main__":
    print(_peak(sys.argv[1], sys.argv[2], int(sys.argv[3])))
