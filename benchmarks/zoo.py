"""Forward and backward speed of our networks against torchvision's same ones, in one run on one machine.

    python benchmarks/zoo.py                       # every network torchvision also has, CPU
    python benchmarks/zoo.py resnet18 vgg16_bn --repeats 15 --batch 16 --threads 2
    python benchmarks/zoo.py --write benchmarks/zoo.md

For each network: training-mode forward and backward of cross-entropy on one batch of random images at the published
size. Three contenders, each in a process of its own: ours as `train` runs it (the memory layout it chooses, freed
memory kept for the next step), torchvision's in channels-last and torchvision's as it comes, both in plain PyTorch.
They take turns, so that a machine that slows down slows all three, after a warm-up that is not counted. The ratio is
the median over turns of their time divided by ours in the same turn (above 1: we are faster), with the middle half of
the turns as its spread. --alike gives all three processes the same treatment of memory, which leaves the networks.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from clearsight.models.zoo import build_model, entry, model_names, published
from clearsight.train.hardware import kept_memory
from clearsight.train.loop import layout_for

NAMES = [name for name in model_names() if (weights := published(name)) and weights.library == "torchvision"]
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


def network(name: str, contender: str) -> tuple[nn.Module, torch.memory_format]:
    """One contender and the layout of its images."""
    img_size = entry(name).img_size
    if contender == "ours":
        ours = build_model(name, classes=1000, img_size=img_size)
        return ours, layout_for(ours, "cpu")
    extra = {"aux_logits": False, "init_weights": False} if name in WITHOUT_HEADS else {}
    theirs = torchvision.models.get_model(name, weights=None, **extra)
    return theirs, torch.channels_last if contender == "channels-last" else torch.contiguous_format


def contend(contender: str, options: argparse.Namespace, pipe: Connection) -> None:
    """A contender's process: build the named network, and take a step on every request."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    with kept_memory("cpu") if contender == "ours" or options.alike else contextlib.nullcontext():
        while name := pipe.recv():
            made, layout = network(name, contender)
            made = made.train().to(memory_format=layout)
            side = entry(name).img_size
            images = torch.randn(options.batch, 3, side, side).to(memory_format=layout)
            classes = torch.randint(1000, (options.batch,))
            while pipe.recv():
                made.zero_grad(set_to_none=True)
                start = time.perf_counter()
                F.cross_entropy(made(images), classes).backward()  # type: ignore[no-untyped-call]
                pipe.send(time.perf_counter() - start)
            del made
            gc.collect()


def measure(name: str, pipes: Sequence[Connection], options: argparse.Namespace) -> Result:
    """Turns of all contenders on one network."""
    for pipe in pipes:
        pipe.send(name)
    times: list[list[float]] = [[] for _ in pipes]
    for turn in range(options.warm_up + options.repeats):
        order = range(len(pipes)) if turn % 2 else range(len(pipes) - 1, -1, -1)
        for i in order:
            pipes[i].send(True)
            taken = pipes[i].recv()
            if turn >= options.warm_up:
                times[i].append(taken)
    for pipe in pipes:
        pipe.send(False)
    return Result(name, entry(name).img_size, *times)


def processor() -> str:
    """The processor's name, if the system reports it."""
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
    parser.add_argument("--alike", action="store_true", help="keep freed memory in all three processes")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(NAMES)):
        parser.error(f"torchvision has no {', '.join(unknown)}; it has {', '.join(NAMES)}")
    pipes = []
    context = multiprocessing.get_context("spawn")
    for contender in ("ours", "channels-last", "as it comes"):
        here, there = context.Pipe()
        context.Process(target=contend, args=(contender, options, there), daemon=True).start()
        pipes.append(here)
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
        lines.append(measure(name, pipes, options).row())
        print(lines[-1], flush=True)
    for pipe in pipes:
        pipe.send("")
    if options.write:
        options.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
