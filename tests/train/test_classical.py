"""Classical models are models like any other: trained, saved, evaluated, used."""

import numpy as np
import pytest

import clearsight as cs
from clearsight.errors import ConfigError, ModelError
from clearsight.models.classical import DESCRIPTORS, check_classical


@pytest.fixture(scope="module")
def scenes():
    """Deserts and beaches, 120 pictures (N, 40, 48, 3): sky above sand, and sky above sea with a strip of sand."""
    rng = np.random.default_rng(0)
    pictures, labels = [], []
    for i in range(120):
        sky, sand, sea = np.array([[150, 190, 235], [215, 180, 120], [30, 90, 160]]) + rng.integers(-20, 20, (3, 3))
        picture = np.empty((40, 48, 3))
        horizon = rng.integers(12, 22)
        picture[:horizon] = sky
        picture[horizon:] = sand if i % 2 else sea
        if not i % 2:
            picture[rng.integers(33, 37) :] = sand
        pictures.append(np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8))
        labels.append("desert" if i % 2 else "beach")
    return np.stack(pictures), np.array(labels)


@pytest.fixture(scope="module")
def layouts():
    """Pictures of the same two patches of stripes, one above the other on even gray: which is above is the class.

    (N, 96, 96). The patches fade out on all sides, so that nothing near one of them says where the other is.
    """
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-24:24, -48:48]
    fade = np.exp(-(x**2 + y**2) / (2 * 5.0**2))
    pictures, labels = [], []
    for i in range(160):
        phase = rng.random(2) * 6
        across, along = np.sin(x * 0.9 + phase[0]), np.sin(y * 0.9 + phase[1])
        halves = (across, along) if i % 2 else (along, across)
        picture = np.concatenate([fade * half for half in halves]) + rng.normal(0, 0.05, (96, 96))
        pictures.append(np.clip(128 + 50 * picture, 0, 255).astype(np.uint8))
        labels.append("above" if i % 2 else "below")
    return np.stack(pictures), np.array(labels)


def test_two_colours_separate_a_desert_from_a_beach(tmp_path, scenes):
    run = cs.fit(*scenes, model="colours+svm", out=str(tmp_path / "run"))
    assert run.metrics["test"]["accuracy"] >= 0.95


@pytest.mark.long
def test_a_spatial_pyramid_sees_the_layout_that_a_bag_does_not(tmp_path, layouts):
    scores = {}
    for name in ("bow+svm", "pyramid+svm"):
        run = cs.fit(*layouts, model=name, model_arg={"words": 30}, out=str(tmp_path / name))
        scores[name] = run.metrics["test"]["accuracy"]
    assert scores["pyramid+svm"] >= 0.95
    assert scores["pyramid+svm"] > scores["bow+svm"] + 0.2


QUICK = ("pixels", "hog", "lbp", "bow")
"""One of each kind: pixels, gradients, a histogram, and words that are learned; the others are in the long tier."""


@pytest.mark.parametrize(
    "descriptor",
    [d if d in QUICK else pytest.param(d, marks=pytest.mark.long) for d in DESCRIPTORS if d != "features"],
)
def test_a_run_can_be_reloaded_evaluated_and_used(tmp_path, scenes, descriptor):
    images, labels = (part[:60] for part in scenes)
    options = {"words": 20} if descriptor in ("bow", "pyramid") else {"components": 4} if descriptor == "fisher" else {}
    run = cs.fit(images, labels, model=f"{descriptor}+softmax", model_arg=options, out=str(tmp_path / "run"))
    again = cs.load(run.folder).predictor
    np.testing.assert_array_equal(again.logits(images[:40]), run.predictor.logits(images[:40]))
    assert again.embed(images[:3]).ndim == 2
    likeliest = run.predictor.predict_proba(images[:2]).argmax(1)
    assert [a.label for a in again.predict(images[:2])] == [("beach", "desert")[k] for k in likeliest]
    assert f"{descriptor}+softmax" in run.report.read_text()
    assert run.metrics["model"] == f"{descriptor}+softmax"


def test_the_same_seed_gives_the_same_model(tmp_path, scenes):
    one, two = (
        cs.fit(
            scenes[0][:30],
            scenes[1][:30],
            model="bow+forest",
            model_arg={"words": 20},
            seed=3,
            out=str(tmp_path / name),
        )
        for name in ("a", "b")
    )
    np.testing.assert_array_equal(one.predictor.logits(scenes[0][:40]), two.predictor.logits(scenes[0][:40]))


@pytest.mark.parametrize("local", ["sift", pytest.param("surf", marks=pytest.mark.long)])
def test_bags_of_key_points_and_pictures_without_any(tmp_path, local):
    rng = np.random.default_rng(2)
    sizes, labels = [4, 16] * 20, ["fine", "coarse"] * 20
    images = np.stack([np.kron(rng.integers(0, 255, (64 // s, 64 // s)), np.ones((s, s))) for s in sizes])
    even = np.repeat(np.arange(20, dtype=np.uint8), 64 * 64).reshape(20, 64, 64)  # no two alike, nothing in any
    images = np.concatenate([images.astype(np.uint8), 12 * even])
    labels = np.array([*labels, *["even"] * 20])
    how = {"words": 10, "local": local}
    run = cs.fit(images, labels, model="pyramid+svm", model_arg=how, out=str(tmp_path / "run"))
    assert np.isfinite(run.predictor.logits(images)).all()
    assert not run.predictor.embed(np.zeros((1, 64, 64), np.uint8)).any()


def test_deep_features_take_any_classifier(tmp_path, scenes):
    images, labels = (part[:60] for part in scenes)
    run = cs.fit(images, labels, model="features+knn", img_size=64, out=str(tmp_path / "run"))
    assert run.metrics["test"]["accuracy"] > 0.9
    again = cs.load(run.folder).predictor
    np.testing.assert_allclose(again.logits(images[:8]), run.predictor.logits(images[:8]), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("hogg+svm", {}, "unknown descriptor 'hogg' in the model 'hogg\\+svm'; .* Did you mean hog"),
        ("hog+swm", {}, "unknown classifier 'swm' .* Did you mean svm"),
        ("hog+", {}, "unknown classifier ''"),
        (
            "hog+svm",
            {"cel": 4},
            "the descriptor hog has no option 'cel'; expected orientations, cell, block. Did you mean cell",
        ),
        ("features+svm", {"cell": 4}, "has no option 'cell'; expected no options"),
    ],
)
def test_names_and_options_that_do_not_exist(name, options, words):
    with pytest.raises(ModelError, match=words):
        check_classical(name, options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "hog+svm", "init": "he"}, "--init applies to networks, not to the classical model hog"),
        ({"model": "hog+svm", "model_arg": {"cell": "x"}}, "found cell 'x'; expected something like 8"),
        ({"model": "hog+svm", "model_arg": {"cell": 0}}, "found cell 0; expected above 0"),
        ({"model": "hog+svm", "model_arg": {"cell": 40}}, "smaller than a block of cells"),
    ],
)
def test_what_cannot_be_built(tmp_path, scenes, options, words):
    with pytest.raises((ConfigError, ModelError, cs.ClearsightError), match=words):
        cs.fit(*scenes, out=str(tmp_path / "run"), **options)
    assert not (tmp_path / "run" / "model").exists()
