"""Test accuracy and time of `clearsight train fashion-mnist --model hog+...`, empty cache each.

FASHION_MNIST names the folder of the data set's IDX files where they are not to be downloaded.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from benchmarks.harness import command, fresh_cache

BARS = {"hog+svm": (0.89, None), "hog+nystroem": (0.90, 60), "hog+rbf": (0.915, 180)}


def measure() -> dict[str, Any]:
    folder = os.environ.get("FASHION_MNIST")
    place = ["--data-dir", folder] if folder else []
    found = {}
    for model, (accuracy, seconds) in BARS.items():
        with fresh_cache(), tempfile.TemporaryDirectory() as out:
            answer, took = command("train", "fashion-mnist", *place, "--model", model, "--out", f"{out}/run")
        found[model] = {
            "test_accuracy": answer["test"]["accuracy"], "bar": accuracy,
            "train_seconds": answer["train_seconds"], "whole_command_seconds": took, "bar_about_seconds": seconds,
        }  # fmt: skip
    return found
