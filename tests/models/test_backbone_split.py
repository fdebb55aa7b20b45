"""A backbone cut in two gives what it gave whole, and training the upper part trains the probe."""

import pytest
import torch

from clearsight.errors import ModelError
from clearsight.models.backbone_split import cut
from clearsight.models.execution import engine_for
from clearsight.models.network import Probe, headless, tap_points


def probe(name, img_size=64):
    torch.manual_seed(0)
    taps = tap_points(headless(name, 3, img_size, {}))
    spec = {
        "kind": "probe", "name": name, "img_size": img_size, "model_args": {}, "taps": taps, "parts": [len(taps)],
        "head": None, "input": {"mean": [0.5] * 3, "std": [0.25] * 3, "mode": "fixed"},
    }  # fmt: skip
    return Probe(spec).eval()


@pytest.mark.parametrize(
    "name",
    [
        "efficientnet_lite0",
        "resnet18",
        pytest.param("densenet121", marks=pytest.mark.long),
        pytest.param("vgg11_bn", marks=pytest.mark.long),
        "googlenet",
        "timm/mobilenetv3_small_050",
    ],
)
def test_both_parts_together_are_the_whole(name):
    whole = probe(name)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = whole.backbone_outputs(images)
        for place, at in enumerate(whole.taps):
            lower, upper = cut(whole, at)
            found = upper.parts(lower(images))
            assert len(found) == len(expected) - place
            for mine, theirs in zip(found, expected[place:], strict=True):
                torch.testing.assert_close(mine, theirs)


def test_the_upper_part_is_the_probes_own():
    whole = probe("resnet18")
    lower, upper = cut(whole, whole.taps[1])
    owned = {id(p) for p in whole.backbone.parameters()}
    above, below = ({id(p) for p in part.parameters()} for part in (upper, lower))
    assert above | below == owned
    assert not above & below
    assert above == {id(p) for n, p in whole.backbone.named_parameters() if n.startswith(("layer3", "layer4"))}


def test_a_place_that_is_no_tap_is_refused():
    with pytest.raises(ModelError, match="cannot be cut at 'fc'"):
        cut(probe("resnet18"), "fc")


@pytest.mark.parametrize(
    ("name", "side"),
    [("resnet8", 32), *(pytest.param(name, 64, marks=pytest.mark.long) for name in ("efficientnet_lite0", "resnet18"))],
)
def test_every_engine_runs_the_lower_part(name, side):
    whole = probe(name, side)
    images = torch.rand(4, 3, side, side)
    for at in whole.taps:
        lower, _ = cut(whole, at)
        ((found,),) = engine_for(lower, (3, side, side), 4, "cpu", "openvino").stream([images.numpy()])
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(found), lower(images), atol=1e-4, rtol=1e-4)
