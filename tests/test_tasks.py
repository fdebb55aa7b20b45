"""Several labels per image, and numbers, from the data to the command line."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import ConfigError, DataError, ModelError
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.fit import fit


@pytest.fixture(scope="module")
def labelled(labels_run, reopened):
    return reopened(labels_run)


@pytest.fixture(scope="module")
def turned(angle_run, reopened):
    return reopened(angle_run), angle_run.parent


def test_labels_are_found_in_scenes(labelled, scenes):
    test = labelled.metrics["test"]
    assert labelled.metrics["task"] == "multilabel"
    assert test["mean_average_precision"] > 0.7, "of labels at random it would be about 0.3"
    assert 100 < test["n"] < 280, "about a quarter; images that are alike stay on one side"
    images, truth = scenes(100, seed=1)
    probabilities = cs.load(labelled.folder).predictor.predict_proba(images)
    right = ((probabilities > 0.5) == truth).mean()
    assert right > 0.8, "no label at all would be right about seven in ten"
    assert (probabilities.sum(1) > 1.5).any(), "the probabilities are no softmax"


def test_a_model_of_labels_answers_with_any_number_of_them(labelled, scenes):
    images, _ = scenes(60, seed=2)
    answers = labelled.predictor.predict(images)
    assert {len(a.labels) for a in answers} >= {0, 1, 2}
    assert min(a.uncertainty for a in answers) < 0.4 < max(a.uncertainty for a in answers)
    assert all(set(a.probabilities) == {"0", "1", "2", "3"} for a in answers)
    assert all(0 <= a.ood_percentile <= 1 for a in answers)


def test_angles_are_learned_across_the_turn(turned, pointers):
    run, _ = turned
    test = run.metrics["test"]
    assert run.metrics["task"] == "regression"
    assert test["unit"] == "degrees"
    score = test["per_number"]["heading"]
    assert score["median_error"] < 30 < score["usual_error"], "90 at random"
    assert 0.8 < score["covered"] <= 1
    images, degrees = pointers(60, seed=3)
    near = [min(d, 360 - d) < 20 for d in degrees]
    off = np.abs((run.predictor.values(images)[:, 0] - degrees + 180) % 360 - 180)
    assert np.median(off) < 30
    assert np.median(off[near]) < 45, "around 0 degrees too"


def test_evaluate_repeats_the_test(labelled, turned, capsys, scenes):
    run, _ = turned
    assert main(["evaluate", str(run.folder), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["per_number"]["heading"]["median_error"] == pytest.approx(
        run.metrics["test"]["per_number"]["heading"]["median_error"], abs=1e-3
    )
    images, truth = scenes(80, seed=4)
    found = cs.evaluate(labelled.predictor, (images, truth))
    assert found.n + found.images.training + found.images.validation == 80  # a scene may come twice by chance
    assert found.n > 70
    assert found.mean_average_precision > 0.7
    assert set(found.summary()["per_label"]) == set("0123")
    assert set(labelled.metrics["test"]["per_label"]["2"]) >= {"images", "average_precision", "f1"}
    assert main(["evaluate", str(run.folder)]) == 0
    text = capsys.readouterr().out
    assert "heading: median error" in text
    assert "large error: " in text


def test_predict_says_the_number_and_its_interval(turned, capsys):
    run, folder = turned
    assert main(["predict", str(run.folder), str(folder / "0.png"), "--coverage", "0.8"]) == 0
    line, note = capsys.readouterr()
    assert "heading" in line
    assert " to " in line
    assert "each range contains the true value with a probability of 80 %" in note
    assert main(["predict", str(run.folder), str(folder / "0.png"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["predictions"][0]
    assert set(answer) == {"image", "values", "intervals", "within", "ood_percentile", "is_ood"}


def test_predict_says_the_labels(labelled, tmp_path, capsys, scenes):
    images, truth = scenes(20, seed=5)
    found = [{int(name) for name in a.labels} for a in labelled.predictor.predict(images)]
    both = next(i for i in range(20) if truth[i].sum() == 2 and found[i] == set(np.flatnonzero(truth[i])))
    Image.fromarray(images[both]).save(tmp_path / "both.png")
    assert main(["predict", str(labelled.folder), str(tmp_path / "both.png")]) == 0
    text = capsys.readouterr().out
    assert all(str(k) in text for k in np.flatnonzero(truth[both]))
    assert "uncertainty" in text


def test_reports_show_what_is_far_off(labelled, turned):
    labels, numbers = labelled.report.read_text(), turned[0].report.read_text()
    assert "All labels are correct for" in labels
    assert "Average precision" in labels
    assert "median error" in numbers
    assert 'id="scores-chart-1-title"' in numbers
    for page in (labels, numbers):
        assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
        assert not re.search(r">[^<]*\bnan\b", page)


def test_a_label_and_a_number_can_be_explained(labelled, turned, scenes, pointers):
    images, truth = scenes(5, seed=6)
    from clearsight.explanation import explain

    shown = int(np.flatnonzero(truth.sum(1))[0])
    label = str(np.flatnonzero(truth[shown])[0])
    found = next(explain(labelled.predictor, images[shown], method="saliency", target=label, faithfulness=False))
    assert (found.target, found.heat.shape) == (label, labelled.predictor.shape[1:])
    found = next(explain(turned[0].predictor, pointers(1)[0], method="occlusion", faithfulness=False))
    assert found.target == "heading"
    assert 0 <= found.value < 360


def test_an_angle_s_heatmap_is_of_the_vector_it_is_read_from(turned, pointers):
    """Cosine or sine alone would not move where the other does."""
    import torch

    from clearsight.explanation import explain

    predictor = cs.load(turned[0].folder, engine="torch").predictor
    image = pointers(1, seed=8)[0]
    found = next(explain(predictor, image, method="saliency", faithfulness=False))
    x = torch.tensor(image[None].astype(np.float32) / 255, requires_grad=True)
    cosine, sine = predictor.network(x)[0]
    torch.hypot(cosine, sine).backward()
    np.testing.assert_allclose(found.heat, x.grad[0].abs().amax(0), rtol=1e-3, atol=1e-6)


@pytest.mark.long
def test_an_exported_file_gives_the_angle(turned, tmp_path, capsys):
    run, _ = turned
    file = tmp_path / "m.onnx"
    words = ["export", str(run.folder), "--quantize", "int8", "--out", str(file), "--images", "40"]
    assert main([*words, "--json"]) == 0
    message = json.loads(capsys.readouterr().out)
    assert message["parity"]["holds"]
    assert message["parity"]["same_predictions"] == 40
    assert 0 < message["parity"]["largest"] < 1e-4
    assert message["int8"]["measure"].startswith("mean standardised error")
    assert abs(message["int8"]["lost"]) < 0.1, "radians"
    place = str(tmp_path / "m.xml")
    assert main(["export", str(run.folder), "--format", "openvino", "--out", place, "--images", "8"]) == 0
    text = capsys.readouterr().out
    assert "openvino compared with the model: same numbers for 8 of 8 images; standardised values differ by" in text
    assert 'values = model([images])["values"]' in text


def test_known_images_are_found_with_their_numbers(turned, tmp_path):
    run, folder = turned
    cs.index(run.folder, out=str(tmp_path / "index"))
    found = cs.search(run.folder, folder / "7.png", k=5, index=str(tmp_path / "index"))
    headings = pd.read_csv(folder / "pictures.csv").set_index("image_path")["heading"]
    assert len(found) == 5
    for one in found:
        assert float(one.label) == pytest.approx(headings[one.image.split("/")[-1]], abs=0.06)


def test_what_is_for_classes_alone_says_so(labelled, turned, tmp_path, scenes, pointers, capsys):
    run = turned[0]
    for what in (cs.attack, cs.robustness, cs.landscape):
        with pytest.raises(ModelError, match="one class per image; found a model trained with --task regression"):
            what(run.folder)
    with pytest.raises(ModelError, match="predicts numeric targets, not probabilities"):
        run.predictor.predict_proba(np.zeros((1, 16, 16), np.uint8))
    images, labels = scenes(100)
    for options, message in (
        ({"loss": "focal"}, "--loss focal is not available for the task multilabel; expected bce, mse"),
        ({"model": "hog+svm"}, "supports only classification"),
        (
            {"class_weight": "balanced", "adversarial": "pgd"},
            "only classification supports --class-weight, --adversarial",
        ),
        ({"angle": "degrees"}, "only the task regression supports --angle"),
    ):
        with pytest.raises(ConfigError, match=message):
            cs.fit(images, labels, out=tmp_path / "no", **options)
    with pytest.raises(DataError, match="not in radians"):
        cs.fit(*pointers(60), angle="radians", out=tmp_path / "no")
    for words in ("compare", "doctor"):
        assert main([words, str(turned[1] / "pictures.csv")]) == 2
        message = f"{words} needs data with one class per image; found pictures: numeric columns"
        assert message in capsys.readouterr().err


def test_evaluate_knows_another_unit(turned):
    run, folder = turned
    table = pd.read_csv(folder / "pictures.csv").head(60)
    table.assign(heading=np.radians(table.heading)).to_csv(folder / "radians.csv", index=False)
    with pytest.raises(DataError, match=r"probably not in degrees; found values up to 6\.\d+; expected degrees"):
        cs.evaluate(run.folder, folder / "radians.csv")


def test_numbers_that_fill_a_turn_are_not_taken_for_plain_without_a_word(pointers, tmp_path):
    run = cs.fit(*pointers(120), epochs=1, within=(0, 360), out=tmp_path / "run")
    text = {d["what"]: d["why"] for d in run.metrics["recipe"]}["numbers"]
    assert text == "'value' covers a full turn: if it is an angle, use --angle degrees"


def test_audit_reports_what_train_refuses(tmp_path, scenes, capsys):
    images, labels = scenes(60)
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    table = pd.DataFrame(labels, columns=list("abcd")).assign(image_path=[f"{i}.png" for i in range(60)])
    for name, changed, words in (
        ("never", table.assign(d=0), "'d', which is never positive; `train` rejects such data"),
        ("stray", table.assign(d=[2, *table.d[1:]]), "all but 1 value are 0 or 1; the first exception is 2 in"),
    ):
        changed.to_csv(tmp_path / f"{name}.csv", index=False)
        assert main(["audit", str(tmp_path / f"{name}.csv")]) == 0
        text = capsys.readouterr().out
        assert words in text
        assert " warning" in text
    assert "60 of 60 images usable, with 4 numbers to predict (a, b, c, d); images are grouped by a" in text


def test_a_network_says_its_own_variance(tmp_path, pointers):
    images, degrees = pointers(300)
    run = cs.fit(images, np.abs(degrees - 180), loss="gaussian-nll", within="0,180", epochs=3, out=tmp_path / "run")
    answers = run.predictor.predict(images[:40])
    widths = [high - low for a in answers for low, high in a.intervals.values()]
    assert np.std(widths) > 0, "one image is surer than another"
    assert all(0 <= low <= high <= 180 for a in answers for low, high in a.intervals.values())
    again = cs.load(run.folder).predictor.predict(images[:40])
    assert again == answers


@pytest.mark.long
def test_photos_use_frozen_features(tmp_path):
    """Colour patches at three places: whether red or blue occurs, and how bright the green is."""
    rng = np.random.default_rng(0)
    images = rng.integers(60, 90, (90, 64, 64, 3))
    labels = rng.random((90, 2)) < 0.5
    green = rng.uniform(0, 1, 90)
    for image, (red, blue), g in zip(images, labels, green, strict=True):
        image[8:28, 8:28, 0] += 140 * int(red)
        image[36:56, 8:28, 2] += 140 * int(blue)
        image[20:44, 40:60, 1] += int(140 * g)
    images = images.clip(0, 255).astype(np.uint8)
    run = cs.fit(images, labels.astype(int), img_size=64, out=tmp_path / "labels")
    assert run.metrics["test"]["mean_average_precision"] > 0.9
    run = cs.fit(images, green, img_size=64, out=tmp_path / "green")
    assert run.metrics["test"]["per_number"]["value"]["explained"] > 0.7
    head = next(d for d in run.metrics["recipe"] if d["what"] == "head")
    assert "ridge" in head["choice"]
    agree = next(d for d in run.metrics["recipe"] if d["what"] == "scores of the folds")
    assert "explained variance of 5 fits" in agree["why"]
    run = cs.fit(images, green, img_size=64, loss="gaussian-nll", out=tmp_path / "no variances")
    assert run.metrics["test"]["per_number"]["value"]["explained"] > 0.7
    assert {d["what"]: d["choice"] for d in run.metrics["recipe"]}["without effect"] == "--loss"


def test_a_direction_has_no_unit_range_or_variance(tmp_path, pointers):
    images, degrees = pointers(40)
    turn = np.radians(degrees)
    for options, words in (
        ({"angle": "degrees"}, "--angle is not supported for directions in the plane; found unit vectors in 0 and 1"),
        ({"within": "-1,1", "loss": "gaussian-nll"}, "--within, --loss gaussian-nll are not supported for directions"),
    ):
        with pytest.raises(ConfigError, match=words):
            cs.fit(images, np.stack([np.cos(turn), np.sin(turn)], 1), out=tmp_path / "no", **options)


@pytest.mark.long
def test_counts_are_numbers_if_the_task_says_so(tmp_path):
    """Bright dots, of which there are none to eight: one more is a little more, which classes would not know."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, 300)
    images = rng.integers(0, 40, (300, 12, 12)).astype(np.uint8)
    for image, count in zip(images, counts, strict=True):
        image.ravel()[rng.choice(144, count, replace=False)] = 250
    run = cs.fit(images, counts, task="regression", epochs=25, out=tmp_path / "run")
    assert run.metrics["task"] == "regression"
    assert run.metrics["test"]["per_number"]["value"]["explained"] > 0.5


