"""A model compiled for a few images: the same predictions as in PyTorch, without importing it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import clearsight as cs
from clearsight.calibration.binary import BinaryCalibration
from clearsight.calibration.calibrator import Calibrator
from clearsight.compiled_predictor import CompiledPredictor, compiled_or_none
from clearsight.data.loader import to_float
from clearsight.data.unit_range import unit_range
from clearsight.tasks import Anomaly, Classification, Multilabel, Ordinal, Regression

WITHOUT_TORCH = """
import sys
from clearsight.cli.main import main
code = main(sys.argv[1:])
sys.exit("torch was imported" if "torch" in sys.modules else code)
"""


def test_predict_from_the_shell_needs_no_torch(digits_run, digits_arrays, tmp_path):
    for i in range(3):
        Image.fromarray(digits_arrays[0][i, 0]).save(tmp_path / f"{i}.png")
    compiled = CompiledPredictor(digits_run)
    command = [sys.executable, "-c", WITHOUT_TORCH, "predict", str(digits_run), str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["predictions"]
    assert [p["label"] for p in found] == [p.label for p in compiled.predict(tmp_path)]
    for one, other in zip(found, cs.load(digits_run, engine="torch").predict(tmp_path), strict=True):
        assert one["label"] == other.label
        assert one["set"] == list(other.set)
        assert one["is_ood"] == other.is_ood
        assert one["ood_percentile"] == pytest.approx(other.ood_percentile, abs=0.01)
        assert one["probabilities"] == pytest.approx(other.probabilities, abs=1e-4)


def test_outputs_agree_with_pytorch(photos, photos_run):
    files = sorted(photos.rglob("*.jpg"))[:3]
    compiled, usual = CompiledPredictor(photos_run), cs.load(photos_run, engine="torch").predictor
    for name, tolerance in (("logits", 1e-4), ("features", 1e-3), ("statistics", 0)):
        a, b = (getattr(predictor.forward(files), name) for predictor in (compiled, usual))
        np.testing.assert_allclose(a, b, atol=tolerance)
    np.testing.assert_allclose(compiled.embed(files), usual.embed(files), atol=1e-3)


def test_what_runs_only_in_pytorch_is_not_compiled(classical_run):
    assert compiled_or_none(classical_run) is None


def test_a_damaged_model_is_reported(digits_run, tmp_path):
    (tmp_path / "model").mkdir()
    for name in ("card.json", "weights.safetensors"):
        (tmp_path / "model" / name).write_bytes((digits_run / "model" / name).read_bytes()[:-40])
    with pytest.raises(cs.ClearsightError, match="damaged model"):
        compiled_or_none(tmp_path)


def decoders():
    rng = np.random.default_rng(0)
    knots = tuple((tuple(np.sort([0, *rng.random(3), 1])), tuple(np.sort(rng.random(5)))) for _ in range(3))
    plain = Calibrator("vector", (1.5, 0.5, 1.0), (0.1, 0.0, -0.2), (0.2, 0.3, 0.5), 0.05, 0.9)
    isotonic = Calibrator("isotonic", (1.0,) * 3, (0.0,) * 3, (0.2, 0.3, 0.5), 0.0, 1.0, 10, knots)
    names = ("a", "b", "c")
    binary = BinaryCalibration((1.0, 0.8), (0.0, 0.5), (0.1, 0.1), (0.4, 0.6), (0.95, 0.95))
    return [
        (Classification(names, plain), 3),
        (Classification(names, isotonic), 3),
        (Multilabel(names[:2], binary, (0.5, 0.5)), 2),
        (Regression(names, "number", mean=(1.0, 2.0, 3.0), std=(2.0, 1.0, 0.5), low=0.0, spread=True), 6),
        (Regression(names, "angle", unit="degrees"), 6),
        (Regression(("x", "y"), "direction"), 2),
        (Anomaly(("good",), known=tuple(np.sort(rng.random(20)).tolist())), 1),
        (Ordinal(names, binary), 2),
    ]


@pytest.mark.parametrize(("task", "outputs"), decoders())
def test_a_decoder_is_the_same_in_numpy_and_pytorch(task, outputs):
    given = np.random.default_rng(1).normal(0, 20, (50, outputs))
    given[0] = 0
    expected = task.activation().double()(torch.from_numpy(given))
    for one, other in zip(task.decoded(given), expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pixels_become_the_same_floats_without_pytorch(dtype):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 4)).astype(dtype)
    np.testing.assert_array_equal(unit_range(pixels), to_float(pixels).numpy())
