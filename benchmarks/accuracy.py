"""Test accuracy and time of the plain commands, with an empty cache each: digits (seeds 0-2) and elpv (seeds 0-3)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import command, fresh_cache, spread


def measure() -> dict[str, Any]:
    return {"digits": _runs("digits", range(3)), "elpv": _runs("elpv", range(4))}


def _runs(data: str, seeds: range) -> dict[str, Any]:
    accuracy, ece, train, whole = [], [], [], []
    for seed in seeds:
        with fresh_cache(), tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "run")
            answer, took = command("train", data, "--seed", str(seed), "--out", out)
        accuracy.append(answer["test"]["accuracy"])
        ece.append(answer["test"]["ece"])
        train.append(answer["train_seconds"])
        whole.append(took)
    return {
        "test_accuracy": accuracy,
        "mean_test_accuracy": sum(accuracy) / len(accuracy),
        "ece": spread(ece),
        "train_seconds": spread(train),
        "whole_command_seconds": spread(whole),
    }