def test_many_whole_numbers_taken_as_classes_are_reported(noise):
    labels = np.repeat(np.arange(21), 8)
    message = {}
    for task in ("auto", "classification"):
        config = TrainConfig.from_options(task=task, model="linear", epochs=1, folds=2)
        fitted = fit(read((noise(168), labels), task=task), config, find_issues=False)
        message[task] = {d.what: d for d in fitted.decisions}
    assert message["auto"]["labels"].choice == "21 classes"
    assert "--task regression if they are counts" in message["auto"]["labels"].why
    assert "labels" not in message["classification"]


def test_evaluate_prints_each_label_and_says_nothing_untrue_of_other_data(labelled, scenes, tmp_path, capsys):
    images, truth = scenes(50, seed=7)
    shown = images.any((1, 2))  # empty scenes are the same in the training data
    images, truth = images[shown][:40], truth[shown][:40]
    np.savez(tmp_path / "others.npz", images=images, labels=truth)
    assert main(["evaluate", str(labelled.folder), str(tmp_path / "others.npz")]) == 0
    text = capsys.readouterr().out
    assert "on 40 images\n" in text
    assert re.search(r"^label  images  average precision", text, re.M)
    assert len(re.findall(r"^[0-3] +\d+ ", text, re.M)) == 4
    assert "far off" not in text
    assert main(["evaluate", str(labelled.folder), str(tmp_path / "others.npz"), "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["per_label"]["0"]["f1"] <= 1


def test_options_of_other_answers_are_refused(labelled, turned, capsys):
    image = str(turned[1] / "0.png")
    for run, words, message in (
        (
            labelled,
            ["--coverage", "0.9"],
            "--coverage has no effect with this model; found a model trained with --task multi",
        ),
        (
            turned[0],
            ["--top", "2"],
            "--top has no effect with this model; found a model trained with --task regression",
        ),
    ):
        assert main(["predict", str(run.folder), image, *words]) == 2
        assert message in capsys.readouterr().err
