"""Models with every kind of head: what is saved is read back, and answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from clearsight.bundle import Bundle
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import BundleError
from clearsight.models.heads import _HEADS, build_head, head_spec
from clearsight.models.network import Probe, from_spec
from clearsight.tasks import Classification

FEATURES, CLASSES = 7, 3
SIZES = {"features": FEATURES, "classes": CLASSES}
KERNEL = {"kind": "kernel", **SIZES, "support": 5, "gamma": 0.5}
SOFTMAX = {"kind": "softmax", **SIZES}

SPECS: dict[str, dict[str, Any]] = {
    "softmax": SOFTMAX,
    "hidden": {"kind": "hidden", **SIZES, "widths": [4]},
    "kernel": KERNEL,
    "neighbours": {"kind": "neighbours", **SIZES, "examples": 6, "k": 2},
    "forest": {"kind": "forest", "classes": CLASSES, "trees": 2, "nodes": 3, "depth": 1, "values": CLASSES},
    "reduced": {"kind": "reduced", "features": FEATURES, "to": 2, "head": {**SOFTMAX, "features": 2}},
    "mixed": {"kind": "mixed", "heads": [SOFTMAX, KERNEL], "temperatures": [0.5, 2.0]},
}


def test_every_kind_is_here() -> None:
    assert SPECS.keys() == _HEADS.keys()


@pytest.mark.parametrize("kind", SPECS)
def test_a_model_is_read_back(kind: str, tmp_path: Path) -> None:
    body = {
        "kind": "probe", "name": "timm/test_resnet", "img_size": 32, "model_args": {}, "taps": [],
        "input": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "head": None,
    }  # fmt: skip
    network = from_spec(body)
    assert isinstance(network, Probe)
    width = network.eval().backbone_outputs(torch.zeros(1, 3, 32, 32))[-1].shape[1]
    spec = _of_width(SPECS[kind], width)
    head = build_head(spec)
    with torch.no_grad():
        for tensor in head.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1)
    network.set_head(spec, head, (0,))
    bundle = Bundle(network.eval(), Classification(("a", "b", "c")), PixelFormat(3, 8), Geometry(32, 32))
    bundle.save(tmp_path / "model")
    again = Bundle.load(tmp_path / "model")
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(again.network(images), network(images))


@pytest.mark.parametrize("temperatures", [[1.0], [1.0, 0.0], [1.0, "2"], [1.0, float("inf")]])
def test_temperatures_of_a_mixed_head_are_checked(temperatures: list[Any]) -> None:
    with pytest.raises(BundleError, match="temperatures"):
        head_spec({**SPECS["mixed"], "temperatures": temperatures}, "head")


def _of_width(spec: dict[str, Any], width: int) -> dict[str, Any]:
    """The same spec for so many features."""
    changed = {**spec, "features": width} if "features" in spec else dict(spec)
    if spec["kind"] == "mixed":
        changed["heads"] = [_of_width(one, width) for one in spec["heads"]]
    return changed
