"""What is saved is what is loaded, bit for bit; what is broken is named."""

import errno
import json
import os
import shutil
import stat

import numpy as np
import pytest
import torch

import clearsight as cs
from clearsight.bundle import FORMAT, Bundle
from clearsight.data.sources.builtin import digits
from clearsight.disk import write_json
from clearsight.errors import BundleError, OutputError
from clearsight.runs.folder import run_options


@pytest.mark.parametrize("run", ["digits_run", "photos_run"])
def test_reloaded_logits_are_bit_equal(run, request, tmp_path):
    folder = request.getfixturevalue(run)
    before = cs.load(folder, engine="torch").predictor
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, *before.shape), dtype=np.uint8)
    before.bundle.save(tmp_path / "again")
    after = cs.load(tmp_path / "again", engine="torch").predictor
    assert np.array_equal(before.logits(images), after.logits(images))
    assert np.array_equal(before.predict_proba(images), after.predict_proba(images))
    assert before.predict(images) == after.predict(images)


@pytest.mark.long
def test_a_trained_predictor_and_its_reload_agree_bit_for_bit(tmp_path):
    run = cs.fit("digits", out=str(tmp_path / "run"), epochs=2)
    images = digits(None).source.images[:50]
    assert np.array_equal(run.predictor.logits(images), cs.load(tmp_path / "run").predictor.logits(images))


def test_the_folder_holds_no_pickle(digits_run):
    assert sorted(p.name for p in (digits_run / "model").iterdir()) == [
        "card.json",
        "ood.safetensors",
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
        (lambda m: (m / "card.json").write_text("{"), "contains a damaged model; found JSONDecodeError"),
        (lambda m: (m / "card.json").unlink(), "contains no model"),
        (lambda m: (m / "weights.safetensors").write_bytes(b"x" * 40), "contains a damaged model"),
        (
            lambda m: (m / "card.json").write_text(
                (m / "card.json").read_text().replace(f'"format": {FORMAT}', '"format": 99')
            ),
            "newer version of Clearsight; found format 99; expected at most 2",
        ),
        (
            lambda m: (m / "weights.safetensors").write_bytes((m / "weights.safetensors").read_bytes()[:-100]),
            "contains a damaged model",
        ),
    ],
)
def test_a_damaged_folder_is_named(digits_run, tmp_path, spoil, text):
    Bundle.load(digits_run).save(tmp_path / "run" / "model")
    spoil(tmp_path / "run" / "model")
    with pytest.raises(BundleError, match=text):
        Bundle.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda c, n: c.update(groups={"site": ["A"] * (n - 1)}),
            "found {less} entries for groups by site; expected {n} entries, one per",
        ),
        (lambda c, n: c.update(groups={"site": "A"}), "found 1 entry for groups by site; expected {n} entries, one"),
        (lambda c, n: c["lac"].pop(), "found {less} entries for lac; expected {n} entries, one per label"),
        (lambda c, n: c["aps"].append(0.5), "found {more} entries for aps; expected {n} entries, one per label"),
        (
            lambda c, n: c["labels"].__setitem__(0, 77),
            "calibration images of unknown classes; found 77; expected 0 to 9",
        ),
        (
            lambda c, n: c["labels"].__setitem__(0, "cat"),
            "calibration images of unknown classes; found cat; expected 0 to 9",
        ),
    ],
)
def test_a_card_whose_lists_disagree_says_which(digits_run, tmp_path, change, text):
    shutil.copytree(digits_run / "model", tmp_path / "run" / "model")
    file = tmp_path / "run" / "model" / "card.json"
    card = json.loads(file.read_text())
    n = len(card["task_card"]["conformal"]["labels"])
    change(card["task_card"]["conformal"], n)
    file.write_text(json.dumps(card))
    with pytest.raises(BundleError, match=text.format(n=n, less=n - 1, more=n + 1)):
        Bundle.load(tmp_path / "run")


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors", "ood.safetensors"])
@pytest.mark.parametrize("by", ["link", "pipe", "device", "folder"])
def test_files_of_a_model_lie_in_its_folder(digits_run, tmp_path, name, by):
    """A run may come from someone else: a link in it does not have other files read, and a pipe does not block."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(digits_run / "model", run / "model")
    file = run / "model" / name
    file.rename(outside)
    if by == "pipe":
        os.mkfifo(file)
    elif by == "folder":
        outside.unlink()
        (run / "model").rename(tmp_path / "elsewhere")
        (run / "model").symlink_to(tmp_path / "elsewhere")
        shutil.copy(digits_run / "model" / name, tmp_path / "elsewhere" / name)
    else:
        file.symlink_to(outside if by == "link" else "/dev/zero")
    with pytest.raises(BundleError) as message:
        Bundle.load(run)
    if by in ("link", "folder"):
        assert "is a symbolic link that points outside its folder" in str(message.value)
        assert "replace the link with a copy of it" in str(message.value)


def test_a_run_that_is_a_link_itself_is_loaded(digits_run, tmp_path):
    (tmp_path / "latest").symlink_to(digits_run)
    assert Bundle.load(tmp_path / "latest").classes == Bundle.load(digits_run).classes
    shutil.copytree(digits_run / "model", tmp_path / "run" / "model")
    (tmp_path / "run" / "model" / "card.json").rename(tmp_path / "run" / "kept.json")
    (tmp_path / "run" / "model" / "card.json").symlink_to("../kept.json")
    Bundle.load(tmp_path / "run")


@pytest.mark.parametrize("by", ["link", "device", "loop"])
def test_options_of_a_run_lie_in_its_folder(digits_run, tmp_path, by):
    shutil.copy(digits_run / "config.json", tmp_path / "secret.json")
    (tmp_path / "run").mkdir()
    to = {"link": tmp_path / "secret.json", "device": "/dev/zero", "loop": "config.json"}[by]
    (tmp_path / "run" / "config.json").symlink_to(to)
    if by == "link":
        with pytest.raises(BundleError, match="symbolic link that points outside its folder"):
            run_options(tmp_path / "run")
    else:
        assert run_options(tmp_path / "run") == {}
    assert run_options(digits_run)["epochs"] == 12


def test_what_is_written_whole_follows_no_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (tmp_path / "out.json.partial").symlink_to(victim)
    write_json(tmp_path / "out.json", [1])
    assert victim.read_text() == "as it was"
    assert json.loads((tmp_path / "out.json").read_text()) == [1]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"nothing contains no model; found no such folder"):
        Bundle.load(tmp_path / "nothing")


def test_a_full_disk_leaves_nothing_half_written(digits_run, tmp_path, monkeypatch):
    bundle = Bundle.load(digits_run)

    def full(tensors, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("clearsight.bundle.save_file", full)
    with pytest.raises(OutputError, match=r"the model cannot be written.*no space left on the disk"):
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
