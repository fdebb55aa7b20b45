"""Penalties, limits and the average of weights, by hand."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from clearsight.train.regularisers import WeightAverage, l1_penalty, limit_gradient, limit_norms


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))


def test_l1_by_hand() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -2], [3, -0.5]]))
        network[0].bias.fill_(100)
    penalty = l1_penalty(network)
    assert penalty.item() == 6.5  # neither the bias of 100 nor the scales of 1 count
    penalty.backward()
    assert network[0].weight.grad.tolist() == [[1, -1], [1, -1]]
    assert network[0].bias.grad is None


def test_l1_leaves_out_frozen_layers() -> None:
    network = small()
    network[0].weight.requires_grad_(False)
    assert l1_penalty(network).item() == pytest.approx(network[3].weight.abs().sum().item())
    assert l1_penalty(nn.ReLU()).item() == 0


def test_norms_of_units_are_limited_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, (1, 2)), nn.BatchNorm2d(3), nn.Linear(2, 2))
    rows = torch.tensor([[3.0, 4], [0.3, -0.4], [0, 0]])  # norms 5, 0.5 and 0
    with torch.no_grad():
        network[0].weight.copy_(rows[:, None, None])
        network[2].weight.copy_(rows[:2].flip(0))
        network[0].bias.fill_(7)
        network[1].weight.fill_(7)
    limit_norms(network, 2.0)
    expected = torch.tensor([[1.2, 1.6], [0.3, -0.4], [0, 0]])
    torch.testing.assert_close(network[0].weight, expected[:, None, None])
    torch.testing.assert_close(network[2].weight, expected[:2].flip(0))
    assert torch.equal(network[2].weight[0], rows[1])  # within the limit: not one bit moves
    assert network[0].bias.tolist() == network[1].weight.tolist() == [7, 7, 7]


def test_norms_of_frozen_layers_are_not_touched() -> None:
    network = small()
    network[0].weight.requires_grad_(False)
    before = network[0].weight.clone()
    limit_norms(network, 0.01)
    assert torch.equal(network[0].weight, before)
    assert network[3].weight.norm(dim=1).max() < 0.0101


@pytest.mark.parametrize(("clip", "expected"), [(1.0, (0.6, 0.8)), (5.1, (3, 4)), (None, (3, 4)), (0.0, (3, 4))])
def test_the_gradient_is_clipped_by_the_norm_of_all_of_it(clip: float | None, expected: tuple[float, float]) -> None:
    """Two weights with gradients 3 and 4: norm 5 together."""
    network = nn.Linear(1, 1)
    network.weight.grad, network.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    limit_gradient(network, clip)
    assert (network.weight.grad.item(), network.bias.grad.item()) == pytest.approx(expected, rel=1e-5)


def moved(network: nn.Module, seed: int) -> None:
    """Other weights and other running statistics, as a training step leaves them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor + 1)


def test_the_average_by_hand() -> None:
    """Decays are min(0.15, 1/10, 2/11, 3/12, ...), here 0.1, 0.15, 0.15."""
    network = nn.BatchNorm1d(1)
    average = WeightAverage(network, 0.15)  # weight 1, running mean 0
    for value in (2.0, 3.0, 4.0):
        network.num_batches_tracked += 1
        network.weight.data.fill_(value)
        network.running_mean.fill_(-value)
        average.update(network)
    first = 0.1 * 1 + 0.9 * 2
    second = 0.15 * first + 0.85 * 3
    assert average.module.weight.item() == pytest.approx(0.15 * second + 0.85 * 4)
    first = 0.1 * 0 - 0.9 * 2
    second = 0.15 * first - 0.85 * 3
    assert average.module.running_mean.item() == pytest.approx(0.15 * second - 0.85 * 4)
    assert average.module.num_batches_tracked == network.num_batches_tracked, "counts are copied"


def test_the_decay_is_reached_and_not_passed() -> None:
    """With a decay of 0.9 the correction ends after 80 updates; then the average forgets as 0.9^t."""
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.9)
    network.weight.data.fill_(1.0)
    for _ in range(200):
        average.update(network)
    network.weight.data.fill_(0.0)
    for _ in range(10):
        average.update(network)
    assert average.module.weight.item() == pytest.approx(0.9**10, rel=1e-4)


def test_a_saved_average_goes_on_to_the_same_bits() -> None:
    network, stream = small(), io.BytesIO()
    average = WeightAverage(network, 0.99)
    for seed in range(5):
        moved(network, seed)
        average.update(network)
    torch.save(average.state_dict(), stream)
    stream.seek(0)
    second = WeightAverage(small(), 0.99)
    second.load_state_dict(torch.load(stream, weights_only=True))
    for seed in range(5, 8):
        moved(network, seed)
        average.update(network)
        second.update(network)
    assert average.n_averaged == second.n_averaged == 9, "8 updates, and the initial weights"
    for name, tensor in average.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_average_is_not_the_network() -> None:
    network = small()
    average = WeightAverage(network, 0.99)
    before = {name: t.clone() for name, t in average.module.state_dict().items()}
    moved(network, 0)
    assert all(torch.equal(t, before[name]) for name, t in average.module.state_dict().items())


@pytest.mark.parametrize("failing", [False, True])
def test_applied_gives_the_trained_weights_back_also_when_the_block_raises(failing: bool) -> None:
    network = small()
    average = WeightAverage(network, 0.99)
    moved(network, 0)
    average.update(network)
    trained = {name: t.clone() for name, t in network.state_dict().items()}
    averaged = {name: t.clone() for name, t in average.module.state_dict().items()}
    places = {name: t.data_ptr() for name, t in network.state_dict().items()}

    def look() -> None:
        with average.applied(network):
            inside = network.state_dict()
            assert all(torch.equal(inside[name], t) for name, t in averaged.items())
            assert not torch.equal(inside["0.weight"], trained["0.weight"])
            network(torch.randn(8, 3, 4, 4))  # changes the running statistics and their count
            if failing:
                raise RuntimeError("in the block")

    if failing:
        with pytest.raises(RuntimeError, match="in the block"):
            look()
    else:
        look()
    assert all(torch.equal(t, trained[name]) for name, t in network.state_dict().items())
    assert all(torch.equal(t, averaged[name]) for name, t in average.module.state_dict().items())
    assert places == {name: t.data_ptr() for name, t in network.state_dict().items()}
