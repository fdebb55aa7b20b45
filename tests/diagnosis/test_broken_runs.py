"""Runs broken on purpose, on digits and on photographs: the first verdict names what was broken."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.data.dataset import Array, Dataset
from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.scan import scan
from clearsight.tasks import Classification


def weighted(network):
    return [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def scaled(network, factor):
    """All weights times a factor."""
    with torch.no_grad():
        for module in weighted(network):
            module.weight.mul_(factor)
    return network


def biased(network, value, *, last=False):
    """The bias of the last layer's first unit, or of all units before the last layer."""
    with torch.no_grad():
        if last:
            weighted(network)[-1].bias[0] = value
        else:
            for module in weighted(network)[:-1]:
                module.bias.fill_(value)
    return network


def raw(network):
    """An input layer that hands on numbers up to 255."""
    network.input.mean.zero_()
    network.input.std.fill_(1 / 255)
    return network


class Slow:
    """Pixels that take their time."""

    def __init__(self, pixels):
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype

    def __getitem__(self, rows):
        time.sleep(0.04)
        return self.pixels[rows]


def shuffled(bench):
    return np.random.default_rng(1).permutation(bench.data.labels)


def imbalanced(bench):
    """96 % of the training images and 95 % of the validation images are of class 0."""
    labels, train, val = bench.data.labels, bench.data.train, bench.data.val
    return {
        "train": np.concatenate([np.resize(train[labels[train] == 0], 300), train[labels[train] != 0][:12]]),
        "val": np.concatenate([np.resize(val[labels[val] == 0], 95), val[labels[val] != 0][:5]]),
    }


def without_number(bench):
    pixels = bench.data.pixels.astype(np.float32) / 255
    pixels[bench.data.train[7]] = np.nan
    return pixels


BROKEN = {
    "rate-too-high": [
        lambda b: b.run(b.network("lenet5"), opt="sgd", lr=1e3, clip=0.0, max_steps=60),
        lambda b: b.run(b.network("mlp"), opt="adam", lr=0.3, clip=0.0),
        lambda b: b.run(b.network("mlp", norm=True), opt="momentum", lr=1e3, weight_decay=0.0),
    ],
    "rate-too-low": [
        lambda b: b.run(b.network("mlp"), lr=1e-7),
        lambda b: b.run(b.network("lenet5"), opt="sgd", lr=1e-4, max_steps=60),
    ],
    "vanishing-gradients": [
        lambda b: b.run(b.network("mlp", widths=(32,) * 10, activation="sigmoid"), opt="momentum"),
        lambda b: b.run(scaled(b.network("mlp", widths=(32,) * 8), 0.3), opt="sgd"),
    ],
    "exploding-gradients": [
        lambda b: b.run(scaled(b.network("mlp", widths=(64,) * 6), 6), opt="momentum", clip=0.0),
        lambda b: b.run(scaled(b.network("lenet5", activation="elu"), 10), opt="sgd", clip=0.0),
    ],
    "softmax-twice": [
        lambda b: b.run(nn.Sequential(b.network("mlp"), nn.Softmax(1))),
        lambda b: b.run(nn.Sequential(b.network("mlp"), nn.Softmax(1)), loss="bce"),
    ],
    "unnormalised-input": [
        lambda b: b.run(raw(b.network("mlp")), opt="momentum"),
        lambda b: b.run(raw(b.network("mlp", activation="tanh")), opt="adam"),
    ],
    "shuffled-labels": [
        lambda b: b.run(b.network("mlp", widths=(256,)), labels=shuffled(b)),
        lambda b: b.run(b.network("lenet5"), labels=shuffled(b), augment="light", max_steps=120),
    ],
    "dead-units": [
        lambda b: b.run(biased(b.network("mlp"), -10)),
        lambda b: b.run(biased(b.network("lenet5"), -10), opt="momentum", max_steps=60),
    ],
    "saturated-units": [lambda b: b.run(scaled(b.network("mlp", activation="tanh"), 40), opt="sgd", lr=0.01)],
    "tiny-batch-with-norm": [
        lambda b: b.run(b.network("mlp", norm=True), batch_size=2),
        lambda b: b.run(b.network("mlp", norm=True), batch_size=12, max_steps=60),
    ],
    "dropout-before-norm": [lambda b: b.run(b.network("mlp", norm=True, dropout=0.5))],
    "overfit": [
        lambda b: b.run(b.network("mlp", widths=(256, 256)), train=b.data.train[: 30 if b.name == "digits" else 16])
    ],
    "underfit": [
        lambda b: b.run(b.network("mlp"), l1=0.1),
        lambda b: b.run(b.network("mlp"), max_norm=0.05),
    ],
    "starved-loader": [lambda b: b.run(b.network("mlp"), pixels=Slow(b.data.pixels), max_steps=30, val_every=30)],
    "one-class-collapse": [
        lambda b: b.run(b.network("lenet5"), lr=1e-3, max_steps=80, **imbalanced(b)),
        lambda b: b.run(biased(b.network("mlp"), 1000.0, last=True), opt="sgd", lr=0.01),
    ],
    "too-slow": [lambda b: b.run(b.network("lenet5"), opt="sgd", lr=0.02)],
    "weight-decay-too-high": [
        lambda b: b.run(b.network("mlp"), opt="adam", weight_decay=10.0),
        lambda b: b.run(b.network("mlp", norm=True), weight_decay=100.0),
    ],
    "not-a-number": [lambda b: b.run(b.network("mlp"), pixels=without_number(b))],
}

