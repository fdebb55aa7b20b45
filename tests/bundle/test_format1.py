"""A run of the first version, in format 1, loads and predicts what it predicted then.

`format1.zip` holds the run of a linear model on 240 digits, the digits, and what that version predicted.
"""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import clearsight as cs
from clearsight.bundle import FORMAT, format1
from clearsight.cli.main import main
from clearsight.runs.folder import run_options, run_recipe
from clearsight.train.config import TrainConfig

ARCHIVE = Path(__file__).with_name("format1.zip")


@pytest.fixture(scope="module")
def previous(tmp_path_factory):
    folder = tmp_path_factory.mktemp("format1")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def images(previous):
    return np.load(previous / "digits240.npz", allow_pickle=False)["images"]


def require_same(predictions, expected):
    assert len(predictions) == len(expected)
    for found, then in zip(predictions, expected, strict=True):
        assert (found.label, list(found.set)) == (then["label"], then["set"])
        for name in ("probability", "uncertainty"):
            assert getattr(found, name) == pytest.approx(then[name], abs=1e-6), name
        assert found.ood_percentile is None, "its OOD scores missed far-OOD images and are not used any more"


def test_a_bundle_gives_the_same_predictions(previous, images):
    expected = json.loads((previous / "expected.json").read_text())["predictions"]
    model = cs.load(previous / "run")
    require_same(model.predict(list(images[: len(expected)])), expected)


def test_a_bundle_is_saved_in_the_current_format(previous, images, tmp_path):
    model = cs.load(previous / "run")
    model.predictor.bundle.save(tmp_path / "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["format"] == FORMAT == 2
    assert card["network"]["model_args"] == {}
    assert card["geometry"]["resize_mode"] == "squash"
    assert {"task_card", "ood_detector"} < set(card)
    assert not {"answer", "limits"} & set(card)
    again = cs.load(tmp_path / "model")
    assert again.predict(list(images[:10])) == model.predict(list(images[:10]))


def test_a_run_is_evaluated_on_its_test_split(previous):
    expected = json.loads((previous / "expected.json").read_text())["evaluation"]
    found = cs.evaluate(previous / "run", previous / "digits240.npz").to_dict()
    assert found["n"] == expected["n"], "images of the training are excluded"
    for name in ("accuracy", "ece", "log_loss"):
        assert found[name] == pytest.approx(expected[name], abs=1e-6)


def test_the_options_of_a_run_are_those_of_today(previous):
    options = run_options(previous / "run")
    config = TrainConfig.from_options(**options)
    assert (config.data.resize_mode, config.run.auto_fix, config.optimization.epochs) == ("squash", False, 2)
    assert run_recipe(previous / "run")["model_args"] == {}


def test_the_config_of_a_run_trains_the_same_model_again(previous, images, tmp_path):
    recorded = json.loads((previous / "run" / "config.json").read_text())["options"]
    old = {name for section in recorded.values() for name in section}
    options = run_options(previous / "run")
    assert {*(format1.OPTIONS.get(name, name) for name in old), "order"} == set(options), "no option is lost"
    assert options["order"] == "listed", "the order of the images is that of its version"
    given = {name: value for name, value in options.items() if value is not None and name not in ("out", "resume")}
    run = cs.fit(previous / "digits240.npz", out=tmp_path / "again", **given)
    then = json.loads((previous / "run" / "metrics.json").read_text())["test"]
    assert run.metrics["test"]["n"] == then["n"]
    assert run.metrics["test"]["accuracy"] == pytest.approx(then["accuracy"], abs=0.02)
    assert run.metrics["test"]["log_loss"] == pytest.approx(then["log_loss"], abs=1e-3)
    first = cs.load(previous / "run").predict(list(images[:20]))
    for found, expected in zip(run.model.predict(list(images[:20])), first, strict=True):
        assert found.probability == pytest.approx(expected.probability, abs=1e-3)


def test_an_unfinished_run_is_resumed_with_its_old_options(previous, tmp_path):
    folder, data = tmp_path / "unfinished", previous / "digits240.npz"
    folder.mkdir()
    old = json.loads((previous / "run" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**old, "data": str(data)}))
    run = cs.fit(data, out=folder, resume=True)
    then = json.loads((previous / "run" / "metrics.json").read_text())["test"]
    assert run.metrics["test"]["log_loss"] == pytest.approx(then["log_loss"], abs=1e-3)
    written = json.loads((folder / "config.json").read_text())["options"]
    assert written["data"]["resize_mode"] == "squash"
    assert "fit" not in written["data"]


def test_networks_within_networks_are_mapped():
    old = {
        "kind": "ensemble", "temperatures": [1.0, 2.0],
        "members": [{"kind": "network", "knobs": {"width": 8}}, {"kind": "probe", "knobs": {}}],
    }  # fmt: skip
    new = format1.network_from(old)
    assert [member["model_args"] for member in new["members"]] == [{"width": 8}, {}]
    assert format1.network_from(new) == new


def test_the_card_of_an_index_is_mapped():
    assert format1.index_from({"said": ["a"], "names": ["1"]}) == {"descriptions": ["a"], "names": ["1"]}
    assert format1.index_from("no card") == "no card"


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (["check", "digits"], "renamed to `clearsight audit`"),
        (["see", "runs/digits"], "renamed to `clearsight visualize`"),
        (["shattered"], "renamed to `clearsight gradient-correlation`"),
        (["train", "digits", "--fit", "crop"], "renamed to --resize-mode"),
        (["train", "digits", "--heal"], "renamed to --auto-fix"),
        (["evaluate", "runs/digits", "--views", "mirror"], "renamed to --tta"),
        (["compare", "digits", "--rungs=hog+svm"], "renamed to --candidates"),
        (["locate", "runs/digits", "a.jpg", "--strange"], "renamed to --keep-ood"),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(words, new, capsys):
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert new in capsys.readouterr().err


def test_audit_of_a_run_names_robustness(previous, capsys):
    assert main(["audit", str(previous / "run")]) == 2
    assert "`audit RUN` was renamed to `clearsight robustness" in capsys.readouterr().err
