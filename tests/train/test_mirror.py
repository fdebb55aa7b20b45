"""Whether mirror images are trained on: asked of images whose answer is known."""

import numpy as np
import pytest

from clearsight.config import Config
from clearsight.data.sources import read
from clearsight.train import scratch
from clearsight.train.fit import fit
from clearsight.train.mirror import MirrorTrial


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
    fitted = fit(read(halves(kind)), Config.from_options(model="lenet5", epochs=3, batch_size=16))
    decision = next(d for d in fitted.decisions if d.what == "augmentation")
    assert decision.choice == chosen
    assert fitted.training.augment == chosen
    assert "seen 3 times only" in decision.why


def test_few_images_or_many_epochs_are_changed_a_little(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("no trial is needed")

    monkeypatch.setattr(scratch, "mirror_trial", refuse)
    few = fit(read(halves("sides")), Config.from_options(model="lenet5", epochs=1))
    assert few.training.augment == "light"
    monkeypatch.setattr(scratch, "MANY_SMALL", 100)
    monkeypatch.setattr(scratch, "OFTEN", 1)
    often = fit(read(halves("sides")), Config.from_options(model="lenet5", epochs=1))
    assert often.training.augment == "light"
    asked = fit(read(halves("sides")), Config.from_options(model="lenet5", epochs=1, augment="noise"))
    assert asked.training.augment == "noise"


def test_mirror_images_must_clearly_harm_to_be_left_out():
    """Losses of 1, and with mirror images 1.4 in every fourth image: a rise of 0.1, which is a tenth."""
    plain = np.ones(400)
    trial = MirrorTrial(plain, plain + 0.4 * (np.arange(400) % 4 == 0))
    assert trial.rise == pytest.approx(0.1)
    assert trial.error == pytest.approx(0.4 * (0.25 * 0.75 / 400) ** 0.5)
    assert trial.advised
    assert not MirrorTrial(plain, plain + 0.5 * (np.arange(400) % 4 == 0)).advised, "an eighth more is too much"
    doubt = MirrorTrial(plain, plain + np.where(np.arange(400) % 2, 4.0, -3.6))
    assert doubt.rise == pytest.approx(0.2)
    assert doubt.advised, "a fifth more, but within two standard errors of 0.19"
