"""Whether mirror images are trained on: asked of images whose answer is known."""

from functools import partial

import numpy as np
import pytest
import torch

from clearsight.models.network import from_spec
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.fit import fit as fit_and_check
from clearsight.train.flip_symmetry import MirrorTrial
from clearsight.train.strategies import from_scratch as scratch

fit = partial(fit_and_check, find_issues=False)


def halves(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """300 noisy images of 12x12 pixels whose class is the brighter half: left or right ("sides"), or top or bottom."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    images = rng.integers(0, 120, (300, 12, 12))
    for image, label in zip(images, labels, strict=True):
        where = slice(0, 6) if label else slice(6, 12)
        image[(slice(None), where) if kind == "sides" else where] += 100
    return images.astype(np.uint8), labels


@pytest.mark.parametrize(("kind", "chosen"), [("sides", "none"), ("heights", "mirror")])
def test_mirror_images_are_left_out_where_they_change_the_class(monkeypatch, kind, chosen):
    monkeypatch.setattr(scratch, "MANY_SMALL", 100)
    fitted = fit(read(halves(kind)), TrainConfig.from_options(model="lenet5", epochs=3, batch_size=16))
    decision = next(d for d in fitted.decisions if d.what == "augmentation")
    assert decision.choice == chosen
    assert fitted.training.augmentation.augment == chosen
    assert "only 3 epochs" in decision.why


def test_few_images_or_many_epochs_are_changed_a_little(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("no trial is needed")

    monkeypatch.setattr(scratch, "mirror_trial", refuse)
    few = fit(read(halves("sides")), TrainConfig.from_options(model="lenet5", epochs=1))
    assert few.training.augmentation.augment == "light"
    monkeypatch.setattr(scratch, "MANY_SMALL", 100)
    monkeypatch.setattr(scratch, "OFTEN", 1)
    often = fit(read(halves("sides")), TrainConfig.from_options(model="lenet5", epochs=1))
    assert often.training.augmentation.augment == "light"
    asked = fit(read(halves("sides")), TrainConfig.from_options(model="lenet5", epochs=1, augment="noise"))
    assert asked.training.augmentation.augment == "noise"


def test_mirror_images_must_clearly_harm_to_be_left_out():
    """Of 400 images all are named rightly, and with mirror images all but some."""

    def trial(wrong: int) -> MirrorTrial:
        return MirrorTrial(np.ones(400, bool), np.arange(400) >= wrong)

    assert trial(8).loss == pytest.approx(0.02)
    assert trial(8).error == pytest.approx((0.02 * 0.98 / 400) ** 0.5)
    assert not trial(8).advised, "0.02 is nearly three errors of 0.007"
    assert trial(2).advised, "half a point is nothing"
    assert trial(3).advised, "0.0075 is within two errors of 0.0043"


def test_a_network_answers_with_the_mean_over_an_image_and_its_mirror_image(monkeypatch):
    monkeypatch.setattr(scratch, "MANY_SMALL", 100)
    fitted = fit(read(halves("heights")), TrainConfig.from_options(model="lenet5", epochs=2, batch_size=16))
    network, images = fitted.bundle.network, torch.rand(3, 1, 12, 12)
    text = next(d.choice for d in fitted.decisions if d.what == "views")
    assert text == ", ".join(network.views)
    network.set_views(("as it is", "left-right"))
    with torch.inference_mode():
        both, features = network.with_features(images)
        turned, of_turned = network.with_features(images.flip(3))
        network.set_views(("as it is",))
        alone = [network(x) for x in (images, images.flip(3))]
    assert torch.allclose(both, torch.stack(alone).mean(0), atol=1e-6)
    assert torch.allclose(both, turned, atol=1e-6)
    assert torch.allclose(features, of_turned, atol=1e-6)
    assert from_spec({**network.spec, "views": ["as it is", "left-right"]}).views == ("as it is", "left-right")
