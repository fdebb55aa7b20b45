"""Pretrained weights from a file: the same tensors in the network, whatever the form, and errors for all else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import clearsight as cs
from clearsight.errors import ConfigError, ModelError
from clearsight.models.gateway import build_timm
from clearsight.models.network import headless, tap_points
from clearsight.models.weight_file import FileWeights, read_tensors
from clearsight.train.config import TrainConfig

RECIPES = {
    "timm/mobilenetv4_conv_small": 224,
    "timm/convnextv2_atto": 224,
    "timm/vit_small_patch14_dinov2": 224,
    "timm/vit_small_patch16_dinov3": 256,
    "timm/vit_base_patch16_siglip_224": 224,
}
"""Networks of the recipes in docs/training.md, and the input size to use them at."""

LIGHT = ("timm/mobilenetv4_conv_small", "timm/convnextv2_atto")


def drawn(name: str, classes: int = 1000, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of the right shapes."""
    network = build_timm(name, classes=classes, channels=3, img_size=RECIPES[name], model_args={})
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for key, tensor in network.state_dict().items()
    }


@pytest.mark.parametrize(
    "name", [name if name in LIGHT else pytest.param(name, marks=pytest.mark.long) for name in RECIPES]
)
def test_the_recipes_load_from_a_file_and_have_depths(name: str, tmp_path: Path) -> None:
    state = drawn(name)
    save_file(state, tmp_path / "weights.safetensors")
    body = headless(name, 3, RECIPES[name], {})
    FileWeights.of(str(tmp_path / "weights.safetensors"), name).fill(body, name)
    own = body.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in own)
    assert len(tap_points(body)) == 4


def test_every_form_of_a_state_dict(tmp_path: Path) -> None:
    state = {"a.weight": torch.rand(2, 3), "b": torch.rand(1)}
    save_file(state, tmp_path / "plain.safetensors")
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"model": state, "epoch": 3}, tmp_path / "checkpoint.pth")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "parallel.bin")
    for file in sorted(tmp_path.iterdir()):
        found = read_tensors(file)
        assert found.keys() == state.keys(), file.name
        assert all(torch.equal(found[key], state[key]) for key in state), file.name


class Anything:
    """A Python object, which loading would have to run code for."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda path: torch.save({"model": Anything()}, path), "cannot be read as weights"),
        (lambda path: path.write_bytes(b"no weights"), "cannot be read as weights"),
        (lambda path: path.write_bytes(b""), "cannot be read as weights"),
        (lambda path: torch.save([torch.zeros(1)], path), "is not a state dict; found list"),
        (lambda path: torch.save({"epoch": 3}, path), "is not a state dict"),
    ],
)
def test_other_files_are_refused(content, words: str, tmp_path: Path) -> None:
    content(tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=words):
        read_tensors(tmp_path / "weights.pt")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    name = "timm/mobilenetv4_conv_small"
    state = drawn(name)
    state["conv_stem.weight"] = torch.zeros(16, 3, 3, 3)
    del state["bn1.weight"]
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match=r"no tensor bn1.weight; conv_stem.weight \(16x3x3x3 instead of 32x3x3x3\)"):
        FileWeights.of(str(tmp_path / "weights.safetensors"), name).fill(headless(name, 3, 224, {}), name)
    with pytest.raises(ModelError, match="the file of weights does not exist"):
        FileWeights.of(str(tmp_path / "nowhere.pt"), name)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--weights needs --model"),
        ({"model": "resnet18", "init": "he"}, "--weights and --init both set the initial weights"),
        ({"model": "resnet18", "pretrained": False}, "--weights and --no-pretrained both set"),
    ],
)
def test_options_that_contradict_a_file_of_weights(options, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrainConfig.from_options(weights="weights.pt", **options)


@pytest.mark.long
def test_a_head_on_weights_from_a_file(photos: Path, tmp_path: Path) -> None:
    """Offline, and the model needs the file no more."""
    name, file = "timm/mobilenetv4_conv_small", tmp_path / "weights.safetensors"
    network = build_timm(name, classes=10, channels=3, img_size=224, model_args={})
    save_file(network.state_dict(), file)
    run = cs.fit(photos, model=name, weights=file, img_size=64, freeze="all", out=tmp_path / "run")
    own = run.model.predictor.network.backbone.state_dict()
    assert all(torch.equal(own[key], tensor) for key, tensor in network.state_dict().items() if key in own)
    (decision,) = [d for d in run.metrics["recipe"] if d["what"] == "network"]
    assert str(file) in decision["why"]
    file.unlink()
    image = sorted(photos.rglob("*.jpg"))[0]
    assert cs.load(tmp_path / "run").predict(image)[0].probability == run.model.predict(image)[0].probability
