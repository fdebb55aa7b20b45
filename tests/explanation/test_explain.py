"""Whole explanations: every method on every kind of model, evaluated, drawn, and what cannot be explained."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import clearsight as cs
from clearsight.cli.main import main
from clearsight.data.pixels import read_image
from clearsight.errors import ConfigError, ModelError
from clearsight.explanation import GRADIENT_METHODS, METHODS, Settings, explain, methods_of
from clearsight.explanation.faithfulness import RANDOM, FaithfulnessEvaluator, blur, randomisation
from clearsight.models.network import Ensemble
from clearsight.predictor import Predictor
from clearsight.report.drawings import wrapped
from clearsight.wording import probability

QUICK = Settings(samples=6, window=2)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_explains_a_network(method, digits_run, digits_arrays):
    images, labels = digits_arrays
    found = list(explain(cs.load(digits_run).predictor, images[:2], method=method, settings=QUICK))
    for e, label in zip(found, labels[:2], strict=True):
        assert e.target == str(label)
        assert e.heat.shape == (8, 8)
        assert np.isfinite(e.heat).all()
        assert np.ptp(e.heat) > 0
        assert 0 <= e.faithfulness.deletion <= 1
        assert (e.randomised is None) == (method not in GRADIENT_METHODS)
        json.dumps(e.to_dict())


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(GRADIENT_METHODS)))
def test_models_without_gradients_are_explained_by_asking(method, classical_run, digits_arrays):
    (e,) = explain(cs.load(classical_run).predictor, digits_arrays[0][:1], method=method, settings=QUICK)
    assert np.ptp(e.heat) > 0


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_models_without_gradients_say_what_they_have(method, classical_run, digits_arrays):
    with pytest.raises(ModelError, match=rf"{method} needs gradients.*found hog\+svm; expected occlusion, lime, shap"):
        list(explain(cs.load(classical_run).predictor, digits_arrays[0][:1], method=method))


@pytest.mark.long
def test_gradient_maps_are_more_faithful_than_chance(digits_run, digits_arrays):
    """On held-out digits; the figures are in benchmarks/."""
    predictor = cs.load(digits_run).predictor
    images = digits_arrays[0][::300]
    methods = ["smoothgrad", "integrated-gradients"]
    faithfulness = list(explain(predictor, images, method=methods))
    for number, method in enumerate(methods):
        scores = [e.faithfulness.score for e in faithfulness[number::2]]
        assert np.mean(scores) > 0.05, (method, scores)


def test_a_map_of_what_decides_is_faithful_and_its_opposite_is_not():
    rng = np.random.default_rng(0)
    image = rng.random((1, 28, 28), np.float32)
    image[:, 4:12, 6:14] = 1

    def score(images):
        return images[:, 0, 4:12, 6:14].mean((1, 2)) ** 4

    heat = np.zeros((28, 28), np.float32)
    heat[4:12, 6:14] = 1
    evaluator = FaithfulnessEvaluator(score, image)
    good, bad = evaluator(heat), evaluator(-heat)
    assert good.score > 0.3 > -0.3 > bad.score
    flat = evaluator(np.zeros((28, 28), np.float32))
    assert abs(flat.score) < 0.35  # one random order among others
    assert good.deletion_curve[0] == pytest.approx(float(score(image[None])[0]))
    assert good.insertion_curve[-1] == good.deletion_curve[0]
    assert good.insertion_curve[0] == pytest.approx(float(score(blur(image)[None])[0]))


def test_of_two_classes_what_speaks_for_one_speaks_against_the_other():
    rng = np.random.default_rng(0)
    image, heat = rng.random((1, 28, 28), np.float32), rng.random((28, 28), np.float32)
    one = FaithfulnessEvaluator(lambda images: images[:, 0, :9].mean((1, 2)), image)(heat)
    other = FaithfulnessEvaluator(lambda images: 1 - images[:, 0, :9].mean((1, 2)), image)(heat)
    assert one.score == pytest.approx(-other.score)


def test_random_orders_are_tried_once_for_all_maps_of_an_image():
    asked, image = [], np.zeros((1, 14, 14), np.float32)

    def score(images):
        asked.append(len(images))
        return images.mean((1, 2, 3))

    evaluator, heat = FaithfulnessEvaluator(score, image, batch=64), np.eye(14, dtype=np.float32)
    first, second = evaluator(heat), evaluator(heat)
    assert first == second
    assert len(asked) == 2 * (1 + RANDOM) + 2


def test_several_methods_stand_together_image_by_image(digits_run, digits_arrays):
    predictor, images = cs.load(digits_run).predictor, digits_arrays[0][:2]
    both = list(explain(predictor, images, method=["saliency", "grad-cam"]))
    assert [e.method for e in both] == ["saliency", "grad-cam"] * 2
    for k, method in enumerate(("saliency", "grad-cam")):
        for together, alone in zip(both[k::2], explain(predictor, images, method=method), strict=True):
            np.testing.assert_array_equal(together.heat, alone.heat)
            assert together.faithfulness == alone.faithfulness
    with pytest.raises(cs.ClearsightError, match="unknown method"):
        next(explain(predictor, images, method=["saliency", "salience"]))


def test_a_map_of_the_other_class_is_reported(digits_run, digits_arrays):
    (e,) = explain(cs.load(digits_run).predictor, digits_arrays[0][:1], method="saliency")
    assert e.opposite == "", "of ten classes none is the other"
    bad = replace(e, faithfulness=replace(e.faithfulness, insertion=0.0, deletion=1.0))
    assert "worse than chance: misleading" in bad.remarks
    assert "worse than chance: these regions are evidence for broken" in replace(bad, opposite="broken").remarks


def test_shuffled_weights_change_the_map_of_a_model_but_not_of_the_image(digits_run, digits_arrays):
    predictor = cs.load(digits_run).predictor
    (e,) = explain(predictor, digits_arrays[0][:1], method="smoothgrad")
    assert e.randomised < 0.8
    before = {k: v.clone() for k, v in predictor.network.state_dict().items()}
    edges = np.abs(np.gradient(e.pixels[0])[0]).astype(np.float32)
    assert randomisation(edges, lambda other: edges, predictor.network) == pytest.approx(1)
    assert all((before[k] == v).all() for k, v in predictor.network.state_dict().items())


def test_grad_cam_of_an_ensemble_is_that_of_all_its_members(digits_run, digits_arrays):
    predictor = cs.load(digits_run).predictor
    image = digits_arrays[0][:1]
    (alone,) = explain(predictor, image, method="grad-cam", faithfulness=False)
    joined = Ensemble.of([predictor.network, predictor.network], [1.0, 1.0])
    pair = Predictor(replace(predictor.bundle, network=joined))
    (both,) = explain(pair, image, method="grad-cam", target=alone.target, faithfulness=False)
    assert both.settings["members"] == 2
    np.testing.assert_allclose(both.heat, alone.heat / alone.heat.max(), atol=1e-5)


def test_limitations_of_a_map_are_reported(digits_run, digits_arrays):
    (e,) = explain(cs.load(digits_run).predictor, digits_arrays[0][:1], method="guided")
    assert e.facts["rectifiers"] > 0
    assert "no ReLUs" not in e.remarks
    assert "has no ReLUs" in replace(e, facts={"rectifiers": 0}).remarks
    assert "the map is constant" in replace(e, heat=np.zeros_like(e.heat)).remarks
    assert (
        randomisation(np.zeros((8, 8), np.float32), lambda other: e.heat, cs.load(digits_run).predictor.network) is None
    )
    (rough,) = explain(
        cs.load(digits_run).predictor, digits_arrays[0][:1], method="integrated-gradients", settings=Settings(samples=2)
    )
    assert ("differs from the difference of the logits" in rough.remarks) == (rough.facts["completeness"] > 0.05)


def test_settings_out_of_range(digits_run, digits_arrays):
    for settings, heading in (
        (Settings(window=8), "window is 8; expected less than 8, the shorter image side"),
        (Settings(seed=-1), "--seed must be 0 or more, not -1"),
        (Settings(batch=0), "batch is 0"),
    ):
        with pytest.raises(ConfigError, match=heading):
            list(explain(cs.load(digits_run).predictor, digits_arrays[0][:1], method="occlusion", settings=settings))


def test_maps_of_other_methods_are_kept(digits_run, digits_arrays, tmp_path):
    for method, image in (("saliency", 0), ("guided", 0), ("saliency", 1)):
        Image.fromarray(digits_arrays[0][image, 0]).save(tmp_path / "digit.png")
        found = cs.explain(digits_run, str(tmp_path / "digit.png"), method=method, faithfulness=False)
        found.save(tmp_path / "maps", overwrite=True)
        with np.load(tmp_path / "maps" / "digit.npz") as maps:
            names = sorted(maps.files)
        assert names == (["guided", "pixels", "saliency"] if method == "guided" else ["pixels", "saliency"])


def test_the_seed_decides(digits_run, digits_arrays):
    predictor = cs.load(digits_run).predictor
    for method in ("smoothgrad", "shap"):
        maps = [
            next(
                explain(
                    predictor,
                    digits_arrays[0][:1],
                    method=method,
                    settings=Settings(samples=8, seed=s),
                    faithfulness=False,
                )
            )
            for s in (0, 0, 1)
        ]
        np.testing.assert_array_equal(maps[0].heat, maps[1].heat)
        assert not np.array_equal(maps[0].heat, maps[2].heat)


def test_a_class_may_be_asked_for(digits_run, digits_arrays):
    predictor = cs.load(digits_run).predictor
    for target in ("8", 8):
        (e,) = explain(predictor, digits_arrays[0][:1], method="saliency", target=target, faithfulness=False)
        assert e.target == "8"
        assert e.faithfulness is None


def test_integrated_gradients_are_complete_to_a_hundredth(digits_run, digits_arrays):
    found = list(
        explain(cs.load(digits_run).predictor, digits_arrays[0][:5], method="integrated-gradients", faithfulness=False)
    )
    assert [e.facts["completeness"] <= 0.01 for e in found] == [True] * 5


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "smothgrad"}, ConfigError, "smoothgrad"),
        ({"target": "cat"}, ConfigError, "unknown class 'cat'"),
        ({"target": 10}, ConfigError, "10 classes, with indices 0 to 9"),
        ({"method": "grad-cam", "settings": Settings(layer="layr1")}, ModelError, "layer1"),
        ({"settings": Settings(samples=0)}, ConfigError, "samples is 0"),
        ({"settings": Settings(batch=0)}, ConfigError, "batch is 0"),
        ({"settings": Settings(noise=-1)}, ConfigError, "noise is -1"),
        ({"method": "occlusion", "settings": Settings(window=0)}, ConfigError, "window is 0"),
    ],
)
def test_bad_input(options, error, words, digits_run, digits_arrays):
    with pytest.raises(error, match=words):
        list(explain(cs.load(digits_run).predictor, digits_arrays[0][:1], **options))


def test_images_of_another_size_and_kind_are_read_as_for_prediction(digits_run, photos, tmp_path):
    (e,) = explain(cs.load(digits_run).predictor, str(photos / "cat" / "0.jpg"), method="saliency", faithfulness=False)
    assert e.pixels.shape == (1, 8, 8)


@pytest.mark.long
def test_a_picture_and_the_numbers_for_every_image(photos_run, photos, tmp_path, capsys):
    out = tmp_path / "maps"
    words = ["explain", str(photos_run), str(photos / "cat" / "0.jpg"), str(photos / "rocket" / "0.jpg")]
    options = ["--method", "grad-cam", "--out", str(out)]
    assert main([*words, *options, "--fast", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["explanations"]
    assert [e["target"] for e in found] == ["cat", "rocket"]
    assert found[0]["picture"] != found[1]["picture"]  # both images are called 0.jpg
    for e in found:
        assert read_image(e["picture"]).shape[2] >= 620
        assert e["engine_difference"] < 1e-3
    maps = np.load(out / "0-0.npz")
    assert maps["grad-cam"].shape == (96, 96)
    assert maps["pixels"].shape == (3, 96, 96)
    assert main([*words[:3], *options, "--overwrite"]) == 0
    assert "faithfulness" in capsys.readouterr().out


def test_an_image_unlike_the_training_data_is_called_so(digits_run, digits_arrays, tmp_path, capsys):
    image = str(tmp_path / "white.png")
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(image)
    assert main(["predict", str(digits_run), image]) == 0
    predicted = capsys.readouterr().out
    words = ["explain", str(digits_run), image, "--fast", "--method", "saliency", "--out", str(tmp_path / "maps")]
    assert main(words) == 0
    heading = capsys.readouterr().out.splitlines()
    assert heading[0].startswith(f"{image}  unknown: OOD score higher than for all known images; nearest class ")
    assert heading[0].split("  ")[1] in predicted
    assert sum("white" in line for line in heading) == 2  # the image and the picture, once each
    assert main([*words, "--json"]) == 2  # what is there is not replaced unless that is asked for
    assert "already exists. Choose a different folder, or add --overwrite" in capsys.readouterr().err
    words.append("--overwrite")
    assert main([*words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["explanations"]
    assert found["is_ood"] is True
    assert found["ood_percentile"] > 0.95
    other = next(c for c in "0123456789" if c != found["target"])
    assert main([*words, "--target", other]) == 0
    assert "(out of distribution: OOD score higher than for all known images)" in capsys.readouterr().out
    (known,) = explain(cs.load(digits_run).predictor, digits_arrays[0][:1], method="saliency", faithfulness=False)
    assert known.is_ood is False
    assert known.heading == f"{known.target} {probability(known.value)}"


def test_one_unreadable_image_does_not_end_the_rest(digits_run, tmp_path, capsys):
    for name, value in (("a", 0), ("b", 200)):
        Image.new("L", (8, 8), value).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60))
    out = tmp_path / "maps"
    words = ["explain", str(digits_run), str(tmp_path), "--fast", "--method", "saliency", "--out", str(out)]
    assert main([*words, "--json"]) == 2
    said = capsys.readouterr()
    assert len(list(out.glob("*.png"))) == len(json.loads(said.out)["explanations"]) == 2
    assert list(json.loads(said.out)["failed"]) == [str(tmp_path / "bad.png")]
    assert "bad.png" in said.err
    assert main([*words[:2], str(tmp_path / "bad.png"), *words[3:]]) == 2


def test_long_captions_are_wrapped_not_cut():
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    font = ImageFont.load_default(12)
    text = "faithfulness -0.23, worse than chance: misleading (mean probability: deletion 0.92, insertion 0.68); "
    text += "correlation with the map "
    text += "for shuffled weights: 0.95, so the map depends on the image, not on the model"
    lines = wrapped(pen, text, 600, font)
    assert len(lines) == 2
    assert " ".join(lines) == text
    assert all(pen.textlength(line, font) <= 600 for line in lines)
    assert wrapped(pen, "m" * 200, 600, font)[0].endswith("…")


def test_a_model_without_maps_has_all_methods_but_grad_cam(answering, noise):
    predictor = answering("labels")
    assert methods_of(predictor) == [m for m in METHODS if m != "grad-cam"]
    found = cs.explain(predictor, noise(1), method="all", settings=QUICK, faithfulness=False)
    assert [e.method for e in found] == methods_of(predictor)


@pytest.mark.long
def test_all_methods_on_one_sheet(classical_run, digit_folders, tmp_path, capsys):
    image = str(digit_folders / "digit 1" / "0.png")
    words = ["explain", str(classical_run), image, "--out", str(tmp_path / "maps"), "--samples", "20"]
    assert main([*words, "--method", "all"]) == 0
    assert sorted(np.load(tmp_path / "maps" / "0.npz")) == ["lime", "occlusion", "pixels", "shap"]
    assert main(words) == 0
    assert "occlusion" in capsys.readouterr().out
    assert main([*words[:-2], "--method", "guided"]) == 2
    assert "needs gradients" in capsys.readouterr().err
    assert main([*words, "--method", "guided"]) == 2
    assert "--samples has no effect with --method guided; expected --method smoothgrad" in capsys.readouterr().err
    assert main(["explain", str(classical_run), str(tmp_path / "none.png")]) == 2
    assert "none.png" in capsys.readouterr().err
