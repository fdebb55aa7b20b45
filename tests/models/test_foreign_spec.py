"""What a model's card may ask for: networks of names and options that are listed, with random weights, and no more."""

import json
import shutil
import socket
import sys

import pytest
import timm
import torch

import clearsight as cs
from clearsight.bundle import Bundle
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import BundleError, ConfigError, ModelError
from clearsight.models.anatomy import anatomy
from clearsight.models.gateway import ARGUMENTS, NAME
from clearsight.models.network import from_spec
from clearsight.models.zoo import build_model
from clearsight.tasks import Classification

INPUT = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
SMALL = "timm/test_resnet"
"""A network of timm that is made for tests."""


def spec(network=SMALL, /, **model_args):
    return {"kind": "network", "name": network, "classes": 3, "img_size": 32, "model_args": model_args, "input": INPUT}


def wrapped(kind, inner):
    """The spec of a network, or one that holds it."""
    if kind == "network":
        return inner
    if kind == "ensemble":
        return {"kind": "ensemble", "members": [inner], "temperatures": [1.0]}
    if kind == "probe":
        return {**inner, "kind": "probe", "taps": [], "head": None}
    probe = {**inner, "kind": "probe", "taps": [], "head": None}
    return {"kind": "detector", "trunk": probe, "taps": [], "grid": [1, 1], "keep": 0, "head": None}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model of a network of timm, as it is saved."""
    folder = tmp_path_factory.mktemp("saved")
    Bundle(
        from_spec(spec(drop_rate=0.25)).eval(), Classification(("a", "b", "c")), PixelFormat(3, 8), Geometry(32, 32)
    ).save(folder / "model")
    return folder


def with_network(saved, to, network):
    shutil.copytree(saved, to)
    card = json.loads((to / "model" / "card.json").read_text())
    (to / "model" / "card.json").write_text(json.dumps({**card, "network": network}))
    return to


@pytest.fixture
def alone(monkeypatch):
    """No network, no pickle, and no weights of timm or torchvision."""

    def refuse(*args, **kwargs):
        raise AssertionError("a model's card reached for more than its folder")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr("pickle.load", refuse)
    monkeypatch.setattr("pickle.loads", refuse)
    monkeypatch.setattr("clearsight.models.pretrained.published_state", refuse)
    monkeypatch.setattr("clearsight.models.zoo.published_state", refuse)
    monkeypatch.setattr("timm.models._factory.load_checkpoint", refuse)
    monkeypatch.setattr("timm.models._builder.load_pretrained", refuse)


FORBIDDEN = {
    "pretrained": True,
    "checkpoint_path": "/tmp/evil.pth",
    "pretrained_cfg": {"file": "/tmp/evil.pth"},
    "pretrained_cfg_overlay": {"file": "/tmp/evil.pth"},
    "pretrained_strict": False,
    "cache_dir": "/tmp",
    "features_only": True,
    "feature_cfg": {},
    "out_indices": [0],
    "scriptable": True,
    "device": "cuda",
    "num_classes": 9,
    "in_chans": 1,
    "img_size": 64,
    "init": "he",
    "batches": [],
    "name": "resnet18",
    "classes": 9,
    "channels": 1,
    "block": "x",
}


@pytest.mark.parametrize("kind", ["network", "ensemble", "probe", "detector"])
@pytest.mark.parametrize("name", [SMALL, "resnet8"])
def test_no_argument_that_is_not_listed_comes_from_a_card(alone, kind, name):
    for argument, value in FORBIDDEN.items():
        with pytest.raises((ConfigError, ModelError)):
            from_spec(wrapped(kind, spec(name, **{argument: value})))


def test_a_bundle_says_what_it_asks_for(alone, saved, tmp_path):
    for number, network in enumerate(
        [
            spec(checkpoint_path="/tmp/evil.pth"),
            spec(pretrained=True),
            spec("resnet8", pretrained=True),
            spec("timm/local-dir:/tmp"),
            {**spec(), "model_args": ["pretrained"]},
            {**spec(), "name": ["timm/resnet18"]},
            {"kind": "classical", "name": "hog+svm", "options": {"pretrained": True}, "head": None},
            {"kind": "classical", "name": "features+svm", "options": {}, "head": None},
            {"kind": "else"},
            [],
        ]
    ):
        with pytest.raises(BundleError) as message:
            Bundle.load(with_network(saved, tmp_path / str(number), network))
        assert "\n" not in str(message.value)


@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:someone/model", "hf_hub:someone/model", "HF-HUB:someone/model", "local-dir:/tmp/model",
        "resnet18.hf-hub:someone/model", "resnet18./../evil", "../resnet18", "someone/resnet18", "resnet18\n",
        "https://somewhere/resnet18", "resnet18.a b", "",
    ],
)  # fmt: skip
def test_networks_are_never_addresses(alone, name):
    for kind in ("network", "ensemble", "probe", "detector"):
        with pytest.raises(ModelError, match="is not the name of a network in timm"):
            from_spec(wrapped(kind, spec(f"timm/{name}")))


def test_all_names_of_timm_are_names():
    assert not [name for name in timm.list_models() + timm.list_pretrained() if not NAME.fullmatch(name)]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("drop_rate", "0.5"), ("drop_rate", 1), ("drop_rate", True), ("depth", 0), ("depth", [1, "x"]),
        ("act_layer", "a.b"), ("norm_layer", {"x": 1}), ("class_token", 1), ("mlp_ratio", float("inf")),
        ("global_pool", "../x"), ("init_values", None),
    ],
)  # fmt: skip
def test_listed_arguments_take_listed_kinds_of_values(argument, value):
    with pytest.raises(ConfigError, match=f"cannot be built with this value of '{argument}'"):
        build_model(SMALL, classes=2, **{argument: value})


def test_listed_arguments_reach_timm():
    assert from_spec(spec(drop_rate=0.5)).body.drop_rate == 0.5
    network = build_model("timm/vit_tiny_patch16_224", classes=2, img_size=32, depth=2, num_heads=2, act_layer="relu")
    assert len(network.blocks) == 2
    assert isinstance(network.blocks[0].mlp.act, torch.nn.ReLU)


def test_the_command_and_the_api_refuse_them_and_list_what_is_allowed(alone, tmp_path):
    for argument in ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        for ask in (
            lambda argument=argument: build_model(SMALL, classes=2, **{argument: "x"}),
            lambda argument=argument: anatomy(SMALL, **{argument: "x"}),
            lambda argument=argument: cs.fit(
                "digits", model=SMALL, model_arg={argument: "x"}, out=str(tmp_path / "run")
            ),
        ):
            with pytest.raises(
                ConfigError, match=f"cannot be built with the option '{argument}'; expected aa_layer, .*drop_rate"
            ):
                ask()
    with pytest.raises(ConfigError, match="Did you mean drop_rate"):
        build_model(SMALL, classes=2, droprate=0.5)
    for flag in ("pretrained", "init"):
        with pytest.raises(ConfigError, match=f"cannot be built with the option '{flag}'"):
            cs.fit("digits", model=SMALL, model_arg={flag: True}, out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert not {"pretrained", "checkpoint_path", "pretrained_cfg", "cache_dir"} & set(ARGUMENTS)


OPENED: list[str] | None = None


def watch(event, arguments):
    watched = event in ("open", "os.listdir", "os.scandir", "socket.connect", "socket.getaddrinfo")
    if OPENED is not None and watched and not isinstance(arguments[0], int):  # a number: of a file opened before
        OPENED.append(str(arguments[0]))


def test_loading_opens_nothing_outside_its_folder(alone, saved):
    global OPENED
    Bundle.load(saved)  # modules are imported the first time
    sys.addaudithook(watch)  # for good: it is quiet outside this test
    OPENED = []
    try:
        Bundle.load(saved)
        opened = OPENED
    finally:
        OPENED = None
    assert opened
    assert [path for path in opened if not path.startswith(str(saved.resolve()))] == []
