"""Initial weights against their formulas, and the choice of the best."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from clearsight.bundle import Bundle
from clearsight.errors import ModelError
from clearsight.models.initialization import METHODS, initialise, skip_init
from clearsight.models.network import tap_points
from clearsight.models.pretrained import imagenet_network
from clearsight.models.zoo import build_model
from clearsight.train.recipe import Recipe
from clearsight.train.strategies.probe import new_probe


def conv_and_dense() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.Linear(300, 500))


VARIANCES = {  # of the convolution (fan in 288, fan out 576) and of the dense layer (300, 500)
    "xavier": (2 / (288 + 576), 2 / 800),
    "he": (2 / 288, 2 / 300),
    "uniform": (1 / (3 * 288), 1 / (3 * 300)),
}


@pytest.mark.parametrize("method", VARIANCES)
def test_variances_are_the_papers(method: str) -> None:
    torch.manual_seed(0)
    network = conv_and_dense()
    initialise(network, method)
    for layer, variance in zip((network[0], network[2]), VARIANCES[method], strict=True):
        assert layer.weight.var().item() == pytest.approx(variance, rel=0.05)
        assert not layer.bias.any()


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_a_gain_multiplies_the_weights_of_the_same_draw(gain: float) -> None:
    plain, scaled = conv_and_dense(), conv_and_dense()
    for network, rule in ((plain, "he"), (scaled, f"he:{gain:g}")):
        torch.manual_seed(0)
        initialise(network, rule)
    torch.testing.assert_close(scaled[0].weight, gain * plain[0].weight)
    assert scaled[2].weight.var().item() == pytest.approx(gain**2 * 2 / 300, rel=0.05)


def test_orthogonal_rows() -> None:
    network = conv_and_dense()
    initialise(network, "orthogonal")
    rows = network[0].weight.flatten(1)  # 64 rows of 288
    torch.testing.assert_close(rows @ rows.T, 2 * torch.eye(64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_he_keeps_the_scale_in_depth_and_others_do_what_they_do(method: str) -> None:
    """Twenty ReLU layers of 256 units: He's variance keeps the mean square, Xavier's halves it in each
    layer.
    """
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Sequential(nn.Linear(256, 256, bias=False), nn.ReLU()) for _ in range(20)))
    initialise(network, method)
    with torch.no_grad():
        x = torch.randn(500, 256)
        ratio = network(x).square().mean().item() / x.square().mean().item()
    expected = {"he": 1, "orthogonal": 1, "xavier": 2**-20, "uniform": 6**-20}[method]
    assert math.log(ratio) == pytest.approx(math.log(expected), abs=1.5)


def test_normalisation_starts_anew() -> None:
    network = conv_and_dense()
    nn.init.constant_(network[1].weight, 7.0)
    initialise(network, "he")
    assert torch.equal(network[1].weight, torch.ones(64))


def test_build_model_takes_a_method() -> None:
    torch.manual_seed(0)
    network = build_model("mlp", classes=2, channels=1, img_size=16, init="he")
    assert network.hidden[0].fc.weight.var().item() == pytest.approx(2 / 256, rel=0.05)


def problem() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(32, 1, 8, 8, generator=generator), torch.arange(32) % 4) for _ in range(2)]


def test_best_of_keeps_the_lowest_loss_and_its_initial_weights() -> None:
    torch.manual_seed(0)
    network = build_model("mlp", classes=4, channels=1, img_size=8, widths=(64,) * 8)
    choice = initialise(network, "best-of:xavier,he,orthogonal", batches=problem(), steps=3, learning_rate=0.1)
    assert list(choice.losses) == ["xavier", "he", "orthogonal"]
    assert choice.method == min(choice.losses, key=choice.losses.__getitem__)
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))  # untrained
    assert all(p.grad is None for p in network.parameters())
    assert choice.to_dict() == {"method": choice.method, "losses": choice.losses}


def test_best_of_compares_gains_too() -> None:
    torch.manual_seed(0)
    network = build_model("mlp", classes=4, channels=1, img_size=8, widths=(16,) * 10)
    choice = initialise(network, "best-of:he:0.01,he,he:30", batches=problem(), steps=3, learning_rate=0.1)
    assert choice.method == "he"


def test_best_of_at_the_start_is_the_loss_of_the_weights_it_keeps() -> None:
    torch.manual_seed(0)
    network = build_model("resnet8", classes=4, channels=1, img_size=8, width=4)
    choice = initialise(network, "best-of:he,uniform", batches=problem(), steps=0)
    with torch.no_grad():
        losses = [nn.functional.cross_entropy(network.train()(x), y).item() for x, y in problem()]
    assert choice.losses[choice.method] == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_a_loss_that_is_not_a_number_loses() -> None:
    def loss(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return logits.sum() * (math.nan if len(calls) <= 2 else 1.0)

    calls: list[int] = []
    network = build_model("linear", classes=4, channels=1, img_size=8)
    choice = initialise(network, "best-of:he,xavier", batches=problem(), steps=0, loss=loss)
    assert choice.method == "xavier"


def test_bad_requests_are_explained() -> None:
    network = build_model("linear", classes=2)
    with pytest.raises(ModelError, match=r"unknown initialisation 'xavir'. Did you mean xavier"):
        initialise(network, "xavir")
    with pytest.raises(ModelError, match="unknown initialisation 'hee'"):
        initialise(network, "best-of:hee", batches=problem())
    with pytest.raises(ModelError, match=r"gain of the initialisation 'he:0' is invalid; found '0'; .*above 0"):
        initialise(network, "he:0")
    with pytest.raises(ModelError, match="gain of the initialisation 'he:big'"):
        initialise(network, "he:big")
    with pytest.raises(ModelError, match="compares losses, so it needs images"):
        build_model("linear", classes=2, init="best-of:xavier,he")
    with pytest.raises(ModelError, match="is not an initialisation"):
        initialise(network, "best-of:", batches=problem())


def tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    return dict(network.named_parameters()) | dict(network.named_buffers())


@pytest.mark.parametrize(
    "name", ["lenet5", "maxout", "resnet8", "efficientnet_lite0", "inception_v3", "timm/vit_tiny_patch16_224"]
)
def test_a_network_without_initial_weights_is_the_same_once_weights_are_loaded(name: str) -> None:
    drawn = build_model(name, classes=3)
    before = torch.get_rng_state()
    with skip_init():
        bare = build_model(name, classes=3)
    assert torch.equal(torch.get_rng_state(), before), "no random number is drawn"
    bare.load_state_dict(drawn.state_dict())
    theirs = tensors(drawn)
    assert tensors(bare).keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in tensors(bare).items())
    torch.manual_seed(0)
    fresh = nn.Linear(4, 4).weight
    assert fresh.std() > 0, "weights are drawn again behind the block"


@pytest.mark.parametrize("run", ["photos_run", "digits_run", "classical_run", "detector_run"])
def test_loading_a_model_draws_no_random_numbers(run: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(run)
    before = torch.get_rng_state()
    first, second = (Bundle.load(folder).network.state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_published_networks_are_built_without_random_numbers() -> None:
    before = torch.get_rng_state()
    network, _ = imagenet_network()
    probe = new_probe(Recipe("probe", "efficientnet_lite0", {}, 224, ()))
    assert torch.equal(torch.get_rng_state(), before)
    state = network.body.state_dict()
    own = probe.backbone.state_dict()
    assert len(own) > 200
    assert all(torch.equal(own[name], state[name]) for name in own)
    assert probe.taps == tap_points(probe.backbone) == probe.spec["taps"]
    assert probe.spec["parts"] == [len(probe.taps)]
