"""Graphs of networks whose ways are known."""

import pytest
import torch
from torch import nn

from clearsight.models.feature_maps import each_layer, map_layers, output_at
from clearsight.models.layer_graph import wiring
from clearsight.models.network import Ensemble, Network, Probe, shared_copy
from clearsight.models.shape_tracing import no_data
from clearsight.models.zoo import build_model


def graph(name, side, classes=10):
    with no_data():
        return wiring(build_model(name, classes=classes, channels=3, img_size=side), (3, side, side))


def test_the_skips_of_a_residual_network():
    nodes = graph("resnet8", 32)
    by_name = {n.name: n for n in nodes}
    sums = [n for n in nodes if n.kind == "add"]
    assert [[nodes[i].name for i in s.inputs] for s in sums] == [
        ["act1", "layer1.0.bn2"],
        ["layer2.0.bn2", "layer2.0.downsample.1"],
        ["layer3.0.bn2", "layer3.0.downsample.1"],
    ]
    assert [nodes[i].name for i in by_name["layer2.0.downsample.0"].inputs] == ["layer1.0.act2"]
    assert by_name["layer2.0.downsample.0"].group == "layer2.0"
    assert by_name["conv1"].group == ""
    assert by_name["fc"].places == (10, 1, 1)
    assert nodes[0].kind == "image"
    assert not nodes[0].visible


def test_the_branches_of_inception_stand_side_by_side():
    nodes = graph("googlenet", 64)
    meeting = next(n for n in nodes if n.kind == "concat")
    assert meeting.name == "inception3a"
    assert meeting.visible
    assert len(meeting.inputs) == 4
    assert sum(nodes[i].places[0] for i in meeting.inputs) == meeting.places[0] == 256


def test_tokens_and_gates():
    nodes = graph("vit_ti_16", 32)
    block = next(n for n in nodes if n.name == "blocks.0")
    assert (block.kind, block.places) == ("add", (192, 8, 8))
    gated = graph("seresnet18", 64)
    product = next(n for n in gated if n.kind == "multiply")
    assert len(product.inputs) == 2


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "inception_v3", "alexnet", "mlp", "efficientnet_lite0"])
def test_every_layer_is_fed_and_leads_to_the_answer(name):
    side = 96 if name != "alexnet" else 224
    nodes = graph(name, side)
    assert all(n.inputs for n in nodes[1:])
    assert all(max(n.inputs) < n.number for n in nodes[1:])
    reached = {nodes[-1].number}
    for node in reversed(nodes):
        if node.number in reached:
            reached |= set(node.inputs)
    assert reached == set(range(len(nodes)))
    assert nodes[-1].places == (10, 1, 1)


def test_a_module_that_runs_twice_is_two_nodes():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)

        def forward(self, x):
            return self.act(self.conv(self.act(self.conv(x))))

    nodes = wiring(Twice(), (3, 8, 8))
    assert [(n.name, n.run, n.visible) for n in nodes[1:]] == [
        ("conv", 1, True), ("act", 1, True), ("conv", 2, False), ("act", 2, False),
    ]  # fmt: skip
    assert [n.inputs for n in nodes] == [(), (0,), (1,), (2,), (3,)]


def mirrored():
    """A probe that looks at an image and its mirror image."""
    torch.manual_seed(0)
    spec = {
        "kind": "probe", "name": "resnet8", "img_size": 16, "model_args": {}, "taps": ["layer1"], "parts": [0, 1],
        "input": {"mean": [0.5], "std": [0.25], "mode": "fixed"}, "views": ["as it is", "left-right"],
        "head": {"kind": "softmax", "features": 3 * 16 + 64, "classes": 3},
    }  # fmt: skip
    return Probe(spec).eval()


def test_mirror_images_are_left_out_and_nothing_is_changed():
    network = mirrored()
    plain = network.without_tta()
    assert network.views == ("as it is", "left-right")
    assert plain.views == ("as it is",)
    assert plain.backbone is network.backbone
    nodes = wiring(network, (1, 16, 16))
    assert {n.run for n in nodes} == {1}
    names = [n.name for n in nodes if n.name]
    assert len(names) == len(set(names))
    head = nodes[-1]
    assert (head.kind, head.output) == ("Linear", (3,))
    joined = nodes[head.inputs[0]]
    assert (joined.kind, len(joined.inputs)) == ("concat", 2)


def test_maps_lie_as_the_image_does_though_the_mirror_image_runs_first():
    network = mirrored()
    image = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        expected = network.backbone.conv1(network.input(image))
        assert torch.equal(output_at(network, "backbone.conv1", image), expected)
        seen = {}
        each_layer(network, image, {"backbone.conv1": lambda given, output: seen.update(out=output.clone())})
    assert torch.equal(seen["out"], expected)
    assert len(map_layers(network, image)) == len({layer.name for layer in map_layers(network, image)})


def test_maps_of_a_whole_network_lie_as_the_image_does_too():
    torch.manual_seed(0)
    spec = {
        "kind": "network", "name": "resnet8", "classes": 3, "img_size": 16, "model_args": {"width": 8},
        "input": {"mean": [0.5], "std": [0.25]}, "views": ["as it is", "left-right"],
    }  # fmt: skip
    network, image = Network(spec).eval(), torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        expected = network.body.conv1(network.input(image))
        assert torch.equal(output_at(network, "body.conv1", image), expected)
    assert {n.run for n in wiring(network, (1, 16, 16))} == {1}


def test_an_ensemble_shows_its_first_member():
    spec = {
        "kind": "network", "name": "resnet8", "classes": 3, "img_size": 16, "model_args": {"width": 8},
        "input": {"mean": [0.5], "std": [0.5]},
    }  # fmt: skip
    joined = Ensemble.of([Network(spec), Network(spec)], [1.0, 1.0])
    assert {n.name.split(".")[1] for n in wiring(joined, (1, 16, 16)) if n.name} == {"0"}


def test_a_twin_shares_weights_and_nothing_else():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    other = shared_copy(network)
    assert other[0].weight is network[0].weight
    assert other[1].running_mean is network[1].running_mean
    seen = []
    other[0].register_forward_hook(lambda *_: seen.append(1))
    other.train()
    network(torch.zeros(1, 1, 5, 5))
    assert seen == []
    assert not network.training
