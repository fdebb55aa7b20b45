"""The robustness report: it shows known weaknesses by name and step, and what cannot be measured."""

import json
import re
import shutil
import statistics
from dataclasses import replace

import numpy as np
import pytest

import clearsight as cs
from clearsight.calibration.operating_points import OperatingPoint
from clearsight.cli.main import main
from clearsight.errors import ConfigError, DataError
from clearsight.evaluation.image_changes import CHANGES
from clearsight.evaluation.robustness import LOST, measure_robustness, retained
from clearsight.predictor import Predictor
from clearsight.report.robustness_page import change_chart


@pytest.fixture(scope="module")
def predictor(digits_run):
    return cs.load(digits_run).predictor


@pytest.fixture(scope="module")
def some(digits_arrays):
    images, labels = digits_arrays
    return images[-250:], labels[-250:]


def test_a_half_turn_makes_six_and_nine_each_other(predictor, some):
    last = measure_robustness(predictor, *some, changes=["rotation"]).rows["rotation"][4]
    assert last.amount == 180
    assert {last.confusion[0], last.confusion[1]} == {"6", "9"}
    card = measure_robustness(predictor, *some, changes=["rotation"], turns=[(6, 180, 9), (9, 180, 6)])
    assert not {"6", "9"} & set(card.rows["rotation"][4].confusion[:1])
    lost = [card.accuracy - s.accuracy > LOST for s in card.rows["rotation"]]
    assert card.fails["rotation"] == 1 + lost.index(True) <= 3
    sensitivity = {s.edit: s for s in card.sensitivity}
    assert sensitivity["6 rotated by 180 degrees (predicted as 9)"].changed > 0.8
    assert sensitivity["object removed (prediction changed)"].changed > 0.7


@pytest.mark.long
def test_training_with_rotation_shows_on_the_card_in_the_median_of_three_seeds(tmp_path, some, record_property):
    """The bar of the card: a model that saw turned digits stands them visibly better."""
    gained = []
    for seed in range(3):
        found = {}
        for augment in ("none", "affine"):  # affine turns by up to 15 degrees
            out = tmp_path / f"{augment} {seed}"
            run = cs.fit("digits", out=out, augment=augment, model="lenet5", epochs=30, seed=seed)
            found[augment] = measure_robustness(run.predictor, *some, changes=["rotation"]).rows["rotation"][1].accuracy
        gained.append(found["affine"] - found["none"])
    record_property("accuracy gained on turned digits", gained)
    assert statistics.median(gained) > 0.05


def test_the_card_adds_up(predictor, some):
    card = measure_robustness(predictor, *some, changes=["noise", "noise + blur"])
    truth = np.array([str(t) for t in some[1]])
    assert card.accuracy == np.mean([p.label for p in predictor.predict(some[0])] == truth)
    for steps in card.rows.values():
        for s in steps:
            assert s.interval[0] <= s.accuracy <= s.interval[1]
            assert s.consistency_interval[0] <= s.consistency <= s.consistency_interval[1]
    assert [s.amount for s in card.rows["noise"]] == list(CHANGES["noise"].steps)
    assert card.rows["noise + blur"][4].accuracy <= card.rows["noise"][4].accuracy + 0.03
    assert all(len(strip) == 6 for strip in card.examples.values())
    assert sum(c.images for c in card.clusters) == sum(n for n in np.unique(some[1], return_counts=True)[1] if n >= 20)
    json.dumps(card.to_dict())


def test_models_without_gradients_have_a_card_too(classical_run, some):
    card = measure_robustness(cs.load(classical_run).predictor, *some, changes=["darker", "occlusion"])
    assert card.rows["occlusion"][4].accuracy < card.accuracy


def test_bad_input(predictor, some):
    with pytest.raises(ConfigError, match=r"unknown change 'rotaton'.*rotation"):
        measure_robustness(predictor, *some, changes=["rotaton"])
    with pytest.raises(DataError, match="the array contains no images"):
        measure_robustness(predictor, some[0][:0].reshape(0, 1, 8, 8), some[1][:0])
    with pytest.raises(ConfigError, match="the list of changes is empty"):
        measure_robustness(predictor, *some, changes=[])
    with pytest.raises(ConfigError, match=r"'blur\+blur' contains a change twice"):
        measure_robustness(predictor, *some, changes=["blur+blur"])
    with pytest.raises(ConfigError, match="invalid rotation angle nan"):
        measure_robustness(predictor, *some, changes=["blur"], turns=[(6, float("nan"), 9)])