RUNS = [
    pytest.param(name, run, id=f"{name}-{number}", marks=pytest.mark.long if number else ())
    for name, runs in BROKEN.items()
    for number, run in enumerate(runs)
]
"""The first way to break something is tried for each commit, the others in the long tier."""


@pytest.mark.parametrize(("name", "run"), RUNS)
def test_the_first_verdict_names_what_was_broken(bench, name, run):
    diagnosis = run(bench)
    assert [verdict.name for verdict in diagnosis.verdicts][:1] == [name]
    first = diagnosis.verdicts[0]
    assert first.words.endswith(".")
    assert first.evidence
    assert first.fix
    assert all(isinstance(value, float) for value in first.evidence.values())


@pytest.mark.long
def test_gradient_descent_is_silent_then_oscillates_then_is_too_fast(bench, names):
    """One rate after the other, with all images in each step: where theory has its 2 / curvature, the loss swings."""
    train = bench.data.train[:100]
    first = []
    for rate in (0.5, 2, 2.5, 3, 3.5, 4, 12):
        network = bench.network("mlp", widths=(32,), activation="tanh")
        found = bench.run(
            network, opt="gd", lr=float(rate), train=train, clip=0.0, sched="constant", max_steps=50, val_every=10
        )
        first.append(next((name for name in names(found) if name != "overfit"), "silent"))
    assert first[0] == "silent"
    assert first[-1] == "rate-too-high"
    assert "oscillating-loss" in first
    assert set(first) == {"silent", "oscillating-loss", "rate-too-high"}


def test_images_on_both_sides_of_a_split_are_a_leak(bench):
    """The audit's own finding: ten training images stand in the test split once more."""
    kept = np.concatenate([bench.data.train[:60], bench.data.train[:10]])
    pixels = bench.data.pixels[kept].transpose(0, 2, 3, 1).squeeze()
    dataset = Dataset(
        name="leaky",
        source=Array(pixels),
        labels=bench.data.labels[kept],
        classes=tuple(str(k) for k in range(bench.data.classes)),
        given=np.array(["train"] * 50 + ["val"] * 10 + ["test"] * 10),
        origin="leaky",
        task=Classification,
    )
    side = bench.side
    findings = prepare(dataset, scan(dataset), Geometry(side, side)).audit.findings
    diagnosis = bench.run(bench.network("resnet8"), findings=findings, max_steps=100)
    first = diagnosis.verdicts[0]
    assert first.name == "leaking-splits"
    assert first.evidence["duplicates_across_splits_at_least"] == 10
    assert not first.options
