"""The decisions of `fit`, on real images."""

import json

import numpy as np
import pytest

import clearsight as cs
from clearsight.config import Config
from clearsight.data.sources import read
from clearsight.train.fit import fit


def test_small_images_are_learned_from_scratch():
    fitted = fit(read("digits"), Config.from_options(epochs=2))
    assert fitted.recipe.kind == "scratch"
    assert fitted.recipe.img_size == 8
    assert len(fitted.history) == 2
    assert any("below 48" in d.why for d in fitted.decisions)


def test_photographs_get_a_head_on_pretrained_features(photos):
    fitted = fit(read(photos), Config.from_options(img_size=96))
    assert fitted.recipe.kind == "probe"
    assert len(fitted.judged) == 72, "out-of-fold logits cover every development image"
    assert {c.head for c in fitted.candidates} == {"softmax", "kernel SVM"}
    chosen = next(d for d in fitted.decisions if d.what == "head")
    assert "of 21 candidates" in chosen.why


def test_the_test_split_is_never_read(photos, monkeypatch):
    """Wrong labels on the test images change nothing of the fitted model."""
    dataset = read("digits")
    fitted = fit(dataset, Config.from_options(epochs=1))
    spoilt = dataset.labels.copy()
    spoilt[fitted.prepared.split.test] = (spoilt[fitted.prepared.split.test] + 1) % 10
    given = np.full(len(dataset), "train", dtype="<U5")
    given[fitted.prepared.split.test] = "test"
    from dataclasses import replace

    honest = fit(replace(dataset, given=given), Config.from_options(epochs=1))
    other = fit(replace(dataset, given=given, labels=spoilt), Config.from_options(epochs=1))
    for a, b in zip(
        honest.bundle.network.state_dict().values(), other.bundle.network.state_dict().values(), strict=True
    ):
        assert np.array_equal(a.numpy(), b.numpy())


def test_fit_auto_measures_and_says_so(tmp_path, photos):
    run = cs.fit(photos, out=str(tmp_path / "run"), img_size=64, fit="auto")
    decision = next(d for d in run.metrics["recipe"] if d["what"] == "fit")
    assert all(name in decision["why"] for name in ("squash", "pad", "crop"))
    assert run.predictor.bundle.geometry.fit == decision["choice"]


def test_fine_tuning_is_kept_only_if_validation_agrees(tmp_path, photos):
    run = cs.fit(photos, out=str(tmp_path / "run"), img_size=64, budget="20s", epochs=1)
    decision = next(d for d in run.metrics["recipe"] if d["what"] == "fine-tuning")
    assert decision["choice"] in ("kept", "not kept")
    assert "validation accuracy" in decision["why"]
    history = (run.folder / "history.csv").read_text().splitlines()
    assert len(history) == 2


def test_a_budget_too_small_for_an_epoch_is_said(tmp_path, photos):
    run = cs.fit(photos, out=str(tmp_path / "run"), img_size=64, budget="0.01s")
    decision = next(d for d in run.metrics["recipe"] if d["what"] == "fine-tuning")
    assert decision["choice"] == "left out"


def test_the_same_seed_gives_the_same_run(tmp_path):
    a = cs.fit("digits", out=str(tmp_path / "a"), epochs=2, seed=3)
    b = cs.fit("digits", out=str(tmp_path / "b"), epochs=2, seed=3)
    c = cs.fit("digits", out=str(tmp_path / "c"), epochs=2, seed=4)
    weights = [(r.folder / "model" / "weights.safetensors").read_bytes() for r in (a, b, c)]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]
    assert a.metrics["test"] == b.metrics["test"]


def test_sixteen_bit_images_stay_sixteen_bit():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    # the classes differ below the eighth bit alone: 8-bit pixels could not tell them apart
    images = (rng.integers(30000, 30100, (60, 12, 12)) + labels[:, None, None] * 100).astype(np.uint16)
    images[:, 0, 0], images[:, 0, 1] = 29000, 31000
    fitted = fit(read((images, labels)), Config.from_options(epochs=10, augment="none", lr=0.01))
    assert fitted.bundle.form.bits == 16
    assert fitted.prepared.pixels.array.dtype == np.uint16


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "timm/resnet10t"])
def test_named_networks_train_from_scratch(tmp_path, name):
    options = {"pretrained": False, "img_size": 32} if name.startswith("timm") else {}
    run = cs.fit("digits", out=str(tmp_path / "run"), model=name, epochs=1, **options)
    assert json.loads((run.folder / "config.json").read_text())["recipe"]["model"] == name
    assert cs.load(run.folder).predict(np.zeros((1, 8, 8), np.uint8))[0].label in run.predictor.classes


def test_weights_that_cannot_be_downloaded_are_named(tmp_path, photos, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(cs.ClearsightError, match="published weights of timm/resnet10t could not be downloaded"):
        cs.fit(photos, out=str(tmp_path / "run"), model="timm/resnet10t", pretrained=True)


def test_evaluate_on_other_data(tmp_path, digits_run, digits_arrays):
    images, labels = digits_arrays
    found = cs.evaluate(digits_run, (images[:100], labels[:100]))
    assert found.n == 100
    with pytest.raises(cs.ClearsightError, match="classes the model does not know; found cat"):
        cs.evaluate(digits_run, (images[:4], ["cat", "0", "1", "2"]))
