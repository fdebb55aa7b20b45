"""Search on the digits: it finds what is better, goes on where it stopped, and leaves the test images alone."""

import json

import pytest

from clearsight.cli.main import main
from clearsight.config import Config
from clearsight.data.sources import read
from clearsight.errors import CheckpointError, ConfigError
from clearsight.train.search import search

FIXED = {
    "epochs": 2, "model": "resnet8", "model_arg": {"width": 8}, "opt": "adamw", "batch_size": 64, "augment": "none",
    "label_smoothing": 0.0, "weight_decay": 0.05,
}  # fmt: skip


def find(path, trials, **changes):
    options = {**FIXED, **changes}
    folds = options.pop("score_folds", 1)
    config = Config.from_options(**options)
    return search(read("digits"), config, options, trials=trials, seconds=None, storage=path, folds=folds)


def test_the_rate_is_what_is_left_and_the_best_is_not_an_end_of_the_scale(tmp_path):
    found = find(tmp_path / "study.db", 8)
    assert all(set(t.options) == {"lr"} for t in found.trials)
    assert found.best.log_loss == min(t.log_loss for t in found.trials if t.log_loss is not None)
    worst = max((t for t in found.trials if t.log_loss is not None), key=lambda t: t.log_loss)
    assert found.best.accuracy > worst.accuracy
    assert found.best.options["lr"] > 1e-3  # two epochs at a tiny rate learn nothing


def test_a_study_goes_on_and_other_options_need_another_folder(tmp_path):
    first = find(tmp_path / "study.db", 2)
    again = find(tmp_path / "study.db", 3)
    assert len(again.trials) == 3
    assert again.trials[:2] == first.trials
    with pytest.raises(CheckpointError, match="holds a search of other images or with other options"):
        find(tmp_path / "study.db", 1, seed=1)
    assert find(tmp_path / "study.db", 3).trials == again.trials


def test_folds_score_a_trial_on_each_in_turn(tmp_path):
    found = find(tmp_path / "study.db", 1, score_folds=2, lr=0.005, augment="none", folds=2)
    assert found.folds == 2
    assert found.best.log_loss is not None


def test_frozen_features_leave_nothing_to_search(tmp_path, photos):
    with pytest.raises(ConfigError, match="Add --freeze lower"):
        search(read(photos), Config(), {}, trials=1, seconds=None, storage=tmp_path / "s.db")


def test_the_command_prints_the_command_to_run_next(tmp_path, capsys):
    words = ["--trials", "1", "--epochs", "1", "--model", "resnet8", "--model-arg", "width=8", "--lr", "0.005"]
    assert main(["tune", "digits", *words, "--out", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["command"].startswith("clearsight train digits --model resnet8 --model-arg width=8 --epochs 1")
    assert "trial" in (tmp_path / "search.html").read_text().lower()
