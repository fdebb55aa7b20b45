"""Counting operations, which serving does while other threads take gradients."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clearsight.models import execution
from clearsight.models.execution import engine_name, operations
from clearsight.models.zoo import build_model


@pytest.mark.parametrize(("name", "side"), [("resnet8", 32), ("vit_ti_16", 32), ("mlp", 16)])
def test_the_count_is_pytorch_s(name, side):
    network = build_model(name, classes=10, channels=3, img_size=side).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, side, side))
    assert operations(network, (3, side, side)) == counter.get_total_flops()


def test_counting_leaves_other_modules_alone():
    hooks = []

    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.Linear(4, 2)

        def forward(self, x):
            hooks.append(len(nn.modules.module._global_forward_hooks))
            return self.dense(x.flatten(1))

    assert operations(Looks(), (1, 2, 2)) == 2 * 4 * 2
    assert hooks == [0]


def test_a_choice_made_again_counts_nothing_again(monkeypatch):
    network = build_model("mlp", classes=10, channels=3, img_size=16).eval()
    first = engine_name(network, (3, 16, 16), 100, "cpu")
    monkeypatch.setattr(execution, "operations", lambda *_: pytest.fail("counted again"))
    assert engine_name(network, (3, 16, 16), 100, "cpu") == first == "torch"
    assert engine_name(network, (3, 16, 16), 10**9, "cpu") == "openvino"
