"""Code shared by the gallery's scripts: options, real images, training in one line, the style of figures, the verdict.

A script states a claim in its docstring, and has one function, `study(short, seed) -> Found`. Run it:

    python examples/residual.py                     a minute at most on two cores; writes residual.png
    python examples/residual.py --seeds 3           three times that; `make gallery` does so with every script
    python examples/residual.py --short --out pics  seconds: little data, few epochs; figure only, no verdict

It prints the measurements and whether each claim holds, and exits with code 1 if one does not. A claim is a difference
beyond a margin; with several seeds it must hold for more than half of them, that is, in the median.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn

from clearsight.data.loader import to_float
from clearsight.data.sources import builtin
from clearsight.errors import TrainingError
from clearsight.models.network import InputLayer
from clearsight.predictor import Predictor
from clearsight.tasks import Classification, read
from clearsight.train.config import TrainConfig
from clearsight.train.fit import fit
from clearsight.train.loop import Examples, Trained, train_network
from clearsight.train.resolve import resolve

BLUE, ORANGE, GRAY, PLUM, GREEN, SAND = "#0b62a4", "#a84a08", "#7a8490", "#8f4a78", "#3f7f4f", "#c9a24a"
"""Colours of lines, in the order they are used; the first four are those of the report."""

STYLE: dict[str, Any] = {
    "figure.figsize": (8, 4.2), "figure.dpi": 110, "figure.facecolor": "white", "savefig.facecolor": "white",
    "figure.constrained_layout.use": True, "font.size": 11, "axes.titlesize": 11, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#565d66", "axes.labelcolor": "#1c2024",
    "axes.grid": True, "grid.color": "#e6e6e0", "axes.axisbelow": True, "xtick.color": "#565d66",
    "ytick.color": "#565d66", "legend.frameon": False, "lines.linewidth": 2, "image.cmap": "gray",
    "image.interpolation": "nearest", "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GRAY, PLUM, GREEN, SAND]),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What a study found: the figure; numbers, each under its name, as they are to be printed; claims, each a sentence,
    and whether it held. animation: of Matplotlib, written as a GIF beside the figure.
    """

    figure: plt.Figure
    numbers: dict[str, str]
    claims: dict[str, bool]
    animation: Any = field(default=None, repr=False)


Study = Callable[[bool, int], Found]


def main(study: Study, arguments: list[str] | None = None) -> int:
    """Run a script's study, print what it says and write its figure, that of the first seed. The exit code is 1 where a
    claim does not hold for most of the seeds; in the short form no claim is checked.
    """
    module = inspect.getmodule(study)
    assert module is not None
    assert module.__doc__
    assert module.__file__
    parser = argparse.ArgumentParser(description=module.__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--short",
        action="store_true",
        help="draw the figure from little data and few epochs (seconds), without a verdict",
    )
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the figure (default: here)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, counted from --seed (default: 1)")
    asked = parser.parse_args(arguments)
    name = Path(module.__file__).stem
    with plt.rc_context(STYLE):
        seeds = range(asked.seed, asked.seed + asked.seeds)
        found, *others = (_studied(study, asked.short, seed) for seed in seeds)
        asked.out.mkdir(parents=True, exist_ok=True)
        found.figure.savefig(asked.out / f"{name}.png")
        if found.animation is not None:
            found.figure.set_layout_engine("none")  # else it is laid out anew for every frame
            found.animation.save(asked.out / f"{name}.gif", writer="pillow", dpi=55)
        plt.close("all")
    print(module.__doc__.strip(), end="\n\n")
    for what, value in found.numbers.items():
        print(f"  {what:<52} {' | '.join([value, *(other.numbers.get(what, '-') for other in others)])}")
    votes = {claim: [holds, *(other.claims[claim] for other in others)] for claim, holds in found.claims.items()}
    for claim, holds in votes.items():
        of = f" ({sum(holds)} of {len(holds)} seeds)" if others else ""
        verdict = "not checked" if asked.short else "holds" if _mostly(holds) else "DOES NOT HOLD"
        print(f"  {verdict}: {claim}{of}")
    print(f"  figure: {asked.out / name}.png")
    return 0 if asked.short or all(_mostly(holds) for holds in votes.values()) else 1


def _studied(study: Study, short: bool, seed: int) -> Found:
    torch.manual_seed(seed)
    return study(short, seed)


def _mostly(holds: Sequence[bool]) -> bool:
    return sum(holds) > len(holds) / 2


