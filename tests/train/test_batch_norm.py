"""Folding held batch normalisations into convolutions changes the work, not the results."""

import copy

import pytest
import torch
from torch import nn

from clearsight.models.zoo import build_model
from clearsight.train.batch_norm import folded_norms, freeze_bn


def network(name, **model_args):
    torch.manual_seed(0)
    made = build_model(name, classes=3, img_size=64, **model_args)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics and affine weights that are not the identity
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return made


def gradients(made, images):
    torch.manual_seed(1)  # dropout
    made.train()
    freeze_bn(made)
    made.zero_grad()
    out = made(images)
    out.square().mean().backward()
    return out.detach(), {name: p.grad.clone() for name, p in made.named_parameters()}


@pytest.mark.parametrize(
    ("name", "model_args", "norms"),
    [
        ("efficientnet_lite0", {}, 49),
        ("resnet18", {}, 20),
        ("resnet18", {"norm_position": "after"}, 3),  # of the shortcuts: the others come after the activation
        ("vgg11_bn", {"width": 8}, 8),
    ],
)
def test_outputs_and_gradients_are_those_of_the_plain_network(name, model_args, norms):
    made, images = network(name, **model_args).double(), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    plain, expected = gradients(copy.deepcopy(made), images)
    with folded_norms(made, images) as folded:
        assert folded == norms
        found, grads = gradients(made, images)
    torch.testing.assert_close(found, plain)
    assert grads.keys() == expected.keys()
    for key, grad in grads.items():
        torch.testing.assert_close(grad, expected[key], msg=key)


def test_afterwards_the_network_is_what_it_was():
    made, images = network("resnet18").eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        before = made(images)
        with folded_norms(made, images) as folded:
            assert folded == 20
        assert torch.equal(made(images), before)
    assert not any("forward" in module.__dict__ for module in made.modules())


class TwoReaders(nn.Module):
    """A convolution whose output is read twice: only one reader is its normalisation."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, x):
        maps = self.conv(x)
        return (maps + self.norm(maps)).mean(dim=(2, 3))


def test_what_would_change_the_answers_is_left_alone():
    made, images = TwoReaders(), torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        expected = made.eval()(images)
        with folded_norms(made, images) as folded:
            assert folded == 0
            assert torch.equal(made(images), expected)
