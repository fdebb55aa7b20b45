"""fastai's own probabilities on three of the splits: the same images and weights, `fine_tune` with its defaults."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fastai import HERE, environment
from benchmarks.promises.sets import SETS, image_of
from clearsight.metrics import accuracy, expected_calibration_error, log_loss

SPLITS = ("cells300", "patches", "elpv")
EPOCHS = 3


def probabilities(seed: int = 0, names: tuple[str, ...] = SPLITS) -> dict[str, Any]:
    """Accuracy, log loss and ECE of fastai's probabilities on the test split of each set."""
    python, found = environment(), {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            _write_folders(Path(folder), name, seed)
            script = HERE / "peers" / "fastai_fine_tune.py"
            out = Path(folder) / "probabilities.npz"
            command = [python, str(script), folder, str(EPOCHS), str(out)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            about = json.loads(done.stdout.splitlines()[-1])
            arrays = np.load(out)
            p, truth = arrays["probabilities"].astype(np.float64), arrays["truth"]
            found[name] = {
                "accuracy": accuracy(truth, p.argmax(1)), "log loss": log_loss(truth, p),
                "ece": expected_calibration_error(truth, p), "seconds": about["seconds"], "fastai": about["fastai"],
            }  # fmt: skip
    return found


def _write_folders(root: Path, name: str, seed: int) -> None:
    """The set as train/CLASS/ and test/CLASS/ folders, split as Clearsight splits it with this seed."""
    from clearsight.data.splits import assign

    data = SETS[name].make(seed)
    split = assign(data.labels, data.given, data.classes, usable=np.ones(len(data), bool), seed=seed)
    for part, rows in (("train", split.development), ("test", split.test)):
        for i in rows.tolist():
            folder = root / part / data.classes[data.labels[i]]
            folder.mkdir(parents=True, exist_ok=True)
            image = image_of(data, i)
            if isinstance(image, Path):
                (folder / f"{i}{image.suffix}").symlink_to(image)
            else:
                image.save(folder / f"{i}.png")
