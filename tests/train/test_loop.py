"""The loop on real digits, and its refusals."""

import math

import numpy as np
import pytest
import torch

from clearsight.diagnosis import Vitals
from clearsight.errors import TrainingError
from clearsight.models.network import Network
from clearsight.models.zoo import build_model
from clearsight.tasks import Classification, Multilabel
from clearsight.train.batch_norm import frozen_statistics
from clearsight.train.config import TrainConfig
from clearsight.train.loop import Examples, layout_for, train_network
from clearsight.train.resolve import resolve
from clearsight.train.schedules import one_cycle

SPEC = {
    "kind": "network",
    "name": "resnet8",
    "classes": 10,
    "img_size": 8,
    "model_args": {"width": 8},
    "input": {"mean": [0.3], "std": [0.37], "mode": "fixed"},
}


def examples(digits_arrays, train=600, labels=None, weights=None):
    pixels, true = digits_arrays
    weights = np.ones(len(true), np.float32) if weights is None else weights
    labels = true if labels is None else labels
    return Examples(pixels, labels, weights, np.arange(train), np.arange(600, 800), Classification(tuple("0123456789")))


def run(digits_arrays, network, *, lr=5e-3, seed=0, data=None, **changes):
    looking_on = {k: changes.pop(k) for k in ("on_epoch", "on_step", "checkpoint", "observer") if k in changes}
    options = {"epochs": 3, "batch_size": 32, "weight_decay": 0.01, "augment": "light", **changes}
    groups = [{"params": list(network.parameters()), "lr": lr}]
    data = data or examples(digits_arrays)
    config = resolve(TrainConfig().with_options(**options, seed=seed, device="cpu"))
    return train_network(network, data, config, groups, **looking_on)


def new_network():
    torch.manual_seed(0)
    return Network(SPEC)


def test_learns_digits_and_keeps_the_best_epoch(digits_arrays):
    pixels, labels = digits_arrays
    network = new_network()
    seen = []
    found = run(digits_arrays, network, epochs=10, on_epoch=seen.append)
    assert found.history == tuple(seen)
    assert found.best.val_loss == min(e.val_loss for e in found.history)
    assert found.best.val_accuracy > 0.7, "chance is 0.1"
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels[600:800]).float() / 255)
    assert (logits.argmax(1).numpy() == labels[600:800]).mean() == pytest.approx(found.best.val_accuracy)


def test_the_same_seed_gives_the_same_bits(digits_arrays):
    first, second = new_network(), new_network()
    run(digits_arrays, first)
    run(digits_arrays, second)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_loss_that_is_not_finite_stops_with_advice_and_finite_weights(digits_arrays):
    network = new_network()
    with torch.no_grad():
        network.body.fc.bias.fill_(0)
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf).*Try --lr"):
        run(digits_arrays, network, lr=1e30)
    assert all(torch.isfinite(t).all() for t in network.state_dict().values())


def test_patience_stops_early(digits_arrays):
    network = new_network()
    found = run(digits_arrays, network, epochs=12, patience=2, lr=1e-12)
    assert found.stopped_early
    assert len(found.history) < 12


def test_freeze_bn_keeps_the_running_statistics(digits_arrays):
    network = new_network()
    before = network.body.bn1.running_mean.clone()
    run(digits_arrays, network, epochs=1, freeze_bn=True)
    assert torch.equal(before, network.body.bn1.running_mean)


def test_a_weight_of_nearly_zero_silences_wrong_labels(digits_arrays):
    """Half the labels are wrong; with their weight near 0 the network learns as if they were absent."""
    _, labels = digits_arrays
    rng = np.random.default_rng(0)
    wrong = np.arange(0, 600, 2)
    spoiled = labels.copy()
    spoiled[wrong] = rng.integers(0, 10, len(wrong))
    weights = np.ones(len(labels), np.float32)
    weights[wrong] = 1e-3
    network = new_network()
    data = examples(digits_arrays, labels=spoiled, weights=weights)
    found = run(digits_arrays, network, epochs=8, data=data)
    assert found.best.val_accuracy > 0.85


def test_one_cycle_by_hand():
    assert one_cycle(0) == pytest.approx(1 / 25)
    assert one_cycle(0.25) == pytest.approx(1)
    assert one_cycle(1) == pytest.approx(1e-4)
    half_up = 1 / 25 + (1 - 1 / 25) / 2  # cosine is at its middle halfway up
    assert one_cycle(0.125) == pytest.approx(half_up)
    assert one_cycle(0.625) == pytest.approx(1e-4 + (1 - 1e-4) * (1 - math.cos(math.pi / 2)) / 2)


