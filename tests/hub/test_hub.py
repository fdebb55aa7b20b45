"""Models on the Hub: the round trip through a server on this machine, the model card, names, and what is not shared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard, constants
from safetensors.numpy import load_file

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import BundleError, ConfigError, OutputError
from clearsight.hub.names import HubName, hub_name, target_name
from tests.hub.hub_server import TOKEN, Hub, hub_server

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # of httpx, for huggingface_hub's uploads


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub, with an account that may write."""
    with hub_server() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        template = f"{served.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.chdir(tmp_path)
        yield served


@pytest.fixture(scope="module")
def files(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a repository, not uploaded."""
    folder = tmp_path_factory.mktemp("hub") / "digits"
    cs.push(digits_run, "me/digits", license="apache-2.0", intended_use="Reading digits.", out=folder)
    return folder


def test_a_model_makes_the_round_trip(hub, digits_run, digits_arrays, monkeypatch):
    images = list(digits_arrays[0][:64])
    original = cs.load(digits_run)
    first = original.push("me/digits", license="apache-2.0")
    assert first.url == f"{hub.address}/me/digits"
    found = cs.load("me/digits").predict(images)
    assert found == original.predict(images)
    stored = hub.files("me/digits", "main")[1]
    assert set(stored) == {"README.md", "config.json", "model.safetensors", "ood.safetensors", "split.csv"}

    hub.commit("me/digits", {**stored, "model.safetensors": b"damaged"})  # by someone else
    pinned = cs.load("me/digits", revision=first.revision)
    assert (pinned.predict_proba(images) == original.predict_proba(images)).all()
    assert cs.load(f"me/digits@{first.revision}").classes == original.classes
    with pytest.raises(BundleError, match="damaged model"):
        cs.load("me/digits")

    calls = len(hub.calls)
    monkeypatch.setenv("CLEARSIGHT_OFFLINE", "1")  # what was downloaded stays usable
    assert cs.load("me/digits", revision=first.revision).predict(images) == found
    with pytest.raises(BundleError, match="offline mode is on"):
        cs.load("me/other")
    with pytest.raises(ConfigError, match="push needs the network"):
        original.push("me/digits")
    assert len(hub.calls) == calls


def test_another_push_removes_files_that_the_new_model_has_not(hub, digits_run, tmp_path):
    cs.push(digits_run, "me/digits")
    bare = shutil.copytree(digits_run / "model", tmp_path / "bare")  # without the split of the run
    second = cs.push(bare, "me/digits")
    assert "split.csv" not in hub.files("me/digits", second.revision)[1]


def test_the_command_line_pushes_and_predicts(hub, digits_run, digits_arrays, capsys, monkeypatch):
    np.save("one.npy", digits_arrays[0][0])
    assert main(["push", str(digits_run), "me/digits", "--license", "mit", "--json"]) == 0
    pushed = json.loads(capsys.readouterr().out)
    assert pushed["missing"] == ["the intended use"]
    words = ["predict", f"me/digits@{pushed['revision']}", "one.npy", "--json"]
    assert main(words) == 0
    hubs = json.loads(capsys.readouterr().out)["predictions"][0]
    assert main(["predict", str(digits_run), "one.npy", "--json"]) == 0
    assert hubs == json.loads(capsys.readouterr().out)["predictions"][0]
    assert main(["predict", "me/nothing", "one.npy"]) == 2
    assert "me/nothing is neither a folder nor a model that can be read on the Hub" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert main(["push", str(digits_run), "me/digits"]) == 2
    error = capsys.readouterr().err
    assert "me/digits cannot be pushed" in error
    assert "hf auth login" in error


def test_the_page(hub, digits_run, digits_arrays, page, capsys):
    np.save("new.npy", digits_arrays[0][0])
    page("docs/hub.md").run({}, [("runs/photos", str(digits_run)), ("new.jpg", "new.npy")])
    assert capsys.readouterr().out.strip() == "0"


def test_a_repository_of_another_library_is_refused(hub):
    hub.commit("me/bert", {"config.json": b"{}", "README.md": b""})
    with pytest.raises(BundleError, match=r"is not a model of Clearsight; found without model\.safetensors"):
        cs.load("me/bert")
    hub.commit("me/bert", {"config.json": b"{}", "model.safetensors": b""})
    with pytest.raises(BundleError, match=r"config\.json"):
        cs.load("me/bert")


def test_the_card_has_metadata_that_the_hub_reads(files, digits_run):
    card = ModelCard.load(files / "README.md")
    test = json.loads((digits_run / "metrics.json").read_text())["test"]
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "clearsight"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.get("data_license") == "cc-by-4.0"
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert scores["accuracy"] == pytest.approx(test["accuracy"], abs=1e-6)
    assert scores["log_loss"] == pytest.approx(test["log_loss"], abs=1e-6)
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}
    metadata = yaml.safe_load(card.text and card.content.split("---")[1])
    assert metadata["model-index"][0]["name"] == "me/digits"
    low, high = test["accuracy_interval"]
    for text in (
        "Reading digits.", "licence of the data: cc-by-4.0", "trained from random weights", "## Trust panel",
        f"| Accuracy | {test['accuracy']:.4g} | {low:.4g} to {high:.4g} |", 'cs.load("me/digits")',
    ):  # fmt: skip
        assert text in card.text


def test_the_card_states_the_licence_of_pretrained_weights(photos_run, tmp_path):
    pushed = cs.push(photos_run, "me/photos", out=tmp_path / "files")
    assert "pretrained weights of efficientnet_lite0" in pushed.card
    assert "licence apache-2.0; trained on ImageNet" in pushed.card
    assert pushed.missing == ("the licence of the model", "the licence of the data", "the intended use")
    assert "licence of this model: not stated" in pushed.card
    assert ModelCard(pushed.card).data.license is None


def test_files_have_no_names_or_paths_of_the_author(photos_run, tmp_path):
    folder = tmp_path / "files"
    cs.push(photos_run, "me/photos", out=folder)
    for file in folder.iterdir():
        content = file.read_bytes()
        assert str(photos_run.parents[1]).encode() not in content
        assert b".jpg" not in content
    assert "origin" not in json.loads((folder / "config.json").read_text())["clearsight"]["data"]
    copy = shutil.copytree(photos_run, tmp_path / "run")
    names = [row.split(",")[0] for row in (copy / "split.csv").read_text().splitlines()[1:]]
    assert all(names)


def test_other_tools_find_the_files_that_they_expect(files, digits_run):
    config = json.loads((files / "config.json").read_text())
    assert config["id2label"]["3"] == "3"
    assert config["num_labels"] == 10
    tensors, expected = load_file(files / "model.safetensors"), load_file(digits_run / "model/weights.safetensors")
    assert tensors.keys() == expected.keys()
    assert all((tensors[name] == expected[name]).all() for name in expected)


def test_a_cloned_repository_is_a_model_and_knows_its_training_images(files, digits_run):
    model = cs.load(files)
    assert model.evaluate("digits").n == cs.load(digits_run).evaluate("digits").n == 450


def test_names(tmp_path, monkeypatch, digits_run):
    monkeypatch.chdir(tmp_path)
    assert hub_name("me/cells@v1.0") == HubName("me/cells", "v1.0")
    for text in ("timm/resnet18", "runs/photos", "cells", "a/b/c", "./me/cells", "me/", "/me/cells"):
        assert hub_name(text) is None
    (tmp_path / "models").mkdir()
    assert hub_name("models/photos") is None  # a path, more likely
    with pytest.raises(BundleError, match="runs/photos does not exist"):
        cs.load("runs/photos")
    with pytest.raises(ConfigError, match="is not a name on the Hub"):
        target_name("cells")
    with pytest.raises(ConfigError, match="a revision is one of a model on the Hugging Face Hub"):
        cs.load(digits_run, revision="v1")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(OutputError, match="already exists"):
        cs.push(digits_run, "me/digits", out="taken")
