"""`clearsight export` as a user types it."""

import json

import pytest

from clearsight.cli.main import main
from clearsight.exporting import formats


def test_it_prints_the_check_and_how_to_use_the_file(digits_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(digits_run), "--format", "openvino", "--images", "40", "--out", "digits.xml"]) == 0
    out = capsys.readouterr().out
    assert "openvino compared with the model: same class for 40 of 40 images; probabilities differ by at most" in out
    assert 'openvino.compile_model("digits.xml", "CPU"' in out
    assert "# images: uint8 (N, 1, 8, 8)" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.json", "digits.bin", "digits.xml", "run.py"]


def test_json_and_the_usual_place(digits_run, capsys):
    assert main(["export", str(digits_run), "--format", "openvino", "--images", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(digits_run / "export" / "model.xml")
    assert found["parity"]["holds"]
    assert found["parity"]["images"] == 8
    assert found["int8"] is None


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--format", "onx"], "unknown format 'onx'; expected onnx, openvino, torch. Did you mean onnx?"),
        (["--format", "tensorrt"], "unknown format 'tensorrt'; expected onnx, openvino, torch.\n"),
        (
            ["--format", "pt2"],
            "unknown format 'pt2'; expected onnx, openvino, torch. --format torch writes .pt2 files",
        ),
        (["--format", ".XML"], "--format openvino writes .xml files"),
        (["--format", "PyTorch"], "Did you mean torch?"),
        (["--quantize", "int4"], "--quantize int4 is not supported; expected int8"),
        (
            ["--quantize", "int8", "--format", "torch"],
            "is not supported for the format torch; expected onnx or openvino",
        ),
        (["--images", "0"], "--images must be 1 or more, not 0"),
        (["--out", "nowhere/model.onnx"], "the folder nowhere does not exist. Create it"),
        (["--out", "model.pt"], "--out model.pt has the wrong suffix; found .pt; expected .onnx. Name it model.onnx."),
        (
            ["--out", "m.pt2"],
            "--out m.pt2 has the wrong suffix; found .pt2; expected .onnx. --format torch writes .pt2 files",
        ),
        (["--out", "m"], "--out m has the wrong suffix; found none; expected .onnx. Name it m.onnx."),
    ],
)
def test_what_cannot_be_asked(digits_run, words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(digits_run), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("clearsight: ")
    assert text in err
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(digits_run, capsys, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    assert main(["export", str(digits_run)]) == 2
    assert "the format onnx needs onnx, onnxscript, onnxruntime. Run pip install 'clearsight[export]'" in (
        capsys.readouterr().err
    )


@pytest.mark.long
def test_int8_without_the_training_images(tmp_path, digit_folders, capsys):
    run = str(tmp_path / "run")
    assert main(["train", str(digit_folders), "--epochs", "1", "--out", run]) == 0
    digit_folders.rename(tmp_path / "away")
    capsys.readouterr()
    assert main(["export", run, "--format", "openvino", "--quantize", "int8"]) == 2
    text = capsys.readouterr().err
    assert "needs the training images for calibration, but they are not available; found" in text
    assert "does not exist. Restore them to their original location, or omit --quantize" in text
    assert main(["export", run, "--format", "openvino"]) == 0
    out = capsys.readouterr().out
    assert "not compared on real images: pass some with `clearsight export RUN DATA`" in out
    assert main(["export", run, str(tmp_path / "away"), "--format", "openvino"]) == 0
    assert "same class for 60 of 60 images" in capsys.readouterr().out
