"""Ordered grades: what outputs mean, intervals of grades, scores, reading, and a whole run."""

import json
import re
from math import log

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.metrics import cohen_kappa_score, confusion_matrix

import clearsight as cs
from clearsight.calibration.binary import BinaryCalibration
from clearsight.cli.main import main
from clearsight.errors import ConfigError, DataError
from clearsight.tasks import Ordinal, PredictOptions, TaskOptions, read
from clearsight.tasks.predictions import Prediction
from clearsight.train.config import TrainConfig

GRADES = ("none", "mild", "moderate", "severe")
SEEDS = range(8)


def unfitted(names=GRADES):
    return Ordinal(tuple(names), BinaryCalibration.identity(len(names) - 1))


def images(count):
    return np.zeros((count, 4, 4), np.uint8)


def simulated(count, seed):
    """Cumulative logits (N, 3) of a noisy quantity against its three boundaries, and the grades (N,)."""
    rng = np.random.default_rng(seed)
    quantity = rng.uniform(-3, 3, count)
    grades = (quantity[:, None] > [-1.5, 0, 1.5]).sum(1)
    seen = quantity + rng.normal(0, 0.8, count)
    return 2 * (seen[:, None] - [-1.5, 0, 1.5]) + rng.normal(0, 0.3, (count, 3)), grades


# --- What outputs mean -----------------------------------------------------------------------------------------------


def test_probabilities_by_hand():
    """Above the boundaries with 9/10, 3/4 and 1/5: grades have what lies between."""
    logits = np.array([[log(9), log(3), -log(4)]])
    probabilities, outputs = unfitted().decoded(logits)
    np.testing.assert_allclose(probabilities, [[0.1, 0.15, 0.55, 0.2]])
    np.testing.assert_array_equal(outputs, logits)
    assert unfitted().output_names == ("probabilities", "logits")


def test_scale_and_shift_are_of_each_boundary():
    task = Ordinal(("low", "middle", "high"), BinaryCalibration((2.0, 0.5), (1.0, -1.0)))
    above = expit([2 * 0.5 + 1, 0.5 * 0.2 - 1])
    np.testing.assert_allclose(task.decode(np.array([[0.5, 0.2]])), [[1 - above[0], above[0] - above[1], above[1]]])


def test_a_boundary_is_never_more_probable_than_the_one_below():
    """1/2, then 3/4, which counts as 1/2, then 1/5: no grade has a probability below 0."""
    found = unfitted().decode(np.array([[0, log(3), -log(4)]]))
    np.testing.assert_allclose(found, [[0.5, 0, 0.3, 0.2]], atol=1e-12)


def test_probabilities_of_any_outputs_are_a_distribution():
    logits = np.random.default_rng(0).normal(0, 4, (500, 3))
    found = unfitted().decode(logits)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(1), 1)
    assert np.all(np.diff(1 - found.cumsum(1), axis=1) <= 1e-12), "P(grade > k) falls in k"