def test_line_searches_leave_running_statistics_to_the_steps(digits_arrays):
    """However often a search evaluates the loss, a step counts once for batch normalisation."""
    network = new_network()
    run(digits_arrays, network, epochs=1, opt="armijo", lr=1.0, clip=0.0, batch_size=200)
    moved = network.body.bn1.running_mean.clone()
    with frozen_statistics(network):
        network.train()
        network(torch.rand(4, 1, 8, 8))
    assert torch.equal(network.body.bn1.running_mean, moved)
    assert network.body.bn1.momentum == 0.1


def test_lbfgs_takes_layer_groups_and_counts_l1(digits_arrays):
    network = new_network()
    parameters = list(network.parameters())
    groups = [{"params": parameters[:4], "lr": 1.0}, {"params": parameters[4:], "lr": 1.0}]
    options = {"epochs": 3, "batch_size": 600, "opt": "lbfgs", "l1": 1e-5, "sched": "constant", "device": "cpu"}
    found = train_network(network, examples(digits_arrays), resolve(TrainConfig.from_options(**options)), groups)
    assert found.history[-1].train_loss < found.history[0].train_loss / 2


def test_accumulated_batches_equal_one_batch_without_normalisation(digits_arrays):
    spec = {**SPEC, "name": "mlp", "model_args": {"widths": (16,)}}
    states = []
    for options in ({"batch_size": 64}, {"batch_size": 16, "accumulate": 4}):
        torch.manual_seed(0)
        network = Network(spec)
        run(digits_arrays, network, epochs=2, augment="none", **options)
        states.append(network.state_dict())
    for a, b in zip(*(s.values() for s in states), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3)


def test_a_step_cap_and_validation_every_few_steps(digits_arrays):
    found = run(digits_arrays, new_network(), epochs=9, max_steps=25, val_every=10)
    assert [e.steps for e in found.history] == [10, 20, 25]
    assert not found.stopped_early


def test_the_average_is_what_is_kept(digits_arrays):
    plain, averaged = new_network(), new_network()
    run(digits_arrays, plain, epochs=2)
    run(digits_arrays, averaged, epochs=2, ema=0.9)
    assert not torch.equal(plain.body.fc.weight, averaged.body.fc.weight)


def test_a_very_narrow_network_trains_in_the_layout_that_is_safe_for_it(digits_arrays):
    torch.manual_seed(0)
    narrow = Network({**SPEC, "model_args": {"width": 4}})
    assert layout_for(narrow, "cpu") == torch.contiguous_format
    assert layout_for(new_network(), "cpu") == torch.channels_last
    found = run(digits_arrays, narrow, epochs=2)
    assert found.history[-1].train_loss < found.history[0].train_loss


@pytest.mark.parametrize(("processor", "layout"), [("AVX2", torch.contiguous_format), ("AVX512", torch.channels_last)])
def test_a_family_that_some_processors_train_slower_in_channels_last(monkeypatch, processor, layout):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    vgg = build_model("vgg11", classes=2, img_size=32, width=8)
    assert layout_for(vgg, "cpu") == layout
    assert layout_for(vgg, "cuda") == torch.channels_last


def test_labels_hold_above_the_middle_of_what_a_loss_leads_to():
    """mse draws outputs to 0 and 1, bce to below and above 0."""
    task = Multilabel.unfitted(("cat", "dog"))
    outputs, wanted = torch.tensor([[0.1, 0.9], [0.4, 0.6]]), torch.tensor([[0.0, 1], [0, 1]])
    assert task.training_score(outputs, wanted, "mse").tolist() == [1, 1]
    assert task.training_score(outputs - 0.5, wanted, "bce").tolist() == [1, 1]
    assert task.training_score(outputs, wanted, "bce").tolist() == [0.5, 0.5]


def test_a_validation_loss_that_is_not_finite_stops_as_one_in_training_does(digits_arrays):
    """Only validation images hold a pixel that is no number."""
    pixels, labels = digits_arrays
    pixels = pixels.astype(np.float32) / 255
    pixels[700] = np.nan
    data = Examples(
        pixels,
        labels,
        np.ones(len(labels), np.float32),
        np.arange(96),
        np.arange(600, 800),
        Classification(tuple("0123456789")),
    )
    network, vitals = new_network(), Vitals()
    with pytest.raises(TrainingError, match=r"the validation loss became nan at step 3 \(epoch 1\).*Try --lr"):
        run(digits_arrays, network, data=data, observer=vitals)
    assert all(torch.isfinite(t).all() for t in network.state_dict().values())
    assert vitals.epochs == []
    assert vitals.broken is not None
    assert vitals.broken.weights_finite
