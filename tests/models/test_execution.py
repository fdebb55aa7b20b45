"""Counting operations, which serving does while other threads take gradients."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clearsight.models import execution
from clearsight.models.execution import OpenVinoEngine, TorchEngine, engine_name, operations, settings_of
from clearsight.models.heads import KernelHead
from clearsight.models.network import VIEWS, Backbone, from_spec
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


def test_a_choice_made_again_counts_nothing_again(monkeypatch):
    network = build_model("mlp", classes=10, channels=3, img_size=16).eval()
    first = engine_name(network, (3, 16, 16), 100, "cpu")
    monkeypatch.setattr(execution, "operations", lambda *_: pytest.fail("counted again"))
    assert engine_name(network, (3, 16, 16), 100, "cpu") == first == "torch"
    assert engine_name(network, (3, 16, 16), 10**9, "cpu") == "openvino"


@pytest.mark.parametrize(
    ("name", "words"),
    [("cuda:0", "CUDA"), ("mps", "Metal"), ("xpu", "Intel"), ("xpu:1", "Intel"), ("tpu", "unknown device"),
     ("cuda:x", "unknown device"), ("cpu:1", "there is no device cpu:1"), ("auto:1", "unknown device")],
)  # fmt: skip
def test_devices_that_are_not_there_are_refused(monkeypatch, name, words):
    from clearsight.errors import ConfigError
    from clearsight.models import execution

    monkeypatch.setattr(execution, "_devices", lambda kind: int(kind == "cpu"))
    with pytest.raises(ConfigError, match=words):
        execution.device_of(name)


def test_devices_are_named_as_pytorch_names_them(monkeypatch):
    from clearsight.errors import ConfigError
    from clearsight.models import execution

    monkeypatch.setattr(execution, "_devices", lambda kind: 2)
    names = ("cpu", "cuda", "cuda:1", "mps", "xpu:1")
    assert [execution.device_of(name) for name in names] == list(names)
    with pytest.raises(ConfigError, match=r"no device cuda:2.*cuda:0 to cuda:1"):
        execution.device_of("cuda:2")


@pytest.fixture
def probe():
    body = {
        "kind": "probe", "name": "timm/test_resnet", "img_size": 32, "model_args": {}, "taps": [], "parts": [0],
        "input": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "head": None,
    }  # fmt: skip
    return from_spec(body).eval()


def test_engines_of_one_network_that_differ_in_a_setting_are_not_confused(probe):
    """Converted networks are kept on disk: what is baked into a graph besides weights must belong to their name."""
    images = torch.rand(4, 3, 32, 32).numpy()
    plain = OpenVinoEngine(Backbone(probe), (3, 32, 32))
    first = next(plain.stream([images]))
    probe.set_views(VIEWS)
    for engine in (OpenVinoEngine(Backbone(probe), (3, 32, 32)), TorchEngine(Backbone(probe))):
        (given,) = engine.stream([images])
        with torch.inference_mode():
            expected = Backbone(probe)(torch.from_numpy(images))
        for one, other, alone in zip(given, expected, first, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5)
            assert np.abs(one - alone).max() > 1e-4


def test_settings_of_modules_count(probe):
    narrow, wide = (KernelHead(4, 2, 3, gamma) for gamma in (0.1, 0.2))
    assert settings_of(narrow) != settings_of(wide)
    before = settings_of(probe)
    probe.set_taps(["layer1"])
    assert settings_of(probe) != before
    assert settings_of(probe) == settings_of(copy.deepcopy(probe).train())
