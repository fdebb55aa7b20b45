"""Counting operations, which serving does while other threads take gradients."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clearsight.models.execution import operations
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
