"""The strategy by measurement: networks, sizes and depths are tried, and what is kept is what was validated."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.fit import fit as fit_and_check
from clearsight.train.halving import Trial
from clearsight.train.strategies import depth_selection, fine_tune

fit = partial(fit_and_check, find_issues=False)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of the search is taken, and lasts two steps of training."""
    monkeypatch.setattr(Trial, "may_improve", True)
    monkeypatch.setattr(depth_selection, "STEPS", 2)
    monkeypatch.setattr(fine_tune, "ENOUGH_STEPS", 1)
    monkeypatch.setattr(fine_tune, "ENOUGH_EPOCHS", 2)


def test_a_set_without_errors_is_not_searched(photos: Path) -> None:
    fitted = fit(read(photos), TrainConfig.from_options(img_size=64))
    assert [trial.name for trial in fitted.trials] == ["efficientnet_lite0 at 64 pixels", depth_selection.HEAD_ALONE]
    decisions = {d.what: d for d in fitted.decisions}
    assert decisions["network and size"].choice == "efficientnet_lite0 at 64 pixels"
    assert "more time" not in decisions
    assert not fitted.tuned


@pytest.mark.parametrize("beaten", [True, pytest.param(False, marks=pytest.mark.long)])
def test_every_candidate_is_tried_and_the_better_is_kept(
    photos: Path, eager: None, monkeypatch: pytest.MonkeyPatch, beaten: bool
) -> None:
    """The validation logits are those that the network gives. beaten: whether training layers is better."""
    monkeypatch.setattr(Trial, "accuracy", property(lambda trial: float(beaten and trial.name == "kept")))
    monkeypatch.setattr(Trial, "beats", lambda trial, other: False)
    monkeypatch.setattr(fine_tune, "_gains", lambda *_: False)
    fitted = fit(read(photos), TrainConfig.from_options(img_size=32, model="efficientnet_lite0", folds=2, budget="10m"))
    names = [trial.name for trial in fitted.trials]
    assert names[-3:] == [
        depth_selection.HEAD_ALONE,
        "training the blocks above blocks.4",
        "training the blocks above blocks.1",
    ]
    decisions = {d.what: d for d in fitted.decisions}
    assert decisions["more time"].choice.startswith("--budget")
    assert fitted.tuned == beaten
    assert not fitted.bundle.network.member_networks, "a tie is won by one network"
    network, rows = fitted.bundle.network.eval(), fitted.prepared.split.val
    assert np.isfinite(fitted.val_logits).all()
    if beaten:
        with torch.inference_mode():
            given = network(torch.from_numpy(fitted.prepared.pixels.array[rows] / np.float32(255))).numpy()
        order = np.argsort(fitted.validation_indices)
        np.testing.assert_allclose(fitted.val_logits[order], given[np.argsort(rows)], rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("promising", [False, pytest.param(True, marks=pytest.mark.long)])
def test_without_a_budget_layers_are_trained_only_where_a_short_training_comes_close(
    photos: Path, eager: None, monkeypatch: pytest.MonkeyPatch, promising: bool
) -> None:
    monkeypatch.setattr(depth_selection, "PROMISING", 100.0 if promising else -100.0)
    monkeypatch.setattr(depth_selection, "usual_epochs", lambda *_: 2)
    fitted = fit(read(photos), TrainConfig.from_options(img_size=32, model="efficientnet_lite0", folds=2))
    assert [trial.name for trial in fitted.trials][-3] == depth_selection.HEAD_ALONE
    decisions = {d.what: d for d in fitted.decisions}
    assert ("epochs" in decisions) == promising
    assert ("training layers" in decisions) != promising
    assert decisions["more time"].choice == "--budget 10m"
    assert fitted.tuned <= promising


@pytest.mark.long
def test_a_short_budget_trains_the_head_only(photos: Path) -> None:
    fitted = fit(read(photos), TrainConfig.from_options(img_size=64, budget="30s"))
    assert not fitted.trials
    assert not fitted.tuned
