"""Classical models are models like any other: trained, saved, evaluated, used."""

import numpy as np
import pytest
import torch

import clearsight as cs
from clearsight.classical.encodings import fisher
from clearsight.classical.local import at_points
from clearsight.errors import ConfigError, ModelError
from clearsight.models.classical import DESCRIPTORS, build_descriptor, check_classical


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


QUICK = ("pixels", "hog")
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


@pytest.mark.long
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


@pytest.fixture(scope="module")
def grains():
    """Squares, fine and coarse, and pictures of one gray, in which there are no key points: (60, 64, 64)."""
    rng = np.random.default_rng(2)
    sizes, labels = [4, 16] * 20, ["fine", "coarse"] * 20
    images = np.stack([np.kron(rng.integers(0, 255, (64 // s, 64 // s)), np.ones((s, s))) for s in sizes])
    even = np.repeat(np.arange(20, dtype=np.uint8), 64 * 64).reshape(20, 64, 64)  # no two alike, nothing in any
    return np.concatenate([images.astype(np.uint8), 12 * even]), np.array([*labels, *["even"] * 20])


KINDS = [(local, at) for local in ("sift", "surf", "hog", "lbp") for at in ("grid", "points")]


@pytest.mark.parametrize("descriptor", ["bow", "fisher"])
@pytest.mark.parametrize(("local", "at"), KINDS)
def test_any_local_descriptor_goes_into_any_encoding(grains, descriptor, local, at):
    """Learned and applied without a classifier: one vector an image, with levels of a pyramid, zeros without points."""
    images = torch.from_numpy(grains[0][::6, None].astype(np.float32) / 255)
    sizes = {"words": 5} if descriptor == "bow" else {"components": 3, "axes": 8}
    network = build_descriptor(descriptor, {**sizes, "local": local, "at": at, "levels": 2, "step": 8})
    network.learn(lambda: [images[:6], images[6:]], 0, None)
    found = network(images)
    each = 5 if descriptor == "bow" else 3 * (1 + 2 * 8)
    assert found.shape == (len(images), 5 * each)
    assert torch.isfinite(found).all()
    without = network(torch.zeros(1, 1, 64, 64))
    assert without.any() == (at == "grid")
    if descriptor == "bow":
        torch.testing.assert_close(found[:, :each].sum(1), torch.full((len(images),), 0.5) * found.any(1))
    else:
        torch.testing.assert_close(found.norm(dim=1), found.any(1).float())
    torch.testing.assert_close(network(images[3:5]), found[3:5])


def test_fisher_vectors_at_key_points_by_hand(grains):
    """Of level 1 each quarter's vector is that of its own points alone."""
    images = torch.from_numpy(grains[0][:8, None].astype(np.float32) / 255)
    network = build_descriptor("fisher", {"components": 2, "axes": 4, "local": "hog", "at": "points", "levels": 2})
    network.learn(lambda: [images], 0, None)
    (points,) = at_points(images[:1], "hog")
    reduced = (torch.from_numpy(points.descriptors) - network.centre) @ network.axis
    mixture = network.weights, network.means, network.variances
    rows, columns = points.places[:, 1] >= 32, points.places[:, 0] >= 32
    parts = [fisher(reduced[None, None], *mixture)[0]]
    for row in (False, True):
        for column in (False, True):
            own = reduced[(rows == row) & (columns == column)]
            parts.append(fisher(own[None, None], *mixture)[0] if len(own) else torch.zeros(len(parts[0])))
    expected = torch.nn.functional.normalize(torch.cat(parts), dim=0)
    torch.testing.assert_close(network(images[:1])[0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "local"),
    [
        ("pyramid+svm", "sift"),
        pytest.param("fisher+svm", "hog", marks=pytest.mark.long),
        pytest.param("pyramid+svm", "surf", marks=pytest.mark.long),
        pytest.param("fisher+svm", "lbp", marks=pytest.mark.long),
    ],
)
def test_key_points_and_pictures_without_any(tmp_path, grains, model, local):
    how = {"words": 10} if model == "pyramid+svm" else {"components": 4}
    how |= {"local": local, "at": "points"}
    run = cs.fit(*grains, model=model, model_arg=how, out=str(tmp_path / "run"))
    assert np.isfinite(run.predictor.logits(grains[0])).all()
    assert not run.predictor.embed(np.zeros((1, 64, 64), np.uint8)).any()
    assert run.metrics["test"]["accuracy"] > 0.6  # a third by chance; every picture of one gray


def test_any_layer_of_a_trained_network_feeds_any_classifier(tmp_path, scenes, digits_run):
    """The features are those that `index --layer` keeps, and the network's weights are left as they are."""
    images, labels = scenes[0][:60].mean(3).astype(np.uint8), scenes[1][:60]
    options = {"network": str(digits_run), "layer": "layer2"}
    run = cs.fit(images, labels, model="features+knn", model_arg=options, out=str(tmp_path / "run"))
    assert run.metrics["test"]["accuracy"] > 0.9
    predictor = cs.load(run.folder).predictor
    cs.index(digits_run, (images, labels), layer="layer2", out=tmp_path / "index")
    kept, found = np.load(tmp_path / "index" / "embeddings.npy"), predictor.embed(images)
    np.testing.assert_allclose(found / np.linalg.norm(found, axis=1, keepdims=True), kept, atol=1e-5)
    own = predictor.network.network.state_dict()
    for name, tensor in cs.load(digits_run).predictor.network.state_dict().items():
        np.testing.assert_array_equal(own[name], tensor)
    for wrong, words in (
        ({**options, "layer": "layr2"}, "unknown layer 'layr2' in this model. Did you mean layer2"),
        ({"network": "runs/none"}, "is neither the folder of a run nor a network with published weights"),
    ):
        with pytest.raises(cs.ClearsightError, match=words):
            cs.fit(images, labels, model="features+svm", model_arg=wrong, out=str(tmp_path / "no"))
    with pytest.raises(ConfigError, match="takes gray images; found colour images"):
        cs.fit(scenes[0][:60], labels, model="features+svm", model_arg=options, out=str(tmp_path / "no"))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("hogg+svm", {}, "unknown descriptor 'hogg' in the model name 'hogg\\+svm'; .* Did you mean hog"),
        ("hog+swm", {}, "unknown classifier 'swm' .* Did you mean svm"),
        ("hog+", {}, "unknown classifier ''"),
        (
            "hog+svm",
            {"cel": 4},
            "the descriptor hog has no option 'cel'; expected orientations, cell, block. Did you mean cell",
        ),
        ("features+svm", {"cell": 4}, "has no option 'cell'; expected network, layer"),
    ],
)
def test_names_and_options_that_do_not_exist(name, options, words):
    with pytest.raises(ModelError, match=words):
        check_classical(name, options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "hog+svm", "init": "he"}, "the classical model hog\\+svm does not support --init"),
        ({"model": "hog+svm", "model_arg": {"cell": "x"}}, "found cell 'x'; expected a value such as 8"),
        ({"model": "hog+svm", "model_arg": {"cell": 0}}, "found cell 0; expected a number above 0"),
        ({"model": "hog+svm", "model_arg": {"cell": 40}}, "smaller than a block of cells"),
        (
            {"model": "fisher+svm", "model_arg": {"local": "hogg"}},
            "unknown local descriptor 'hogg'; .* Did you mean hog",
        ),
        ({"model": "bow+svm", "model_arg": {"at": "corners"}}, "expected at=grid or at=points"),
    ],
)
def test_what_cannot_be_built(tmp_path, scenes, options, words):
    with pytest.raises((ConfigError, ModelError, cs.ClearsightError), match=words):
        cs.fit(*scenes, out=str(tmp_path / "run"), **options)
    assert not (tmp_path / "run" / "model").exists()
