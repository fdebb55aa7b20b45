"""The memory of a step, and the batch that fits."""

import pytest
import torch
from torch import nn

from clearsight.models.zoo import build_model
from clearsight.train.step_memory import StepMemory, planned_batch, step_memory

MB, GB = 10**6, 10**9


def test_memory_per_image_of_a_network_worked_by_hand():
    # kept: the input of the convolution (3 x 8 x 8), of the ReLU its output (4 x 8 x 8), flat for the dense layer
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
    found = step_memory(network, (3, 8, 8), opt="sgd")
    image, maps, logits = 3 * 64 * 4, 256 * 4, 2 * 4
    assert found.per_image == pytest.approx(image + maps + logits + maps + 3 * image, rel=0.05)


def test_the_state_of_the_optimiser_counts():
    network = nn.Linear(100, 100)
    weights = (100 * 100 + 100) * 4
    plain, momentum, adam = (step_memory(network, (100,), opt=opt).fixed for opt in ("sgd", "momentum", "adamw"))
    assert plain == pytest.approx(3 * weights, rel=0.01)  # weights, the best ones, gradients
    assert momentum == pytest.approx(4 * weights, rel=0.01)
    assert adam == pytest.approx(5 * weights, rel=0.01)


def test_measuring_changes_neither_network_nor_random_numbers():
    network = build_model("resnet8", classes=3, channels=1, img_size=8, width=8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    step_memory(network, (1, 8, 8))
    assert torch.rand(1) == expected
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_wanted_batch_where_it_fits():
    plan = planned_batch(StepMemory(MB, 100 * MB), GB, 128, normalised=True, reason="the default")
    assert (plan.batch, plan.accumulate) == (128, 1)
    assert plan.why == "the default; a step takes 100 MB and 1 MB per image, and 1 GB is free"


def test_gradients_are_accumulated_where_it_does_not_fit():
    plan = planned_batch(StepMemory(10 * MB, 100 * MB), GB, 128, normalised=False, reason="the default")
    assert (plan.batch, plan.accumulate) == (32, 4)
    assert "gradients of 4 batches are added up to steps of 128 images" in plan.why


def test_batch_normalisation_gets_16_images_where_more_memory_allows():
    memory = StepMemory(40 * MB, 100 * MB)
    assert planned_batch(memory, GB, 128, normalised=False, reason="").batch == 8
    assert planned_batch(memory, GB, 128, normalised=True, reason="").batch == 16


def test_a_batch_too_small_for_normalisation_is_said():
    plan = planned_batch(StepMemory(400 * MB, 100 * MB), GB, 128, normalised=True, reason="")
    assert plan.batch == 1
    assert "batch normalisation over fewer than 16 images is noisy" in plan.why


def test_one_image_even_where_nothing_fits():
    plan = planned_batch(StepMemory(MB, 2 * GB), GB, 8, normalised=False, reason="")
    assert (plan.batch, plan.accumulate) == (1, 8)


def test_a_system_that_reports_no_memory():
    plan = planned_batch(StepMemory(MB, MB), None, 64, normalised=True, reason="the default")
    assert (plan.batch, plan.accumulate) == (64, 1)
