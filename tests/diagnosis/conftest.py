"""Short runs, broken or healthy, on digits and on photographs, each with the doctor's word on it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from clearsight.diagnosis import Diagnosis, Vitals, diagnose
from clearsight.errors import TrainingError
from clearsight.models.network import Network
from clearsight.tasks import Classification
from clearsight.train.config import TrainConfig
from clearsight.train.loop import Examples, train_network
from clearsight.train.optimisers import default_lr
from clearsight.train.resolve import resolve


@dataclass(frozen=True)
class Bench:
    """A data set of small images with what a network for it needs."""

    name: str
    data: Examples
    mean: list[float]
    std: list[float]

    @property
    def side(self) -> int:
        return int(self.data.pixels.shape[-1])

    def network(self, name: str = "resnet8", seed: int = 0, **model_args: Any) -> Network:
        """A registry network behind an input layer with the data's mean and deviation; small unless options say not."""
        small: dict[str, dict[str, Any]] = {"resnet8": {"width": 8}, "mlp": {"widths": (64, 32)}}
        torch.manual_seed(seed)
        return Network(
            {
                "kind": "network",
                "name": name,
                "classes": self.data.classes,
                "img_size": self.side,
                "model_args": {**small.get(name, {}), **model_args},
                "input": {"mean": self.mean, "std": self.std, "mode": "fixed"},
            }
        )

    def run(self, network: nn.Module, *, lr: float | None = None, seed: int = 0, **changes: Any) -> Diagnosis:
        """Train for some 120 steps and ask the doctor. changes: of options, Examples, or of what `diagnose` takes."""
        about = {k: changes.pop(k) for k in ("findings", "options", "origin") if k in changes}
        swapped = {k: changes.pop(k) for k in ("pixels", "labels", "train", "val") if k in changes}
        data = replace(self.data, **swapped)
        opt = changes.get("opt", "adamw")
        options = {"epochs": 1000, "batch_size": 32, "max_steps": 120, "val_every": 20, "patience": 1000, **changes}
        config = resolve(TrainConfig().with_options(**options, seed=seed, device="cpu"))
        spec = getattr(network, "spec", {"name": "", "model_args": {}})
        vitals = Vitals()
        groups = [{"params": list(network.parameters()), "lr": lr or default_lr(opt)}]
        with contextlib.suppress(TrainingError):  # the loss is not a number: the doctor says why
            train_network(network, data, config, groups, observer=vitals)
        return diagnose(vitals, config, data, model=spec["name"], model_args=spec["model_args"], **about)


def _bench(name: str, pixels: np.ndarray, labels: np.ndarray, train: int, val: int) -> Bench:
    order = np.random.default_rng(0).permutation(len(labels))
    scaled = pixels / 255.0
    data = Examples(
        pixels,
        labels.astype(np.int64),
        np.ones(len(labels), np.float32),
        order[:train],
        order[train : train + val],
        Classification(tuple(map(str, range(int(labels.max()) + 1)))),
    )
    return Bench(name, data, scaled.mean((0, 2, 3)).tolist(), scaled.std((0, 2, 3)).tolist())


@pytest.fixture(scope="session")
def digits_bench(digits_arrays: tuple[np.ndarray, np.ndarray]) -> Bench:
    """800 digits of 8x8 pixels to learn from, 300 to validate."""
    return _bench("digits", *digits_arrays, 800, 300)


@pytest.fixture(scope="session")
def photos_bench(photos: Path) -> Bench:
    """Crops of four photographs, 16x16 pixels: 64 to learn from, 32 to validate."""
    files = sorted(photos.glob("*/*.jpg"))
    names = sorted({path.parent.name for path in files})
    pixels = np.stack([np.asarray(Image.open(path).resize((16, 16))).transpose(2, 0, 1) for path in files])
    return _bench("photos", pixels, np.array([names.index(path.parent.name) for path in files]), 64, 32)


@pytest.fixture(params=["digits", pytest.param("photos", marks=pytest.mark.long)])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each of the two data sets in turn, the photographs in the long tier."""
    found: Bench = request.getfixturevalue(f"{request.param}_bench")
    return found


@pytest.fixture
def names() -> Callable[[Diagnosis], list[str]]:
    """The verdicts' names in their order."""
    return lambda diagnosis: [verdict.name for verdict in diagnosis.verdicts]
