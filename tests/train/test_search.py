"""Search on the digits: it finds what is better, goes on where it stopped, and leaves the test images alone."""

import argparse
import json
import shlex
from types import SimpleNamespace

import numpy as np
import pytest

from clearsight.cli.main import main
from clearsight.cli.options import add_config, chosen
from clearsight.data.scan import scan
from clearsight.errors import CheckpointError, ConfigError
from clearsight.report.search_page import best_command, write_search_page
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.recipe import Recipe, network_options, plan
from clearsight.train.search import search, space
from clearsight.wording import percent, points

FIXED = {
    "epochs": 2, "model": "resnet8", "model_arg": {"width": 8}, "opt": "adamw", "batch_size": 64, "augment": "none",
    "label_smoothing": 0.0, "weight_decay": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def few_digits(digits_arrays):
    """500 digits and their labels."""
    return digits_arrays[0][:500], digits_arrays[1][:500]


def find(path, trials, data="digits", **changes):
    options = {**FIXED, **changes}
    folds = options.pop("score_folds", 1)
    config = TrainConfig.from_options(**options)
    return search(read(data), config, options, trials=trials, seconds=None, storage=path, folds=folds)


@pytest.mark.long
def test_the_rate_is_what_is_left_and_the_best_is_not_an_end_of_the_scale(tmp_path):
    found = find(tmp_path / "study.db", 8)
    assert all(set(t.options) == {"lr"} for t in found.trials)
    assert found.best.log_loss == min(t.log_loss for t in found.trials if t.log_loss is not None)
    worst = max((t for t in found.trials if t.log_loss is not None), key=lambda t: t.log_loss)
    assert found.best.accuracy > worst.accuracy
    assert found.best.options["lr"] > 1e-3  # two epochs at a tiny rate learn nothing


def test_a_study_goes_on_and_other_options_need_another_folder(few_digits, tmp_path):
    first = find(tmp_path / "study.db", 2, few_digits)
    again = find(tmp_path / "study.db", 3, few_digits)
    assert len(again.trials) == 3
    assert again.trials[:2] == first.trials
    assert len({t.options["lr"] for t in again.trials}) == 3, "what was tried is not drawn again"
    with pytest.raises(CheckpointError, match="contains a search with different images or options"):
        find(tmp_path / "study.db", 1, few_digits, seed=1)
    assert find(tmp_path / "study.db", 3, few_digits).trials == again.trials


def test_folds_score_a_trial_on_each_in_turn(few_digits, tmp_path):
    found = find(tmp_path / "study.db", 1, few_digits, score_folds=2, lr=0.005, augment="none", folds=2)
    assert found.folds == 2
    best, text = found.best, found.to_dict()["best"]
    assert best.log_loss == pytest.approx(sum(best.log_losses) / 2)
    assert best.accuracy == pytest.approx(sum(best.accuracies) / 2)
    assert text["log_losses"] == best.log_losses
    assert text["log_loss_deviation"] == pytest.approx(abs(best.log_losses[0] - best.log_losses[1]) / 2**0.5)
    assert text["accuracy_deviation"] == pytest.approx(abs(best.accuracies[0] - best.accuracies[1]) / 2**0.5)
    write_search_page(tmp_path / "search.html", found, name="digits", origin="digits")
    page = (tmp_path / "search.html").read_text()
    assert f"{percent(best.accuracy)} ± {points(text['accuracy_deviation'])}" in page


def test_frozen_features_leave_nothing_to_search(tmp_path, photos):
    with pytest.raises(ConfigError, match="Add --freeze lower"):
        search(read(photos), TrainConfig(), {}, trials=1, seconds=None, storage=tmp_path / "s.db")


def test_the_command_prints_the_command_to_run_next(tmp_path, capsys):
    words = ["--trials", "1", "--epochs", "1", "--model", "resnet8", "--model-arg", "width=8", "--lr", "0.005"]
    assert main(["tune", "digits", *words, "--out", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["command"].startswith("clearsight train digits --model resnet8 --model-arg width=8 --epochs 1")
    assert "trial" in (tmp_path / "search.html").read_text().lower()


def suggested(recipe, images=400, **options):
    """What a trial may choose, by name: the choices, or the least and the largest."""
    asked = {}

    def categorical(name, choices):
        asked[name] = choices
        return choices[0]

    def number(name, low, high, log):
        asked[name] = low, high
        return low

    trial = SimpleNamespace(suggest_categorical=categorical, suggest_float=number)
    space(TrainConfig.from_options(**options), recipe, options, images, images)(trial)
    return asked


def test_the_space_holds_what_training_would_choose_itself():
    plain = suggested(Recipe("scratch", "resnet8", {"width": 64}, 28, ()))
    assert plain["lr"] == pytest.approx((1e-4, 1e-1))
    assert plain["width"] == [8, 16, 32, 64]
    assert "mirror" in plain["augment"]
    assert plain["opt"] == ["adamw", "nesterov"]
    assert "muon" in suggested(Recipe("scratch", "resnet8", {"width": 64}, 28, ()), images=20_000)["opt"]
    assert suggested(Recipe("scratch", "resnet18", {}, 28, ()), model="resnet18")["width"] == [8, 16, 32, 64]
    assert suggested(Recipe("scratch", "resnet8", {}, 28, ()), opt="lars")["lr"] == pytest.approx((0.1, 100))


def test_the_space_leaves_out_what_training_would_refuse():
    recipe = Recipe("scratch", "resnet8", {}, 28, ())
    assert "weight_decay" not in suggested(recipe, opt="lbfgs")
    assert "lr" not in suggested(recipe, lr_find=True)
    assert {"weight_decay", "lr"} <= set(suggested(recipe))


@pytest.mark.parametrize("options", [{"resume": True}, {"auto_fix": True}])
def test_a_search_is_not_resumed_or_fixed(tmp_path, options):
    with pytest.raises(ConfigError, match="a search supports neither --resume nor --auto-fix"):
        find(tmp_path / "study.db", 1, **options)


@pytest.mark.long
def test_the_command_trains_the_network_of_the_best_trial(tmp_path):
    """Larger images than the ones the network was made for, which --model alone would make smaller."""
    rng, labels = np.random.default_rng(0), np.arange(40) % 2
    images = rng.integers(0, 100, (40, 40, 40), dtype=np.uint8) + (100 * labels[:, None, None]).astype(np.uint8)
    data = read((images, labels))
    options = {"epochs": 1, "lr": 0.01, "batch_size": 16, "augment": "none"}
    found = search(
        data, TrainConfig.from_options(**options), options, trials=1, seconds=None, storage=tmp_path / "study.db"
    )
    parser = argparse.ArgumentParser()
    add_config(parser)
    words = shlex.split(best_command(found, "digits"))[3:]
    recipe = plan(TrainConfig.from_options(**chosen(parser.parse_args(words))), scan(data))
    best = found.best.options
    assert (recipe.kind, recipe.model, recipe.img_size) == ("scratch", best["model"], 40)
    assert recipe.model_args.get("width", 16) == best["model_arg"]["width"]


def test_options_that_name_a_network_leave_out_its_model_args():
    recipe = Recipe("scratch", "resnet20", {"width": 16, "patch": 2}, 40, ())
    wanted = {"pretrained": False, "model": "resnet20", "model_arg": {"patch": 2}, "img_size": 40}
    assert network_options(recipe) == wanted
