"""Killed without warning at random moments of a digits run, then resumed: are the final weights the same bits?

Each trial starts `clearsight train digits`, kills it with SIGKILL at a random moment of the time an uninterrupted run
takes, resumes it and compares weights.safetensors. A kill before the run's folder exists is followed by a plain
start.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

EPOCHS = "12"


def measure(trials: int = 20, seed: int = 0) -> dict[str, Any]:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        began = time.perf_counter()
        subprocess.run(_command(root / "whole"), check=True, capture_output=True)
        whole = time.perf_counter() - began
        expected = (root / "whole" / "model" / "weights.safetensors").read_bytes()
        same, killed_at, resumed_from = 0, [], []
        for trial in range(trials):
            out = root / str(trial)
            process = subprocess.Popen(_command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            moment = rng.uniform(0, whole)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed_at.append(round(moment, 2))
            resumed_from.append((out / "checkpoints").exists())
            finished = (out / "metrics.json").exists()
            begun = (out / "config.json").exists()
            if not finished:
                again = _command(out) + (["--resume"] if begun else [])
                subprocess.run(again, check=True, capture_output=True)
            same += (out / "model" / "weights.safetensors").read_bytes() == expected
    return {
        "trials": trials,
        "bit_identical": same,
        "killed_with_a_checkpoint_on_disk": sum(resumed_from),
        "seconds_of_a_whole_run": whole,
        "killed_at": killed_at,
    }


def _command(out: Path) -> list[str]:
    words = ["train", "digits", "--epochs", EPOCHS, "--checkpoint-every", "0.3", "--out", str(out)]
    return [sys.executable, "-m", "clearsight.cli.main", *words]
