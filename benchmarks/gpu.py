"""On a GPU: Fashion-MNIST to 94 %, and the rate of training beside a plain PyTorch loop on the same images.

The plain loop is what a tutorial shows: a DataLoader of tensors with four worker processes and pinned memory, channels
last, bfloat16 by autocast, AdamW. It trains on the images as they are; Clearsight's loop runs as `train` runs it, with
its changes to images, clipped gradients, the doctor's measurements and a look at every loss. `resident` is the plain
loop on one batch that lies on the GPU already: the most that its steps allow.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks.harness import command, fresh_cache, spread

NAMES = ("resnet18", "resnet50")
IMAGES, SIDE, CLASSES = 4096, 224, 100


def measure(repeats: int = 3, steps: int = 60, batch: int = 128) -> dict[str, Any]:
    """steps: of `batch` images per turn, after ten of warm-up. Turns alternate."""
    if not torch.cuda.is_available():
        return {"gpu": None, "found": "no GPU: nothing was measured"}
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, 3, SIDE, SIDE), np.uint8)
    labels = rng.integers(0, CLASSES, IMAGES)
    found: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "fashion-mnist": to_94()}
    contenders = {"clearsight": _ours, "plain": _plain, "resident": _resident}
    for name in NAMES:
        rates: dict[str, list[float]] = {key: [] for key in contenders}
        for _ in range(repeats):
            for key, rate in contenders.items():
                rates[key].append(rate(name, pixels, labels, steps, batch))
        found[name] = {key: spread(values) for key, values in rates.items()}
        for peer in ("plain", "resident"):
            ratios = [a / b for a, b in zip(rates["clearsight"], rates[peer], strict=True)]
            found[name][f"times_{peer}"] = spread(ratios)
    return found


def to_94(options: tuple[str, ...] = ()) -> dict[str, Any]:
    """`clearsight train fashion-mnist`: test accuracy, seconds of training and of the whole command."""
    with fresh_cache() as folder:
        answer, seconds = command("train", "fashion-mnist", *options, "--out", str(folder / "run"))
    return {
        "options": options, "test_accuracy": answer["test"]["accuracy"], "train_seconds": answer["train_seconds"],
        "ood_seconds": answer["ood_seconds"], "command_seconds": seconds,
        "images_per_second": answer["images_per_second"],
    }  # fmt: skip


WARM_UP = 10


def _ours(name: str, pixels: Any, labels: Any, steps: int, batch: int) -> float:
    from clearsight.diagnosis import Vitals
    from clearsight.tasks import Classification
    from clearsight.train.config import TrainConfig
    from clearsight.train.loop import Examples, train_network
    from clearsight.train.resolve import resolve

    rows, task = np.arange(len(pixels)), Classification(tuple(map(str, range(CLASSES))))
    data = Examples(pixels, labels, np.ones(len(pixels), np.float32), rows, rows[:2], task)
    options = {"epochs": 99, "batch_size": batch, "max_steps": steps + WARM_UP, "augment": "light", "patience": 99}
    config = resolve(TrainConfig().with_options(**options, amp="bf16", val_every=10**9, device="cuda"))
    network = _network(name)
    times: list[float] = []

    def tick(done: int, total: int) -> None:
        if done in (WARM_UP, total):
            torch.cuda.synchronize()
            times.append(time.perf_counter())

    groups = [{"params": list(network.parameters()), "lr": 1e-3}]
    with Vitals() as doctor:
        train_network(network, data, config, groups, observer=doctor, on_step=tick)
    return steps * batch / (times[1] - times[0])


def _network(name: str) -> torch.nn.Module:
    from clearsight.models.zoo import build_model

    torch.manual_seed(0)
    return build_model(name, classes=CLASSES, img_size=SIDE)


def _plain(name: str, pixels: Any, labels: Any, steps: int, batch: int) -> float:
    images, truth = torch.from_numpy(pixels), torch.from_numpy(labels)

    class Images(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, i: int) -> Any:
            return images[i].float() / 255, truth[i]

    loader = torch.utils.data.DataLoader(
        Images(), batch, shuffle=True, num_workers=4, pin_memory=True, drop_last=True, persistent_workers=True
    )

    def endless() -> Any:
        while True:
            yield from loader

    return _loop(name, endless(), steps, batch)


def _resident(name: str, pixels: Any, labels: Any, steps: int, batch: int) -> float:
    x = (torch.from_numpy(pixels[:batch]).float() / 255).cuda().to(memory_format=torch.channels_last)
    y = torch.from_numpy(labels[:batch]).cuda()

    def endless() -> Any:
        while True:
            yield x, y

    return _loop(name, endless(), steps, batch)


def _loop(name: str, batches: Any, steps: int, batch: int) -> float:
    network = _network(name).cuda().to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    began = 0.0
    for number in range(steps + WARM_UP):
        if number == WARM_UP:
            torch.cuda.synchronize()
            began = time.perf_counter()
        x, y = next(batches)
        x = x.cuda(non_blocking=True).to(memory_format=torch.channels_last)
        y = y.cuda(non_blocking=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(network(x), y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    torch.cuda.synchronize()
    return steps * batch / (time.perf_counter() - began)
