"""What is measured, against hand-worked numbers; and that nothing is left behind or changed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.diagnosis import Vitals
from clearsight.diagnosis.parts import MOST, of_kind, parts
from clearsight.models.zoo import build_model
from clearsight.train.config import TrainConfig
from clearsight.train.loop import train_network
from clearsight.train.observer import UNOBSERVED, Step
from clearsight.train.resolve import resolve


def step(number, loss, logits, target, images, total=100):
    return Step(number, total, 1, 0.1, loss, images, target, logits, 0.25, 1.0)


def one_step(vitals, network, images, target, number=1, rate=0.1):
    """A step of gradient descent as the loop takes it."""
    vitals.before_forward(number)
    logits = network(images)
    loss = -(target * logits.log_softmax(1)).sum(1).mean()
    network.zero_grad()
    loss.backward()
    facts = step(number, loss.item(), logits.detach(), target, images)
    vitals.after_backward(facts)
    with torch.no_grad():
        for p in network.parameters():
            p -= rate * p.grad
    vitals.after_update(facts)
    return facts


@pytest.fixture
def tiny():
    """Two dense layers, ReLU between, weights set by hand."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))  # the second unit is dead for inputs above 0
        network[2].weight.copy_(torch.tensor([[3.0, 0.0], [4.0, 0.0]]))
    return network


def test_a_look_by_hand(tiny):
    vitals = Vitals()
    vitals.start(tiny, [{"params": list(tiny.parameters()), "lr": 0.1}])
    images, target = torch.tensor([[1.0, 1.0], [3.0, 1.0]]), torch.eye(2)
    one_step(vitals, tiny, images, target)
    stats = vitals.step_stats[0]
    assert stats.weight == pytest.approx([np.sqrt(2), 5.0])
    assert stats.update == pytest.approx(0.1 * stats.gradient, rel=1e-4)  # weights near 1 round the update
    # logits (3, 4) and (9, 12); p2 = sigmoid(1), sigmoid(3); gradient of the last layer: (p - t) times (1, 0), (3, 0)
    p = 1 / (1 + np.exp([-1.0, -3.0]))
    row = (p[0] * 1 + (p[1] - 1) * 3) / 2
    assert stats.gradient[1] == pytest.approx(abs(row) * np.sqrt(2), rel=1e-5)
    assert stats.mean == pytest.approx([1.0])  # outputs 1, 0, 3, 0
    assert stats.std == pytest.approx([np.sqrt(1.5)])
    assert stats.zeros == pytest.approx([0.5])
    assert stats.alive[0].tolist() == [True, False]
    assert stats.inputs == pytest.approx((1.5, np.sqrt(0.75), 1.0, 3.0))
    assert (stats.low, stats.high) == (3, 12)
    assert stats.sums == pytest.approx(20)
    assert stats.predicted.tolist() == [0, 2]
    assert stats.targets.tolist() == [1, 1]
    assert stats.right == 0.5
    assert stats.confidence == pytest.approx(p.mean())
    each = [np.log(1 + np.e), np.log(1 + np.exp(-3))]
    assert stats.spread == pytest.approx(np.std(each, ddof=1), rel=1e-5)
    assert stats.ratios() == pytest.approx(stats.update / stats.weight)


def test_saturation_is_a_slope_below_a_twentieth():
    network = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.copy_(torch.atanh(torch.tensor([0.0, 0.9, 0.98, 0.999])))  # slopes 1, 0.19, 0.0396, 0.002
    vitals = Vitals()
    vitals.start(network, [{"params": [], "lr": 0.1}])
    one_step(vitals, network, torch.ones(2, 1), torch.eye(2))
    assert vitals.step_stats[0].saturated == pytest.approx([0.5])


def test_hooks_are_gone_after_each_step_and_after_an_exception(tiny):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in tiny.modules())

    with Vitals() as vitals:
        vitals.start(tiny, [{"params": [], "lr": 0.1}])
        vitals.before_forward(1)
        assert hooks() > 0
        one_step(vitals, tiny, torch.ones(2, 2), torch.eye(2))
        assert hooks() == 0
        vitals.before_forward(2)
    assert hooks() == 0  # the step never came to its backward pass


