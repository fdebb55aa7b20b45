"""What test images are evaluated by: the features that runs share must be those of the model itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clearsight.bundle import Bundle
from clearsight.models import execution
from clearsight.models.network import VIEWS
from clearsight.predictor import Predictor
from clearsight.tasks import read
from clearsight.train import features
from clearsight.train.config import TrainConfig
from clearsight.train.features import model_output
from clearsight.train.fit import fit


@pytest.mark.parametrize("views", [None, list(VIEWS)])
def test_it_is_what_the_model_answers(photos: Path, monkeypatch: pytest.MonkeyPatch, views: list[str] | None) -> None:
    """Whether the engine computes features of the image alone, or averages over views."""
    monkeypatch.setattr(execution, "WORTH_CONVERTING", 0)
    fitted = fit(
        read(photos),
        TrainConfig.from_options(model="efficientnet_lite0", freeze="all", img_size=32, folds=2),
        find_issues=False,
    )
    bundle: Bundle = fitted.bundle
    assert bundle.network.feature_levels is not None
    if views:
        bundle.network.set_views(views)
    predictor, pixels = Predictor(bundle, engine="torch"), fitted.prepared.pixels
    rows = np.arange(len(pixels.array))
    assert len(rows) >= execution.FEW
    stored, own = model_output(predictor, pixels, rows), predictor.forward(pixels.view(rows))
    np.testing.assert_allclose(stored.features, own.features, atol=1e-2)
    np.testing.assert_allclose(stored.logits, own.logits, atol=1e-2)


def test_heads_on_the_same_features_share_them(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished model asks for features under the name that the search for its head gave them."""
    fitted = fit(
        read(photos), TrainConfig.from_options(model="efficientnet_lite0", freeze="all", img_size=32, folds=2),
        find_issues=False,
    )  # fmt: skip
    predictor, prepared = Predictor(fitted.bundle), fitted.prepared
    rows = np.sort(np.concatenate([prepared.split.train, prepared.split.val]))
    monkeypatch.setattr(features, "engine_for", lambda *_: pytest.fail("computed again"))
    assert len(model_output(predictor, prepared.pixels, rows).logits) == len(rows)
