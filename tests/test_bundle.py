"""What is saved is what is loaded, bit for bit; what is broken is named."""

import errno
import json
import os
import stat

import numpy as np
import pytest
import torch

import clearsight as cs
from clearsight.bundle import Bundle
from clearsight.data.sources.builtin import digits
from clearsight.errors import BundleError, OutputError


@pytest.mark.parametrize("run", ["digits_run", "photos_run"])
def test_reloaded_logits_are_bit_equal(run, request, tmp_path):
    folder = request.getfixturevalue(run)
    before = cs.load(folder, engine="torch")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, *before.shape), dtype=np.uint8)
    before.bundle.save(tmp_path / "again")
    after = cs.load(tmp_path / "again", engine="torch")
    assert np.array_equal(before.logits(images), after.logits(images))
    assert np.array_equal(before.predict_proba(images), after.predict_proba(images))
    assert before.predict(images) == after.predict(images)


def test_a_trained_predictor_and_its_reload_agree_bit_for_bit(tmp_path):
    run = cs.fit("digits", out=str(tmp_path / "run"), epochs=2)
    images = digits(None).source.images[:50]
    assert np.array_equal(run.predictor.logits(images), cs.load(tmp_path / "run").logits(images))


def test_the_folder_holds_no_pickle(digits_run):
    assert sorted(p.name for p in (digits_run / "model").iterdir()) == [
        "card.json",
        "limits.safetensors",
        "weights.safetensors",
    ]
    card = json.loads((digits_run / "model" / "card.json").read_text())
    assert card["classes"] == [str(d) for d in range(10)]
    assert card["pixels"] == {"channels": 1, "bits": 8}
    assert card["scores"]["test"]["n"] == 450


def test_others_may_read_it(digits_run):
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((digits_run / "model").stat().st_mode) == 0o777 & ~umask
    for file in (digits_run / "model").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda m: (m / "card.json").write_text("{"), "holds a broken model; found JSONDecodeError"),
        (lambda m: (m / "card.json").unlink(), "holds no model"),
        (lambda m: (m / "weights.safetensors").write_bytes(b"x" * 40), "holds a broken model"),
        (
            lambda m: (m / "card.json").write_text(
                (m / "card.json").read_text().replace('"format": 1', '"format": 99')
            ),
            "newer Clearsight; found format 99; expected at most 1",
        ),
        (
            lambda m: (m / "weights.safetensors").write_bytes((m / "weights.safetensors").read_bytes()[:-100]),
            "holds a broken model",
        ),
    ],
)
def test_a_spoilt_folder_is_named(digits_run, tmp_path, spoil, text):
    Bundle.load(digits_run).save(tmp_path / "run" / "model")
    spoil(tmp_path / "run" / "model")
    with pytest.raises(BundleError, match=text):
        Bundle.load(tmp_path / "run")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"nothing holds no model; found no such folder"):
        Bundle.load(tmp_path / "nothing")


def test_a_full_disk_leaves_nothing_half_written(digits_run, tmp_path, monkeypatch):
    bundle = Bundle.load(digits_run)

    def full(tensors, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("clearsight.bundle.save_file", full)
    with pytest.raises(OutputError, match=r"the model cannot be written.*the disk is full"):
        bundle.save(tmp_path / "run" / "model")
    assert list((tmp_path / "run").iterdir()) == []


def test_saving_over_an_older_model_replaces_it_whole(digits_run, tmp_path):
    bundle = Bundle.load(digits_run)
    bundle.save(tmp_path / "model")
    bundle.with_scores({"new": 1}).save(tmp_path / "model")
    assert Bundle.load(tmp_path / "model").scores == {"new": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_loading_runs_no_foreign_code(digits_run, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickle on the loading path")

    monkeypatch.setattr("pickle.load", refuse)
    monkeypatch.setattr("pickle.loads", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    cs.load(digits_run)
