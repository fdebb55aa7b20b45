"""Forward and backward speed of our networks against torchvision's same ones, in one run on one machine.

    python benchmarks/zoo.py                       # every network torchvision also has, CPU
    python benchmarks/zoo.py resnet18 vgg16_bn --repeats 15 --batch 16 --threads 2
    python benchmarks/zoo.py --write benchmarks/zoo.md

For each network: training-mode forward and backward of cross-entropy on one batch of random images at the
published size. Three contenders share one set of weights: ours in the memory layout that `train` chooses
for it, torchvision's in channels-last and torchvision's as it comes. They take turns, so that a machine that
slows down slows all three, after a warm-up that is not counted. The ratio is the median over turns of their
time divided by ours in the same turn (above 1: we are faster), with the middle half of the turns as its
spread.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from clearsight.models.published import PUBLISHED
from clearsight.models.registry import build_model, entry
from clearsight.train.loop import layout_for

NAMES = [name for name, source in PUBLISHED.items() if source.library == "torchvision"]
WITHOUT_HEADS = {"googlenet", "inception_v3"}


@dataclass(frozen=True)
class Result:
    """Seconds of each contender per turn."""

    name: str
    img_size: int
    ours: list[float]
    theirs_channels_last: list[float]
    theirs: list[float]

    def row(self) -> str:
        cells = [
            self.name,
            str(self.img_size),
            f"{1000 * statistics.median(self.ours):.0f} ms",
            _ratio(self.theirs_channels_last, self.ours),
            _ratio(self.theirs, self.ours),
        ]
        return "| " + " | ".join(cells) + " |"


def _ratio(theirs: list[float], ours: list[float]) -> str:
    """Median and middle half of the ratios of the turns."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def pair(name: str, img_size: int) -> tuple[nn.Module, nn.Module]:
    """Our network and torchvision's with the same weights."""
    extra = {"aux_logits": False, "init_weights": False} if name in WITHOUT_HEADS else {}
    theirs = torchvision.models.get_model(name, weights=None, **extra)
    ours = build_model(name, classes=1000, img_size=img_size)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def seconds(network: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> float:
    """One forward and one backward pass; the gradients of the last turn are dropped before the clock
    starts.
    """
    network.zero_grad(set_to_none=True)
    start = time.perf_counter()
    F.cross_entropy(network(images), classes).backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - start


def measure(name: str, *, batch: int, repeats: int, warm_up: int) -> Result:
    img_size = entry(name).img_size
    images = torch.randn(batch, 3, img_size, img_size)
    last = images.to(memory_format=torch.channels_last)
    classes = torch.randint(1000, (batch,))
    ours, theirs = pair(name, img_size)
    layout = layout_for(ours, "cpu")
    ours = ours.train().to(memory_format=layout)
    theirs = theirs.train()
    theirs_last = pair(name, img_size)[1].train().to(memory_format=torch.channels_last)
    contenders = [(ours, images.to(memory_format=layout)), (theirs_last, last), (theirs, images)]
    times: list[list[float]] = [[], [], []]
    for turn in range(warm_up + repeats):
        order = range(3) if turn % 2 else range(2, -1, -1)
        for i in order:
            taken = seconds(*contenders[i], classes)
            if turn >= warm_up:
                times[i].append(taken)
    return Result(name, img_size, *times)


def processor() -> str:
    """The processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, help="networks (default: all torchvision also has)")
    parser.add_argument("--batch", type=int, default=8, help="images per step")
    parser.add_argument("--repeats", type=int, default=11, help="turns that count")
    parser.add_argument("--warm-up", type=int, default=2, help="turns before them that do not")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads PyTorch may use")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(NAMES)):
        parser.error(f"torchvision has no {', '.join(unknown)}; it has {', '.join(NAMES)}")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    lines = [
        f"Forward and backward, training mode, float32, batch {options.batch}, n = {options.repeats} turns "
        f"after {options.warm_up} of warm-up; ratio: torchvision's time over ours, median (middle half).",
        "",
        f"{processor()}, {options.threads} threads, {platform.system()}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, torchvision {torchvision.__version__}.",
        f"Command: python benchmarks/zoo.py {' '.join(sys.argv[1:])}".rstrip(),
        "",
        "| network | pixels | ours | torchvision channels-last / ours | torchvision as it comes / ours |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name in options.names:
        result = measure(name, batch=options.batch, repeats=options.repeats, warm_up=options.warm_up)
        lines.append(result.row())
        print(lines[-1], flush=True)
        gc.collect()
    if options.write:
        options.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