def test_grades_are_learned_as_questions_about_their_boundaries():
    data = read((images(4), np.array([0, 3, 1, 2])), task="ordinal")
    task = Ordinal.of(data, np.arange(4), TaskOptions())
    assert task == unfitted("0123")
    assert task.outputs == 3
    assert task.encode(data).tolist() == [[0, 0, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert task.head_targets(task.encode(data))[2].tolist() == [1, -1, -1]
    assert Ordinal.truth(data).tolist() == [0, 3, 1, 2]


def test_the_training_score_counts_boundaries():
    import torch

    outputs = torch.tensor([[1.0, -1, -1], [1, 1, -1], [-1, -1, -1]])
    encoded = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert unfitted().training_score(outputs, encoded, "bce").tolist() == [1, 0, 1]


def test_calibration_is_logistic_regression_of_each_boundary():
    logits, grades = simulated(4000, 0)
    task = unfitted().calibrated(3 * logits, grades)
    fresh, truth = simulated(20_000, 1)
    probabilities = task.decode(3 * fresh)
    for k in range(3):
        above = probabilities[:, k + 1 :].sum(1)
        near = (above > 0.3) & (above < 0.7)
        assert (truth > k)[near].mean() == pytest.approx(above[near].mean(), abs=0.04)
    assert task.calibration.scale != (1.0, 1.0, 1.0)


def test_a_boundary_without_two_kinds_of_validation_images_keeps_its_own():
    logits, grades = simulated(800, 0)
    task = unfitted().calibrated(3 * logits[grades < 3], grades[grades < 3])
    assert (task.calibration.scale[2], task.calibration.shift[2]) == (1, 0)
    assert task.calibration.scale[0] != 1


# --- Intervals of grades ---------------------------------------------------------------------------------------------


def test_intervals_grow_towards_the_likelier_neighbour_by_hand():
    """From 0.55, the third, to 0.2, the fourth, to 0.15 and to 0.1: before each an interval holds 0, 0.55, 0.75 and
    0.9. Five scores 0, 0.55, 0.6, 0.75, 0.8 of validation images; of coverage 1/2 the third is enough.
    """
    task = Ordinal(GRADES, BinaryCalibration.identity(3), scores=(0.0, 0.55, 0.6, 0.75, 0.8))
    logits = np.array([[log(9), log(3), -log(4)]])
    held = {c: task.prediction_sets(logits, None, PredictOptions(c)) for c in (0.1, 0.3, 0.5, 0.6, 0.8, 0.9)}
    assert held[0.1].tolist() == [[False, False, True, False]]
    assert held[0.3].tolist() == held[0.5].tolist() == [[False, False, True, True]]
    assert held[0.6].tolist() == held[0.8].tolist() == [[False, True, True, True]]
    assert held[0.9].all(), "so few images promise no more"
    (found,) = task.predictions(logits, ["x.png"], None, PredictOptions(0.5))
    assert found.set == ("moderate", "severe"), "in the order of grades"


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_intervals_have_no_gaps_and_are_never_empty(coverage):
    logits, grades = simulated(300, 0)
    task = unfitted().calibrated(logits, grades)
    wild = np.random.default_rng(1).normal(0, 3, (400, 3))
    inside = task.prediction_sets(np.concatenate([logits, wild]), None, PredictOptions(coverage))
    assert inside.any(1).all()
    edges = np.diff(np.pad(inside.astype(int), ((0, 0), (1, 1))), axis=1)
    assert ((edges == 1).sum(1) == 1).all(), "each begins once"
    predicted = task.decode(np.concatenate([logits, wild])).argmax(1)
    assert inside[np.arange(len(inside)), predicted].all()


def test_larger_coverage_gives_longer_intervals():
    logits, grades = simulated(300, 0)
    task = unfitted().calibrated(logits, grades)
    sizes = [task.prediction_sets(logits, None, PredictOptions(c)).sum() for c in (0.3, 0.6, 0.9, 0.99)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_intervals_hold_the_truth_as_often_as_promised():
    shares = []
    for seed in SEEDS:
        logits, grades = simulated(300, seed)
        task = unfitted().calibrated(logits, grades)
        fresh, truth = simulated(3000, 100 + seed)
        inside = task.prediction_sets(fresh, None, PredictOptions(0.9))
        shares.append(inside[np.arange(len(truth)), truth].mean())
    assert np.mean(shares) >= 0.87


def test_there_are_no_intervals_before_calibration():
    assert unfitted().prediction_sets(np.zeros((1, 3)), None, PredictOptions()) is None
    (found,) = unfitted().predictions(np.zeros((1, 3)), ["x"], None, PredictOptions())
    assert found.set is None


def test_a_prediction_is_the_likeliest_grade():
    (found,) = unfitted().predictions(np.array([[log(9), log(3), -log(4)]]), ["x.png"], None, PredictOptions())
    assert isinstance(found, Prediction)
    assert (found.image, found.label, found.probability) == ("x.png", "moderate", pytest.approx(0.55))
    assert list(found.probabilities) == ["moderate", "severe", "mild", "none"]
    p = np.array([0.1, 0.15, 0.55, 0.2])
    assert found.uncertainty == pytest.approx(-(p * np.log(p)).sum() / log(4))


# --- Scores ----------------------------------------------------------------------------------------------------------


def outputs_of(grades, sure=5.0):
    """Logits (N, 3) of which these grades are the likeliest."""
    return np.where(np.asarray(grades)[:, None] > np.arange(3), sure, -sure)


def test_scores_by_hand():
    """Of 0, 0, 1, 2, 3, 3 predicted 0, 1, 1, 2, 2, 0: off by 0, 1, 0, 0, 1, 3."""
    truth, predicted = np.array([0, 0, 1, 2, 3, 3]), np.array([0, 1, 1, 2, 2, 0])
    found = unfitted().evaluate(outputs_of(predicted), truth, indices=np.arange(10, 16))
    assert (found.n, found.accuracy, found.mean_absolute_error) == (6, 0.5, pytest.approx(5 / 6))
    assert found.usual_error == pytest.approx((1.5 + 1.5 + 0.5 + 0.5 + 1.5 + 1.5) / 6), "from the median, 1.5"
    assert found.confusion.tolist() == confusion_matrix(truth, predicted).tolist()
    # squares 0, 1, 0, 0, 1, 9; variances 1.583 and 0.667, means 1.5 and 1
    assert found.kappa == pytest.approx(1 - (11 / 6) / (19 / 12 + 2 / 3 + 0.25))
    assert [(m.index, m.image, m.grade, m.predicted, m.off) for m in found.mistakes] == [
        (15, "#15", "severe", "none", 3),
        (11, "#11", "none", "mild", 1),
        (14, "#14", "severe", "moderate", 1),
    ]
    assert found.kappa_interval[0] <= found.kappa <= found.kappa_interval[1]
    assert found.mean_absolute_error_interval[0] < 5 / 6 < found.mean_absolute_error_interval[1]


@pytest.mark.parametrize("present", [(0, 1, 2, 3), (0, 1, 3), (0, 3), (1, 2)])
def test_kappa_is_scikit_learns_over_all_grades(present):
    """A grade that does not occur stays between its neighbours."""
    rng = np.random.default_rng(0)
    truth = rng.choice(present, 300)
    predicted = np.where(rng.random(300) < 0.6, truth, rng.choice(present, 300))
    found = unfitted().evaluate(outputs_of(predicted), truth)
    expected = cohen_kappa_score(truth, predicted, labels=range(4), weights="quadratic")
    assert found.kappa == pytest.approx(expected)
    assert found.kappa_interval[0] < expected < found.kappa_interval[1]
    assert found.kappa_interval[1] - found.kappa_interval[0] < 0.3


def test_scores_of_one_image_and_of_one_grade():
    found = unfitted().evaluate(outputs_of([2]), np.array([1]))
    assert (found.kappa_interval, found.mean_absolute_error_interval) == ((0, 0), (1, 1))
    same = unfitted().evaluate(outputs_of([2, 2, 2]), np.array([2, 2, 2]))
    assert (same.kappa, same.kappa_interval, same.mistakes) == (1, (1, 1), ())


def test_a_summary_says_it_in_numbers_and_words():
    truth = np.array([0, 0, 1, 2, 3, 3])
    found = unfitted().evaluate(outputs_of([0, 1, 1, 2, 2, 0]), truth)
    summary = json.loads(json.dumps(found.summary()))
    assert set(summary) == {
        "n", "kappa", "kappa_interval", "mean_absolute_error", "mean_absolute_error_interval", "accuracy",
        "accuracy_interval", "usual_error", "log_loss", "brier", "log_loss_frequencies", "debiased_ece",
        "debiased_ece_interval",
    }  # fmt: skip
    words = found.text()
    assert words.startswith(f"quadratic weighted kappa {found.kappa:.3f} (")
    assert "mean absolute error 0.83 grades" in words
    assert "50.0 % exactly correct" in words
    assert "off by 3 grades: #5 is severe, predicted as none (99.3 %)" in words
    parts = found.report()
    assert [tile.title for tile in parts.tiles] == ["Agreement", "Mean absolute error", "Accuracy"]
    assert parts.table.rows[0] == ("none", "2", "50.0 %", "100.0 %")
    assert parts.table.rows[3] == ("severe", "2", "0.0 %", "50.0 %")
    assert [section.title for section in parts.sections] == ["The largest errors", "Confusion matrix"]


# --- Reading ---------------------------------------------------------------------------------------------------------


def read_grades(data, grades=None, **options):
    return read(data, task="ordinal", options=TaskOptions(grades=grades, **options))


@pytest.mark.parametrize(
    "labels", [np.array([10, 2, 0, 2]), np.array([10.0, 2, 0, 2]), ["10", "2.0", "0", "2"], [10, 2, 0, 2.0]]
)
def test_numbers_are_grades_in_their_order(labels):
    found = read_grades((images(4), labels))
    assert (found.task, found.names, found.labels.tolist()) == (Ordinal, ("0", "2", "10"), [2, 1, 0, 1])
    assert [found.words(i) for i in range(2)] == ["10", "2"]
    assert Ordinal.describe(found) == "3 grades, from 0 to 10"


@pytest.mark.parametrize("grades", ["none,mild,severe", ["none", "mild", "severe"], "none, mild,severe,mild"])
def test_names_are_grades_in_the_order_stated(grades):
    found = read_grades((images(4), ["severe", "none", "mild", "none"]), grades)
    assert (found.names, found.labels.tolist()) == (("none", "mild", "severe"), [2, 0, 1, 0])


def test_grades_that_no_image_has_are_known_still():
    found = read_grades((images(3), [3, 0, 3]), "0,1,2,3")
    assert (found.names, found.labels.tolist()) == (("0", "1", "2", "3"), [3, 0, 3])
    assert read_grades((images(3), [3, 0, 3]), "3,0").labels.tolist() == [0, 1, 0], "the highest number first"


def test_a_column_of_a_table_is_grades(tmp_path):
    for i in range(4):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / f"{i}.png")
    table = pd.DataFrame({"image_path": [f"{i}.png" for i in range(4)], "score": [0, 2.5, 1, 0]})
    found = read_grades(table.assign(image_path=[str(tmp_path / p) for p in table.image_path]))
    assert found.names == ("0", "1", "2.5")
    table.rename(columns={"score": "label"}).assign(label=list("abca")).to_csv(tmp_path / "names.csv", index=False)
    assert read_grades(tmp_path / "names.csv", "c,b,a").labels.tolist() == [2, 1, 0, 2]


def test_class_folders_are_grades_where_their_order_is_stated(tmp_path):
    for name in ("bad", "fair", "good"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1.png")
    assert read_grades(tmp_path, "bad,fair,good").labels.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=r"the order of the grades in .* is unknown; found bad, fair, good.*--grades"):
        read_grades(tmp_path)


def test_the_solar_cells_are_graded_by_their_experts():
    found = read_grades("elpv")
    assert found.names == ("0", "0.333", "0.667", "1")
    assert np.bincount(found.labels).tolist() == [1508, 295, 106, 715]
    names = read_grades("elpv", "functional,defective")
    assert np.bincount(names.labels).tolist() == [1803, 821]
    again = read("elpv", task="ordinal", options=unfitted(found.names).read_options())
    assert (again.labels == found.labels).all(), "for a model of these grades, too"


@pytest.mark.parametrize(
    ("labels", "grades", "message"),
    [
        (["a", "b", "x", "y"], "a,b,c", r"has grades that are missing from --grades; found x, y; expected a, b, c"),
        ([1, 2, 3, 4], "1,2,3", r"has grades that are missing from --grades; found 4; expected 1, 2, 3"),
        (["a", "b", "c", "a"], None, "the order of the grades in .* is unknown; found a, b, c. List them, lowest"),
        (["1", "2", "many", "1"], None, "the order of the grades in .* is unknown; found 1, 2, many"),
        ([1, 1, 1, 1], None, "contains 1 distinct grade; expected 2 to 20"),
        ([1, None, 2, ""], None, "labels are missing for 2 of 4 images in .*; found an empty label at index 1"),
        (np.eye(4), None, "has several grades per image; expected a single column of grades"),
        ([1, 2, np.inf, 1], None, "the order of the grades in .* is unknown; found 1.0, 2.0, inf"),
    ],
)
def test_faults_are_named(labels, grades, message):
    with pytest.raises(DataError, match=message):
        read_grades((images(4), labels), grades)


def test_many_numbers_are_no_grades():
    with pytest.raises(DataError, match=r"contains 21 distinct grades; expected 2 to 20. Use --task regression"):
        read_grades((images(21), np.arange(21)))


def test_one_grade_alone_cannot_be_learned():
    data = read_grades((images(3), [1, 1, 1]), "0,1,2")
    with pytest.raises(DataError, match="all images of arrays have the same grade; found 1"):
        Ordinal.check(data, TrainConfig())


# --- The card, and other data ----------------------------------------------------------------------------------------


def test_the_card_is_the_task():
    task = unfitted().calibrated(*simulated(200, 0))
    card = json.loads(json.dumps(task.card()))
    assert card["task"] == "ordinal"
    assert Ordinal.load(card, task.names, 1.0) == task


def test_other_data_is_read_with_the_models_grades():
    task = unfitted(("0", "1", "2", "3"))
    data = read((images(2), [3.0, 1.0]), task="ordinal", options=task.read_options())
    assert task.aligned(data).tolist() == [3, 1], "though it lacks some"
    with pytest.raises(DataError, match="has grades that are missing from the model; found 4; expected 0, 1, 2, 3"):
        read((images(2), [4, 1]), task="ordinal", options=task.read_options())
    turned = read_grades((images(2), [3, 1]), "3,2,1,0")
    assert task.aligned(turned).tolist() == [3, 1]
    with pytest.raises(DataError, match="grades that the model was not trained on; found a, b; expected 0, 1, 2, 3"):
        task.aligned(read_grades((images(2), ["a", "b"]), "a,b"))


def test_a_heatmap_explains_that_an_image_lies_between_the_boundaries_of_its_grade():
    task, outputs = unfitted(), np.array([log(9), log(3), -log(4)])
    found = task.explained(outputs, None)
    assert (found.name, found.predicted, found.value) == ("moderate", True, pytest.approx(0.55))
    assert found.weights.tolist() == [0, 1, -1]
    np.testing.assert_allclose(found.score(outputs[None]), [0.55])
    lowest, highest = task.explained(outputs, 0), task.explained(outputs, 3)
    assert (lowest.weights.tolist(), lowest.predicted, lowest.value) == ([-1, 0, 0], False, pytest.approx(0.1))
    assert (highest.weights.tolist(), highest.value) == ([0, 0, 1], pytest.approx(0.2))


def test_exported_files_are_compared_by_their_grades():
    task = unfitted()
    one = task.decoded(np.array([[log(9), log(3), -log(4)], [-1, -2, -3]]))
    other = task.decoded(np.array([[log(9), log(3), log(4)], [-1, -2, -3]]))
    assert task.same(one, other).tolist() == [False, True]
    assert task.undecided(task.decoded(np.array([[0, -30, -30.0], [-1, -2, -3]]))).tolist() == [True, False]
    assert task.int8_score(one, np.array([2, 1])) == 0.5


# --- A whole run -----------------------------------------------------------------------------------------------------


def stripes(count, seed=0):
    """Noise with as many bright stripes as the grade, 0 to 3: (N, 16, 16) and grades (N,)."""
    rng = np.random.default_rng(seed)
    found, grades = rng.integers(0, 60, (count, 16, 16)).astype(np.uint8), rng.integers(0, 4, count)
    for image, grade in zip(found, grades, strict=True):
        for place in rng.choice(5, grade, replace=False):
            image[3 * place + 1 : 3 * place + 3] += 150
    return found, grades


@pytest.fixture(scope="module")
def run(tmp_path_factory, new_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", new_cache())
        found, grades = stripes(400)
        out = tmp_path_factory.mktemp("ordinal") / "run"
        return cs.fit(found, [GRADES[k] for k in grades], task="ordinal", grades=",".join(GRADES), epochs=7, out=out)


def test_a_run_learns_grades(run):
    assert run.metrics["task"] == "ordinal"
    test = run.metrics["test"]
    assert test["kappa"] > 0.6
    assert test["mean_absolute_error"] < 0.6 * test["usual_error"]
    kept = json.loads((run.folder / "metrics.json").read_text())["test"]
    assert kept["kappa"] == test["kappa"]
    card = json.loads((run.folder / "model" / "card.json").read_text())
    assert (card["task"], card["task_card"]["names"]) == ("ordinal", list(GRADES))


def test_a_run_predicts_grades_and_intervals(run, tmp_path, capsys):
    found, grades = stripes(60, seed=1)
    predictions = run.predictor.predict(found)
    off = [abs(GRADES.index(p.label) - k) for p, k in zip(predictions, grades, strict=True)]
    assert np.mean(off) < 0.6
    inside = [GRADES[k] in p.set for p, k in zip(predictions, grades, strict=True)]
    assert np.mean(inside) > 0.75
    assert all(0 <= p.ood_percentile <= 1 for p in predictions)
    assert cs.load(run.folder).predictor.predict(found) == predictions
    Image.fromarray(found[0]).save(tmp_path / "x.png")
    assert main(["predict", str(run.folder), str(tmp_path / "x.png"), "--coverage", "0.8"]) == 0
    line = capsys.readouterr().out
    assert predictions[0].label in line
    assert re.search(r"at 80 %: \w+", line)
    assert main(["predict", str(run.folder), str(tmp_path / "x.png"), "--json"]) == 0
    prediction = json.loads(capsys.readouterr().out)["predictions"][0]
    assert (prediction["label"], set(prediction["probabilities"])) == (predictions[0].label, set(GRADES))


def test_a_run_is_evaluated_on_other_images(run, tmp_path, capsys):
    found, grades = stripes(80, seed=2)
    evaluation = cs.evaluate(run.predictor, (found, [GRADES[k] for k in grades]))
    assert evaluation.n == 80
    assert evaluation.kappa > 0.5
    np.savez(tmp_path / "some.npz", images=found[grades < 2], labels=np.array(GRADES)[grades[grades < 2]])
    assert main(["evaluate", str(run.folder), str(tmp_path / "some.npz")]) == 0, "which lacks two of the grades"
    assert "quadratic weighted kappa" in capsys.readouterr().out
    with pytest.raises(DataError, match="grades that are missing from the model; found worst"):
        cs.evaluate(run.predictor, (found[:2], ["worst", "none"]))


def test_a_run_is_reported(run):
    page = run.report.read_text()
    assert "quadratic weighted kappa" in page
    assert "Mean absolute error" in page
    assert 'id="confusion"' in page
    assert not re.search(r">[^<]*\bnan\b", page)


def test_a_grade_is_explained(run, tmp_path):
    found, grades = stripes(40, seed=3)
    Image.fromarray(found[np.flatnonzero(grades == 2)[0]]).save(tmp_path / "x.png")
    (explained,) = cs.explain(run.folder, str(tmp_path / "x.png"), method="saliency", out=tmp_path / "maps")
    assert (tmp_path / "maps" / "x.saliency.png").is_file()
    (prediction,) = cs.load(run.folder, engine="torch").predictor.predict(str(tmp_path / "x.png"))
    assert explained.target == prediction.label
    assert np.isfinite(explained.heat).all()
    (other,) = cs.explain(run.folder, str(tmp_path / "x.png"), method="saliency", target="severe")
    assert other.target == "severe"


def test_options_that_mean_nothing_for_grades_are_refused(tmp_path):
    found, grades = stripes(60)
    for options, error, message in (
        (
            {"task": "ordinal", "loss": "focal"},
            ConfigError,
            "--loss focal is not available for the task ordinal; expected bce",
        ),
        ({"task": "ordinal", "class_weight": "balanced"}, ConfigError, "only classification supports --class-weight"),
        ({"task": "ordinal", "model": "hog+svm"}, ConfigError, "supports only classification"),
        ({"grades": "0,1,2,3"}, ConfigError, "only the task ordinal supports --grades; found arrays"),
        ({"task": "ordinal", "grades": "0,1"}, DataError, "missing from --grades; found 2, 3"),
    ):
        with pytest.raises(error, match=message):
            cs.fit(found, grades, out=tmp_path / "no", **options)
    assert not (tmp_path / "no").exists()