def test_few_steps_are_looked_at_and_more_at_the_start():
    vitals = Vitals()
    for total, most in ((40, 11), (200, 19), (2000, 48), (100_000, 48)):
        vitals.total, vitals._last = total, 0
        step_stats = []
        for number in range(1, total + 1):
            if vitals._due(number):
                vitals._last = number
                step_stats.append(number)
        assert step_stats[:4] == [1, 2, 3, 4]
        assert len(step_stats) <= most
        assert step_stats[-1] > 0.75 * total


def test_training_is_the_same_with_and_without(digits_bench):
    """An observer changes nothing: the same bits."""
    weights = []
    for observer in (UNOBSERVED, Vitals()):
        network = digits_bench.network("resnet8")
        config = resolve(TrainConfig().with_options(epochs=1, batch_size=64, max_steps=8, device="cpu"))
        groups = [{"params": list(network.parameters()), "lr": 1e-3}]
        train_network(network, digits_bench.data, config, groups, observer=observer)
        weights.append(network.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*(w.values() for w in weights), strict=True))


def test_layers_stand_in_the_order_of_the_forward_pass():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(3, 2), nn.Linear(3, 3)

        def forward(self, x):
            return self.last(self.first(x).relu())

    network, vitals = Backwards(), Vitals()
    vitals.start(network, [{"params": [], "lr": 0.1}])
    one_step(vitals, network, torch.ones(2, 3), torch.eye(2))
    assert [part.name for part in vitals.layers] == ["first", "last"]
    assert vitals.step_stats[0].gradient[0] == pytest.approx(network.first.weight.grad.norm().item(), rel=1e-5)


def test_json_is_plain_even_after_a_break(tiny):
    vitals = Vitals()
    vitals.start(tiny, [{"params": [], "lr": 0.1}])
    images = torch.tensor([[1.0, float("inf")], [1.0, 1.0]])
    vitals.before_forward(1)
    vitals.after_backward(step(1, float("nan"), torch.zeros(2, 2), torch.eye(2), images))
    assert vitals.broken is not None
    assert not vitals.broken.pixels_finite
    assert vitals.broken.weights_finite
    saved = json.loads(json.dumps(vitals.to_dict(), allow_nan=False))
    assert saved["broken"]["loss"] is None
    assert saved["wait_share"] == 0.25


def test_without_hooks_gradients_are_still_measured(tiny):
    vitals = Vitals(hooks=False)
    vitals.start(tiny, [{"params": [], "lr": 0.1}])
    one_step(vitals, tiny, torch.ones(2, 2), torch.eye(2))
    stats = vitals.step_stats[0]
    assert np.isfinite(stats.gradient).all()
    assert np.isnan(stats.mean).all()
    assert np.isnan(stats.inputs[0])


def test_a_batch_is_what_is_normalised_together_on_all_processes(tiny):
    vitals = Vitals()
    vitals.start(tiny, [{"params": list(tiny.parameters()), "lr": 0.1}])
    images = torch.ones(2, 2)
    for batch, expected in ((None, 2), (8, 8)):
        vitals.before_forward(1)
        vitals.after_backward(replace(step(1, 0.5, torch.zeros(2, 2), torch.eye(2), images), batch=batch))
        assert vitals.batch == expected
    assert vitals.parameters == 8


def test_a_resumed_run_is_looked_at_from_where_it_goes_on(tiny):
    vitals = Vitals()
    vitals.start(tiny, [{"params": [], "lr": 0.1}])
    one_step(vitals, tiny, torch.ones(2, 2), torch.eye(2), number=501)
    assert [stats.step for stats in vitals.step_stats] == [501]


def test_parts_leave_out_frozen_weights_idle_dropout_and_gates():
    network = build_model("resnet8", classes=3, channels=1, img_size=8, width=8, se=True)
    network.conv1.weight.requires_grad_(False)
    found = parts(network)
    names = [part.name for part in found]
    assert "conv1" not in names
    assert not [part for part in found if part.kind in ("dropout", "sigmoid")]
    assert [part.name for part in found if part.kind == "weights"][-1] == "fc"


def test_very_deep_networks_are_thinned():
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(300)))
    some = of_kind(parts(network), "weights")
    assert len(some) == MOST
    assert (some[0].name, some[-1].name) == ("0", "299")
