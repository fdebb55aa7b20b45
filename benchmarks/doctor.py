"""What the vital signs cost: processor time of a training step with and without them, in turns, in one thread.

resnet8 on the digits (8x8 pixels, 64 images a step): whole runs of 200 steps, as they are. resnet18 on noise (32x32
pixels, 32 images a step): ten steps, all of them looked at, against ten steps without; as in a run of 500 steps 33 are
looked at, its ratio is worked out from the two times.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch

from benchmarks.harness import spread
from clearsight.diagnosis import Vitals


class _Always(Vitals):
    """Looks at every step."""

    def _due(self, number: int) -> bool:
        return True


def measure(repeats: int = 7) -> dict[str, Any]:
    from clearsight.tasks import read

    torch.set_num_threads(1)
    found = read("digits")
    pixels = np.asarray(found.source.images)[:, None]  # type: ignore[attr-defined]
    noise = np.random.default_rng(0).integers(0, 256, (320, 3, 32, 32), dtype=np.uint8)
    small = _compare("resnet8", {"width": 32}, pixels, found.labels, 64, 200, repeats, Vitals)
    large = _compare("resnet18", {}, noise, np.arange(320) % 10, 32, 10, 5, _Always)
    observed = _observed_steps(500)
    extra = large["ratio"]["median"] - 1
    return {
        "resnet8_digits": small,
        "resnet18_32px_every_step_looked_at": large,
        "resnet18_32px_run_of_500_steps": {"steps_looked_at": observed, "ratio": 1 + extra * observed / 500},
        "limit": 1.03,
    }


def _observed_steps(steps: int) -> int:
    """How many steps of a run are looked at."""
    vitals = Vitals()
    vitals.total, observed = steps, 0
    for number in range(1, steps + 1):
        if vitals._due(number):
            vitals._last, observed = number, observed + 1
    return observed


def _compare(
    name: str,
    model_args: dict[str, Any],
    pixels: np.ndarray,
    labels: np.ndarray,
    batch: int,
    steps: int,
    repeats: int,
    kind: type[Vitals],
) -> dict[str, Any]:
    """Processor seconds per step with and without, in alternating runs, and their ratio; the first pair warms up."""
    plain, watched, ratio, observed = [], [], [], 0
    for repeat in range(repeats + 1):
        without, _ = _run(name, model_args, pixels, labels, batch, steps, None)
        with_vitals, observed = _run(name, model_args, pixels, labels, batch, steps, kind())
        if repeat:
            plain.append(without)
            watched.append(with_vitals)
            ratio.append(with_vitals / without)
    return {
        "seconds_per_step_without": spread(plain),
        "seconds_per_step_with": spread(watched),
        "ratio": spread(ratio),
        "ratio_of_medians": statistics.median(watched) / statistics.median(plain),
        "steps": steps,
        "steps_looked_at": observed,
    }


def _run(
    name: str,
    model_args: dict[str, Any],
    pixels: np.ndarray,
    labels: np.ndarray,
    batch: int,
    steps: int,
    vitals: Vitals | None,
) -> tuple[float, int]:
    """Processor seconds per step after the first, and how many were looked at."""
    from clearsight.models.network import Network
    from clearsight.tasks import Classification
    from clearsight.train.config import TrainConfig
    from clearsight.train.loop import Examples, train_network
    from clearsight.train.observer import UNOBSERVED
    from clearsight.train.resolve import resolve

    torch.manual_seed(0)
    channels, side = pixels.shape[1], pixels.shape[-1]
    network = Network(
        {
            "kind": "network",
            "name": name,
            "classes": 10,
            "img_size": side,
            "model_args": model_args,
            "input": {"mean": [0.4] * channels, "std": [0.3] * channels, "mode": "fixed"},
        }
    )
    rows, task = np.arange(len(labels)), Classification(tuple("0123456789"))
    data = Examples(pixels, labels.astype(np.int64), np.ones(len(labels), np.float32), rows, rows[:8], task)
    options = {"epochs": 1000, "batch_size": batch, "max_steps": steps, "val_every": steps, "device": "cpu"}
    config = resolve(TrainConfig().with_options(**options))
    times: list[float] = []

    def tick(done: int, total: int) -> None:
        times.append(time.process_time())

    train_network(
        network, data, config, [{"params": list(network.parameters()), "lr": 5e-3}], on_step=tick,
        observer=vitals or UNOBSERVED,
    )  # fmt: skip
    return (times[-1] - times[0]) / (steps - 1), len(vitals.step_stats) if vitals else 0
