"""Names, options and sizes that cannot be are refused with a reason and a way out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.families.linear import LinearClassifier
from clearsight.models.registry import register
from clearsight.models.zoo import build_model, entry, model_names


def test_unknown_name_suggests_near_ones() -> None:
    with pytest.raises(ModelError, match=r"unknown network 'resnet19'. Did you mean .*resnet18"):
        build_model("resnet19", classes=2)


def test_unknown_option_suggests_near_ones() -> None:
    with pytest.raises(ModelError, match=r"no option 'activaton'. Did you mean activation"):
        build_model("resnet18", classes=2, activaton="elu")


def test_all_faulty_options_are_named_together() -> None:
    with pytest.raises(ModelError) as caught:
        build_model("vgg16", classes=2, residual=False, depth=3)
    assert "no option 'depth'" in str(caught.value)
    assert "'residual' (shortcuts around blocks, on or off) is not supported" in str(caught.value)


@pytest.mark.parametrize("classes", [0, -1])
def test_no_classes(classes: int) -> None:
    with pytest.raises(ModelError, match=rf"found classes {classes}; expected a positive integer"):
        build_model("resnet8", classes=classes)


def test_no_channels() -> None:
    with pytest.raises(ModelError, match="found channels 0"):
        build_model("resnet8", classes=2, channels=0)


@pytest.mark.parametrize("name", [n for n in model_names() if entry(n).min_size > 1])
def test_image_too_small(name: str) -> None:
    least = entry(name).min_size
    with pytest.raises(
        ModelError, match=f"too small for {name}; found {least - 1}x{least - 1} pixels; .*{least}x{least}"
    ):
        build_model(name, classes=2, img_size=least - 1)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n == "resnet1202" else n for n in model_names()]
)
def test_the_smallest_image_it_states_runs(name: str) -> None:
    known = entry(name)
    narrow = {k: v for k, v in {"width": 8, "growth": 4, "depth": 2, "heads": 2}.items() if k in known.model_args}
    network = build_model(name, classes=2, img_size=known.min_size, **narrow)
    images = torch.randn(2, 3, known.min_size, known.min_size)
    assert network.eval()(images).shape == (2, 2)


def test_a_name_is_registered_once() -> None:
    def resnet18(*, classes: int, channels: int, img_size: int) -> nn.Module:
        raise NotImplementedError

    with pytest.raises(AssertionError, match="'resnet18' is registered twice"):
        register(img_size=1, min_size=1, year=1, paper="")(resnet18)


def test_entries_state_their_published_form() -> None:
    known = entry("lenet5")
    assert (known.img_size, known.channels, known.classes, known.year) == (32, 1, 10, 1998)
    assert known.model_args["kernel"] == 5
    assert entry("seresnet50").model_args["se"] is True
    assert entry("plain34").model_args["residual"] is False


def test_templates_of_the_linear_classifier_are_images() -> None:
    network = build_model("linear", classes=4, channels=3, img_size=5)
    assert isinstance(network, LinearClassifier)
    templates = network.templates()
    assert templates.shape == (4, 3, 5, 5)
    image = torch.randn(1, 3, 5, 5)
    expected = (templates * image).sum((1, 2, 3)) + network.fc.bias
    torch.testing.assert_close(network(image)[0], expected)