def digits(train: int = 1200, seed: int = 0, held: int | None = None) -> Examples:
    """scikit-learn's digits, 8x8: `train` of them to learn from, `held` or all others held out."""
    found = read("digits")
    return _split(np.asarray(found.source.images), found.labels, found.classes, train, held, seed)


def clothes(train: int, held: int, seed: int = 0) -> Examples:
    """Part of Fashion-MNIST's training images, 28x28, some to learn from and some held out. Where it is not on this
    machine: at most 1,200 and 597 of scikit-learn's digits, enlarged, each at a place of its own in 28x28 pixels.
    """
    images, labels, classes = _clothes()
    if len(images) < train + held:
        train, held = min(train, 1200), min(held, len(images) - 1200)
    return _split(images, labels, classes, train, held, seed)


def class_names() -> tuple[str, ...]:
    """Of the clothes, or of the digits in their place."""
    return _clothes()[2]


@cache
def _clothes() -> tuple[Any, Any, tuple[str, ...]]:
    if builtin.installed("fashion-mnist", "FashionMNIST"):
        found = read("fashion-mnist")
        mine = found.given == "train"  # what is chosen here must not be chosen on test images
        return np.asarray(found.source.images)[mine], found.labels[mine], found.classes
    found, rng = read("digits"), np.random.default_rng(0)
    small = torch.from_numpy(np.asarray(found.source.images)).float()[:, None]
    large = nn.functional.interpolate(small, size=(20, 20), mode="bilinear")[:, 0].numpy()
    images = rng.integers(0, 60, (len(large), 28, 28))
    for image, digit in zip(images, large, strict=True):
        top, left = rng.integers(0, 9, 2)
        image[top : top + 20, left : left + 20] += digit.astype(int)
    return images.clip(0, 255).astype(np.uint8), found.labels, found.classes


def _split(images: Any, labels: Any, classes: tuple[str, ...], train: int, held: int | None, seed: int) -> Examples:
    order = np.random.default_rng(seed).permutation(len(images))[: None if held is None else train + held]
    rows = np.arange(len(order))
    weights = np.ones(len(order), np.float32)
    task = Classification(classes)
    return Examples(images[order][:, None], labels[order], weights, rows[:train], rows[train:], task)


def tensors(data: Examples, rows: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 1, S, S) at mean 0 and deviation 1, and labels (n,), of some rows."""
    x = to_float(data.pixels[data.train])
    return (to_float(data.pixels[rows]) - x.mean()) / x.std(), torch.from_numpy(data.labels[rows])


def learn(
    body: nn.Module, data: Examples, *, epochs: int, lr: float, seed: int = 0, batch: int = 64, last: bool = False,
    opt: str = "momentum", sched: str = "cosine", weight_decay: float = 0.0, **how: Any,
) -> tuple[nn.Module, Trained]:  # fmt: skip
    """Train a network of the registry with Clearsight's own loop: the network, from pixels in [0, 1] to logits, and the
    history. It holds the weights of its best epoch, or of the `last` one, and then there is one line of history.
    """
    x = to_float(data.pixels[data.train])
    network = nn.Sequential(InputLayer([float(x.mean())], [float(x.std())]), body)
    config = TrainConfig().with_options(
        epochs=epochs, batch_size=batch, opt=opt, sched=sched, weight_decay=weight_decay, patience=10**6,
        seed=seed, device="cpu",
        **{"clip": 0.0, "val_every": epochs * -(-len(data.train) // batch) if last else None, **how},
    )  # fmt: skip
    groups = [{"params": list(network.parameters()), "lr": lr}]
    return network, train_network(network, data, resolve(config), groups)


def trained(images: Any, targets: Any, seed: int = 0, **options: Any) -> Predictor:
    """A model that `clearsight train` makes of images and what they show: classes, or numbers (N, T)."""
    config = TrainConfig.from_options(seed=seed, device="cpu", **options)
    return Predictor(fit(read((images, targets), task=config.data.task), config, find_issues=False).bundle)


def accuracy_or_chance(body: nn.Module, data: Examples, **how: Any) -> float:
    """Held-out accuracy after training; that of guessing where the loss becomes infinite on the way."""
    try:
        return learn(body, data, last=True, **how)[1].history[-1].val_accuracy
    except TrainingError:
        return 1 / data.classes


def percent_axis(axis: Any) -> None:
    """Shares of 1 in percent, with decimals where the marks need them."""
    axis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=None))


def plain_log(axis: Any) -> None:
    """A logarithmic axis whose marks are 1, 2 and 5 times powers of ten, written out."""
    axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


if __name__ == "__main__":
    sys.exit(__doc__)
