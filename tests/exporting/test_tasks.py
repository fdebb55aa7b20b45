"""Files of models of labels, numbers, angles and directions say what their models say, in every format."""

import json
import math
import runpy

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.cli.main import main
from clearsight.exporting import Exported
from clearsight.exporting.export import export_card
from clearsight.exporting.int8 import Quantised
from clearsight.exporting.parity import compare
from clearsight.tasks.task import BAR

KINDS = ("labels", "numbers", "numbers with deviations", "angles", "radians", "direction")
SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}


@pytest.fixture(scope="module")
def models(answering):
    return {kind: answering(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def written(models, tmp_path_factory):
    """A function that gives a kind of model as exported for OpenVINO, once."""
    made = {}

    def file(kind):
        if kind not in made:
            made[kind] = cs.export(models[kind], format="openvino", out=tmp_path_factory.mktemp("written") / "m.xml")
        return made[kind]

    return file


PAIRS = [(f, k) for f in SUFFIX for k in KINDS if (f, k) not in (("onnx", "numbers"), ("onnx", "radians"))]
"""ONNX is written slowly; numbers with deviations and angles have all that is in these two."""

QUICK = [
    ("openvino", "numbers with deviations"), ("openvino", "angles"), ("onnx", "direction"), ("torch", "labels"),
]  # fmt: skip
"""Every format, and every kind but plain numbers and radians, which the others have in them; the rest is in the long
tier.
"""


@pytest.mark.parametrize(
    ("format", "kind"), [pair if pair in QUICK else pytest.param(*pair, marks=pytest.mark.long) for pair in PAIRS]
)
def test_a_file_gives_the_model_s_answers(models, written, kind, format, noise, tmp_path):
    predictor, images = models[kind], noise(40)
    if format == "openvino":  # whose files have a fixed size anyway
        made = written(kind)
    else:
        made = cs.export(predictor, format=format, out=tmp_path / f"m{SUFFIX[format]}", fixed_size=True)
    assert made.parity is None, "noise in memory is no data to compare on"
    exported = Exported(made.path)
    found = exported(images)
    assert exported.card["outputs"] == list(predictor.bundle.task.output_names)
    assert len(found) == len(exported.card["outputs"])
    expected = predictor.decoded_outputs(images)
    assert found[0].shape == expected.shape
    apart = np.abs(found[0] - expected)
    if "turn" in (facts := {"angles": {"turn": 360}, "radians": {"turn": 2 * math.pi}}.get(kind, {})):
        apart = np.minimum(apart, facts["turn"] - apart)
        assert (found[0] >= 0).all()
        assert (found[0] < facts["turn"]).all()
    assert apart.max() < 1e-4 * max(1, np.abs(expected).max())
    if kind == "direction":
        assert np.hypot(*found[0].T) == pytest.approx(1, abs=1e-6)
    if kind == "numbers":
        assert found[0].max() == 45, "kept inside the range"
    if kind == "numbers with deviations":
        own = predictor.bundle.task.deviations(predictor.logits(images))
        assert found[1] == pytest.approx(own, rel=1e-4)
    parity = compare(predictor.bundle.task, predictor.logits(images), exported, [images], list(range(40)))
    assert parity.holds
    assert parity.images == 40


SEVERAL = ("labels", "numbers with deviations", "direction")
"""What the runner prints differently; the other kinds are in the long tier."""


@pytest.mark.parametrize("kind", [k if k in SEVERAL else pytest.param(k, marks=pytest.mark.long) for k in KINDS])
def test_the_runner_says_what_predict_says(models, written, kind, noise, tmp_path, capsys):
    predictor = models[kind]
    file = written(kind).path
    paths = []
    for i, image in enumerate(noise(6, seed=3)):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(image[0]).save(paths[-1])
    predictor.bundle.save(tmp_path / "run")
    assert main(["predict", str(tmp_path / "run"), *paths, "--engine", "torch"]) == 0
    expected = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    script = runpy.run_path(str(file.parent / "run.py"))
    assert script["main"](paths) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == expected
    exported = script["Exported"](file)
    for own, other in zip(exported.predict(paths, coverage=0.8), predictor.predict(paths, coverage=0.8), strict=True):
        if kind == "labels":
            assert own.labels == other.labels
            assert own.probabilities == pytest.approx(other.probabilities, abs=1e-4)
            assert own.uncertainty == pytest.approx(other.uncertainty, abs=1e-4)
        else:
            assert own.values == pytest.approx(other.values, abs=1e-3)
            assert own.within == pytest.approx(other.within, abs=1e-3)
            for name, span in (other.intervals or {}).items():
                assert own.intervals[name] == pytest.approx(span, abs=1e-2)
    ask, wrong = ("predict_proba", "values") if kind == "labels" else ("values", "predict_proba")
    assert getattr(exported, ask)(paths).shape == (6, len(predictor.classes))
    with pytest.raises(ValueError, match=f"use `{ask}` instead"):
        getattr(exported, wrong)(paths)


def test_the_card_gives_thresholds_and_widths(models, written, noise):
    card = json.loads((written("labels").path.parent / "card.json").read_text())
    assert card["thresholds"] == dict(zip(("cat", "dog", "fox"), models["labels"].bundle.task.thresholds, strict=True))
    predictor = models["numbers"]
    card = export_card(predictor.bundle)
    (size, age), *_ = predictor.bundle.task.widths(predictor.logits(noise(1)), 0.9)
    assert card["half_widths"]["0.9"] == pytest.approx({"size": size, "age": age})
    assert card["half_widths"]["0.99"] == {"size": None, "age": None}, "60 images cannot promise so much"


def test_differences_are_taken_the_short_way_in_what_is_one_to_the_network(models):
    angles = models["angles"].bundle.task
    far = np.array([[1.0, 0.6, -0.01, 0.8]])  # cosines, then sines: just below the turn, and 53 degrees
    expected = angles.decoded(far)
    found = (expected[0] + [[0.6, 0.0]]) % 360
    assert angles.difference(expected, (found,)) == pytest.approx(np.radians(0.6), rel=1e-3)
    hardly = angles.decoded(far * [[0.01, 1, 0.01, 1]])
    assert angles.difference(hardly, (found,)) == pytest.approx(0.01 * np.radians(0.6), rel=1e-3)
    numbers = models["numbers"].bundle.task
    expected = numbers.decoded(np.array([[0.0, 0.0]]))
    assert numbers.difference(expected, (expected[0] + [[12e-4, 0]],)) == pytest.approx(1e-4)
    assert numbers.int8_score(expected, np.array([[52.0, -3.0]])) == pytest.approx(0.5), "a deviation off in one of two"
    assert BAR == 1e-4


def test_int8_is_evaluated_by_the_measure_of_the_task():
    about = {
        "images": 9, "calibration": 9, "predicted": "numbers", "same_predictions": 1.0, "rate": 10.0, "rate_int8": 20.0,
        "repeats": 5, "bytes": 2, "bytes_int8": 1,
    }  # fmt: skip
    worse = Quantised(measure="mean error", score=0.2, score_int8=0.25, lost=0.05, **about)
    assert not worse.pays
    assert Quantised(measure="mean error", score=0.2, score_int8=0.19, lost=-0.01, **about).pays
