"""What every registered network must do, whatever its family. A new entry is tested here by being registered.

The networks are the registered ones made narrow (and, where depth is an option, shallow), so that the battery
takes a minute or two; the layers, their order and the number of stages are the published ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from clearsight.models.ablations import ABLATIONS
from clearsight.models.zoo import build_model, entry, model_names

NAMES = model_names()


def family(name: str) -> str:
    """The letters a name begins with: resnet of resnet50."""
    return re.match(r"[a-z]+", name)[0]  # type: ignore[index]


def depth(name: str) -> int:
    """The first number in a name: 50 of resnet50, 0 of lenet."""
    return int((re.search(r"\d+", name) or ["0"])[0])


SMALLEST = [min((n for n in NAMES if family(n) == kind), key=depth) for kind in sorted({family(n) for n in NAMES})]
"""The least deep network of each family."""

MOST = [
    pytest.param(name, marks=pytest.mark.long) if depth(name) > 100 and name not in SMALLEST else name for name in NAMES
]
"""All networks. Those of more than 100 layers, which repeat the blocks of their family's others, in the long tier."""

STANDING = {
    *SMALLEST,
    "resnet18",
    "resnet50",
    "seresnet18",
    "vgg11_bn",
    "inception_v3",
    "densenet121",
    "efficientnet_lite0",
}

SOME = [name if name in STANDING else pytest.param(name, marks=pytest.mark.long) for name in NAMES]
"""All networks. Those that have more of the blocks of one in `STANDING`, in the long tier."""

NARROW: dict[str, Any] = {
    "width": 8,
    "widths": (32, 32),
    "growth": 4,
    "depth": 2,
    "heads": 2,
    "dropout": 0.0,
    "dropout_input": 0.0,
}


def narrow(name: str, *, img_size: int = 32, channels: int = 3, classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    model_args = {arg: value for arg, value in NARROW.items() if arg in entry(name).model_args}
    if name.startswith("vit"):
        model_args["width"] = 32
    if name == "plain56":
        model_args["width"] = 16
    return build_model(name, classes=classes, channels=channels, img_size=img_size, **model_args)


def settled(network: nn.Module) -> nn.Module:
    """In evaluation mode, with the running statistics of one batch: what a network has after training.

    Before it, a deep residual network does not normalise at all, and its answers grow with every block.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(16, 3, 32, 32))
    return network.eval()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", SOME)
def test_any_channels_at_32_pixels(name: str) -> None:
    """Gray, RGB and five channels give finite logits of the right shape, in both modes."""
    for channels in (1, 3, 5):
        network = narrow(name, channels=channels, classes=7)
        images = torch.randn(2, channels, 32, 32)
        for training in (True, False):
            with torch.no_grad():
                logits = network.train(training)(images)
            assert logits.shape == (2, 7)
            assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", MOST)
def test_gradient_reaches_every_parameter(name: str) -> None:
    network = narrow(name).train()
    F.cross_entropy(network(torch.randn(8, 3, 32, 32)), torch.arange(8)).backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


@pytest.mark.parametrize("name", SOME)
def test_saved_and_loaded_network_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    network, images = settled(narrow(name)), torch.randn(2, 3, 32, 32)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    again = narrow(name).eval()
    for parameter in again.parameters():
        nn.init.zeros_(parameter)
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    with torch.no_grad():
        assert torch.equal(again(images), network(images))


@pytest.mark.parametrize("name", SOME)
def test_answer_does_not_depend_on_batch_mates(name: str) -> None:
    """In float64, where rounding does not hide or feign a dependence even behind 1,202 layers."""
    network = settled(narrow(name)).double()
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, alone, atol=1e-9, rtol=1e-9)


FEWER = {"resnet1202": 16}
"""Digits that suffice where a step on 64 takes seconds."""

LEARNING_RATES = {"linear": 1e-2, "plain56": 3e-3}
"""Where 1e-3 is too slow: a single layer, and the depth that only shortcuts make easy."""


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_learns_64_digits_by_heart(name: str) -> None:
    learns_by_heart(name, FEWER.get(name, 64))


@pytest.mark.parametrize("name", SMALLEST)
def test_the_smallest_of_a_family_learns_10_digits_by_heart(name: str) -> None:
    learns_by_heart(name, 10)


def learns_by_heart(name: str, count: int) -> None:
    """Every one of so many handwritten digits right, on 8x8 pixels where the network takes images so small.

    The answers are those of training mode without dropout: batch statistics, which the running ones follow
    later.
    """
    least = entry(name).min_size
    digits = load_digits()
    images = torch.tensor(digits.images[:count], dtype=torch.float32)[:, None] / 8 - 1
    images = F.interpolate(images, size=(max(8, least),) * 2, mode="nearest")
    classes = torch.tensor(digits.target[:count])
    network = narrow(name, img_size=images.shape[-1], channels=1).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATES.get(name, 1e-3))
    for _ in range(300):
        logits = network(images)
        if torch.equal(logits.argmax(1), classes):
            return
        optimiser.zero_grad()
        F.cross_entropy(logits, classes).backward()
        optimiser.step()
    pytest.fail(f"{int((logits.argmax(1) == classes).sum())} of {count} digits after 300 steps")


@pytest.mark.parametrize("name", NAMES)
def test_every_ablation_is_an_option_or_has_a_reason(name: str) -> None:
    known = entry(name)
    offered = ABLATIONS.keys() & known.model_args.keys()
    assert ABLATIONS.keys() - offered == known.unsupported.keys()
