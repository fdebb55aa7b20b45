"""The backward pass of each layer and loss on its own: all of ours are right, and a wrong one is named."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.cli.main import main
from clearsight.diagnosis import check_layers, check_losses
from clearsight.models.layers import Maxout, SqueezeExcitation
from clearsight.models.zoo import build_model, entry, model_names
from clearsight.tasks.losses import LOSSES, one_hot_targets


class Wrong(torch.autograd.Function):
    """Multiplies by 3; its backward pass says 2."""

    @staticmethod
    def forward(ctx, x):
        return 3 * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


class Tripled(nn.Module):
    def forward(self, x):
        return Wrong.apply(x)


class Block(nn.Module):
    """Its parts are right; its own forward uses the wrong function."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return x + Wrong.apply(self.conv(x))


def images(side=8, channels=1):
    return torch.rand(4, channels, side, side, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


SMALL = {
    "mlp": {"widths": (12, 8), "activation": "maxout", "dropout": 0.3, "norm": True},
    "lenet5": {"width": 2, "dropout": 0.5, "dropconnect": 0.5, "activation": "tanh"},
    "resnet8": {"width": 2, "se": True, "activation": "elu"},
    "vit_ti_16": {"width": 8, "depth": 1, "heads": 2},
    "densenet121": {"width": 4, "growth": 2},
}
"""Networks that have, between them, every layer class of ours."""


QUICK = {"mlp", "lenet5", "resnet8"}


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.long) for n in SMALL])
def test_every_layer_is_right(name):
    torch.manual_seed(0)
    side = 32 if name == "densenet121" else 8
    network = build_model(name, classes=3, channels=1, img_size=side, **SMALL[name])
    rows, _ = check_layers(network, images(side))
    assert rows[-1].name == "network"
    assert max(row.error for row in rows) < 1e-5
    assert all(row.ok for row in rows)
    weighing = {n for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.BatchNorm2d)}
    assert {row.name for row in rows} >= weighing - {n for n in weighing if ".attn." in n}  # called by its parent
    assert not any(p.grad is not None for p in network.parameters())


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(set(model_names()) - {"resnet1202", "resnet110"}))
def test_every_layer_of_every_family_is_right(name):
    torch.manual_seed(0)
    known = entry(name)
    side = max(known.min_size, 32)
    small = {"width": 8} if "width" in known.model_args and not name.startswith("vit") else {}
    rows, _ = check_layers(build_model(name, classes=3, channels=1, img_size=side, **small), images(side)[:3])
    assert max(row.error for row in rows) < 1e-5
    assert all(row.ok for row in rows)


@pytest.mark.parametrize(
    "module", [Maxout(2), SqueezeExcitation(4), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2)]
)
def test_pytorchs_own_gradient_check_agrees(module):
    torch.manual_seed(0)
    x = torch.randn(3, 4, 4, 4, dtype=torch.float64)
    rows, skipped = check_layers(module, x)
    assert [row.name for row in rows][-1:] == ["network"]
    assert not skipped
    assert torch.autograd.gradcheck(module.double(), x.requires_grad_()) == rows[-1].ok


def test_a_wrong_layer_is_named_and_those_around_it_are_not():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2), Tripled()), nn.Flatten(), nn.Linear(72, 3)
    )
    rows, _ = check_layers(network, images())
    assert {row.name for row in rows if not row.ok} == {"1.1", "1", "network"}
    by_name = {row.name: row for row in rows}
    assert by_name["1.1"].error == pytest.approx(1 / 3, rel=0.01)  # two for three


def test_a_fault_in_a_blocks_own_forward_is_the_blocks():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), Block(), nn.Flatten(), nn.Linear(72, 3))
    rows, _ = check_layers(network, images())
    assert {row.name for row in rows if not row.ok} == {"1", "network"}
    assert {row.name: row.inner for row in rows}["1"]


def test_losses_are_right_and_a_wrong_one_is_named():
    outputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = one_hot_targets(torch.tensor([0, 1, 2, 4]), 5, 0.1)
    wrong = {"tripled": lambda z, t: Wrong.apply(LOSSES["mse"](z, t))}
    rows = check_losses({name: (loss, outputs, targets) for name, loss in {**LOSSES, **wrong}.items()})
    assert [row.name for row in rows if not row.ok] == ["tripled"]
    assert max(row.error for row in rows if row.ok) < 1e-5


def test_the_command_checks_layers_and_losses(capsys):
    assert main(["doctor", "digits", "--check-gradients", "--model", "lenet5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert found["largest_error"] < 1e-5
    assert {row["name"] for row in found["losses"]} == set(LOSSES)
    assert {"body.stage1.pool", "body.fc1", "body.fc3", "input", "network"} <= {row["name"] for row in found["layers"]}
    assert not found["skipped"]


def test_the_command_names_the_wrong_layer_and_the_wrong_loss(capsys, monkeypatch):
    right = Maxout.forward
    monkeypatch.setattr(Maxout, "forward", lambda self, x: Wrong.apply(right(self, x)))
    focal = LOSSES["focal"]
    monkeypatch.setitem(LOSSES, "focal", lambda z, t: Wrong.apply(focal(z, t)))
    command = ["doctor", "digits", "--check-gradients", "--model", "mlp", "--model-arg", "activation=maxout"]
    assert main(command) == 0
    text = capsys.readouterr().out
    for number in (0, 1):
        assert f"incorrect backward pass: body.hidden.{number}.act (Maxout)" in text
    assert "incorrect backward pass: focal (loss)" in text
    assert text.count("incorrect backward pass") == 3  # neither the blocks around them nor the network


def test_a_finished_run_is_checked_and_models_without_gradients_are_refused(digits_run, capsys):
    assert main(["doctor", str(digits_run), "--check-gradients"]) == 0
    assert "all gradients are correct" in capsys.readouterr().out
    assert main(["doctor", "digits", "--check-gradients", "--model", "hog+svm"]) == 2
    assert "hog+svm, which has no gradients" in capsys.readouterr().err


def test_numbers_have_losses_too(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "numbers.npz", X=rng.integers(0, 255, (40, 8, 8), dtype=np.uint8), y=rng.normal(size=40))
    assert main(["doctor", str(tmp_path / "numbers.npz"), "--check-gradients", "--model", "mlp", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in found["losses"]} == {"huber", "mse", "gaussian-nll"}
    assert found["largest_error"] < 1e-5
