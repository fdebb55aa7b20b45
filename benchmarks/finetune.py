"""Training a pretrained network's layers against fastai's rate, in one run: images per second, 224 pixels, elpv.

Each contender trains on the same pixels: EfficientNet-Lite0 and ResNet-18 with every layer, as `--freeze none` does,
and EfficientNet-Lite0's upper blocks on cached outputs of the lower ones, as `--freeze lower` does. fastai's learner
runs in its own environment with every layer unfrozen; its rate is that of its training batches, loader included.
Turns alternate, so that a machine that slows down slows both.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.fastai import HERE, _write_folders, environment
from benchmarks.harness import fresh_cache, spread

NAMES = ("efficientnet_lite0", "resnet18")


def measure(repeats: int = 3, steps: int = 8, python: str | None = None) -> dict[str, Any]:
    """steps: training batches of 32 images per turn, after two of warm-up."""
    with tempfile.TemporaryDirectory() as folder, fresh_cache():
        root = Path(folder) / "elpv"
        _write_folders(root)
        ours: dict[str, list[float]] = {name: [] for name in (*NAMES, "upper blocks")}
        theirs: dict[str, list[float]] = {name: [] for name in NAMES}
        contenders = _Ours()
        for _ in range(repeats):
            for name in NAMES:
                theirs[name].append(_fastai(root, name, steps, python or environment()))
                ours[name].append(contenders.all_layers(name, steps))
            ours["upper blocks"].append(contenders.upper_blocks(40 * steps))
    rates = {name: {"clearsight": spread(ours[name]), "fastai": spread(theirs[name])} for name in NAMES}
    ratio = {name: [a / b for a, b in zip(ours[name], theirs[name], strict=True)] for name in NAMES}
    upper = [a / b for a, b in zip(ours["upper blocks"], theirs["efficientnet_lite0"], strict=True)]
    return {
        "images_per_second": {**rates, "upper blocks": spread(ours["upper blocks"])},
        "times_fastai_all_layers": {name: spread(values) for name, values in ratio.items()},
        "times_fastai_upper_blocks": spread(upper),
        "bars": {"all layers": 2, "upper blocks": 10},
    }


class _Ours:
    """The loop as `train` runs it, on elpv's pixels at 224."""

    def __init__(self) -> None:
        from clearsight.data.geometry import Geometry
        from clearsight.data.prepare import prepare
        from clearsight.data.scan import scan
        from clearsight.tasks import read
        from clearsight.train.config import TrainConfig

        dataset = read("elpv")
        self.scan = scan(dataset)
        self.config = TrainConfig.from_options(model="efficientnet_lite0")
        self.data = prepare(dataset, self.scan, Geometry(224, 224))

    def all_layers(self, name: str, steps: int) -> float:
        from clearsight.models.heads import softmax_head
        from clearsight.models.network import Network
        from clearsight.train.recipe import plan
        from clearsight.train.strategies.fine_tune import layer_groups
        from clearsight.train.strategies.probe import new_probe

        if name == "efficientnet_lite0":
            probe = new_probe(plan(self.config, self.scan))
            with torch.inference_mode():
                width = probe.features(torch.rand(1, 3, 224, 224))[-1].shape[1]
            zeros = np.zeros((2, width), np.float32)
            spec, head = softmax_head(zeros, zeros[:, 0], np.zeros(width), np.ones(width))
            probe.set_head(spec, head)
            network, groups = probe, layer_groups(probe, 3e-4)
        else:
            spec = {"kind": "network", "name": name, "classes": 2, "img_size": 224, "model_args": {}}
            network = Network({**spec, "input": {"mean": [0.5] * 3, "std": [0.25] * 3, "mode": "fixed"}})
            groups = [{"params": list(network.parameters()), "lr": 3e-4}]
        return _rate(network, self._examples(), groups, epochs=1, max_steps=steps + 2, augment="light")

    def upper_blocks(self, steps: int) -> float:
        from clearsight.models.backbone_split import cut
        from clearsight.train.features import outputs
        from clearsight.train.recipe import plan
        from clearsight.train.strategies.probe import new_probe

        probe = new_probe(plan(self.config, self.scan))
        lower, upper = cut(probe, probe.taps[-2])
        rows = np.arange(640)
        maps = outputs(lower, "benchmark", self.data.pixels, rows, device="cpu")[0]
        with torch.inference_mode():
            width = upper.parts(torch.from_numpy(maps[:1]))[-1].shape[1]
        upper.chosen, upper.head = [len(upper.parts(torch.from_numpy(maps[:1]))) - 1], torch.nn.Linear(width, 2)
        examples = replace(
            self._examples(), pixels=maps, labels=self.data.labels[:640], weights=self.data.weights[:640],
            train=rows, val=rows[:2],
        )  # fmt: skip
        groups = [{"params": list(upper.parameters()), "lr": 3e-4}]
        return _rate(upper, examples, groups, epochs=99, max_steps=steps + 2, patience=99)

    def _examples(self) -> Any:
        from clearsight.tasks import Classification
        from clearsight.train.loop import Examples

        data, split = self.data, self.data.split
        return Examples(
            data.pixels.array, data.labels, data.weights, split.train, split.val[:2], Classification(("0", "1"))
        )


def _rate(network: Any, examples: Any, groups: Any, **options: Any) -> float:
    """Images per second between the second step and the last."""
    from clearsight.train.config import TrainConfig
    from clearsight.train.context import fast_gradients
    from clearsight.train.hardware import automatic_precision
    from clearsight.train.loop import train_network
    from clearsight.train.resolve import resolve

    amp = automatic_precision("cpu", network)  # as `--amp auto`; fastai's default is float32
    config = TrainConfig().with_options(**options, batch_size=32, freeze_bn=True, amp=amp, device="cpu")
    config, times = resolve(config), []
    with fast_gradients(network, config, examples):
        train_network(network, examples, config, groups, on_step=lambda done, total: times.append(time.perf_counter()))
    return 32 * (len(times) - 2) / (times[-1] - times[1])


def _fastai(root: Path, name: str, steps: int, python: str) -> float:
    script = HERE / "peers" / "fastai_rate.py"
    done = subprocess.run([python, str(script), str(root), name, str(steps)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return float(json.loads(done.stdout.splitlines()[-1])["images_per_second"])