def test_the_report_of_the_run_gets_the_verdicts_and_keeps_the_last(digits_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    before = (run / "report.html").read_text()
    assert "when the image is changed slightly" in before
    cs.robustness(run, changes=["blur"], images=60).save(run / "robustness")
    after = (run / "report.html").read_text()
    assert "when the image is changed slightly" not in after
    assert '<th scope="row">blur</th>' in after
    assert 'href="robustness/robustness.html"' in after
    cs.robustness(run, changes=["noise"], images=60).save(run / "robustness", overwrite=True)
    last = (run / "report.html").read_text()
    assert '<th scope="row">noise</th>' in last
    assert '<th scope="row">blur</th>' not in last
    assert last.split("<!-- card -->")[0] == before.split("<!-- card -->")[0]
    assert last.split("<!-- /card -->")[1] == before.split("<!-- /card -->")[1]


def test_steps_stand_where_their_amounts_do(digits_run, tmp_path):
    card = cs.robustness(digits_run, changes=["rotation", "darker", "blur+noise"], images=20)

    def places(change):
        drawn = str(change_chart("c", card, change))
        return [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', drawn)], re.findall(r">([^<]*)</text>", drawn)

    for change, first in (("rotation", 0), ("darker", 1)):
        amounts = np.array([first, *(s.amount for s in card.rows[change])])
        x, words = places(change)
        np.testing.assert_allclose(x, 46 + 300 * (amounts - first) / (amounts[-1] - first), atol=0.01)
        assert {f"{a:g}" for a in amounts} <= set(words)
    x, words = places("blur+noise")
    np.testing.assert_allclose(np.diff(x), 60)
    assert "step" in words
    assert "100 %" in words


def test_command(digits_run, tmp_path, capsys):
    words = ["robustness", str(digits_run), "--images", "60", "--out", str(tmp_path / "card")]
    assert main([*words, "--changes", "blur,noise+rotation", "--turns", "6:180:9"]) == 0
    text = capsys.readouterr().out
    assert "6 rotated by 180 degrees" in text
    assert "(1)" not in text  # of several changes the step has no amount
    page = (tmp_path / "card" / "robustness.html").read_text()
    assert "Robustness of digits" in page
    assert "Within a class" not in page, "of each class there are fewer than 20 images"
    assert main([*words, "--changes", "blur", "--images", "300", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["changes"]["blur"]) == 5
    saved = json.loads((tmp_path / "card" / "robustness.json").read_text())
    assert saved["images"] == 300
    groups = (tmp_path / "card" / "robustness.html").read_text().partition("Within a class")[2]
    worst = saved["clusters"][0]
    assert f'<th scope="row">{worst["label"]}</th><td class="number">{worst["images"]}</td>' in groups
    assert main([*words, "--turns", "6=9"]) == 2
    assert "CLASS:DEGREES:CLASS" in capsys.readouterr().err
    assert main([*words, "--turns", "6:180:x"]) == 2
    assert "unknown class 'x'" in capsys.readouterr().err
    assert main([*words, "--changes", ","]) == 2
    assert "the list of changes is empty" in capsys.readouterr().err
    assert main([*words, "--seed", "-1"]) == 2
    assert "--seed must be 0 or more, not -1" in capsys.readouterr().err


def test_the_predicted_class_is_that_of_the_operating_point(predictor, some):
    """All predictions are 3, by costs of anything else: so 3 is right, whatever changes, and nothing else is."""
    weights = np.zeros((10, 10))
    weights[:, 3] = 1
    point = OperatingPoint(tuple(map(tuple, weights.tolist())), "always 3")
    bundle = replace(predictor.bundle, task=replace(predictor.bundle.task, operating_point=point))
    always, images, labels = Predictor(bundle), some[0][:60], some[1][:60]
    threes = int((labels == 3).sum())
    kept = retained(always, images, labels)
    assert threes
    assert (kept.right_before, kept.right_after) == (threes, threes)
    card = measure_robustness(always, images, labels, changes=["blur"])
    assert card.accuracy == threes / 60
    assert {step.accuracy for step in card.rows["blur"]} == {threes / 60}
    paired = cs.compare_models(always, (images, labels.astype(str)), tta="shifts", include_training=True)
    assert [row.accuracy for row in paired] == [threes / 60] * 2
