"""--auto-fix: the fault is found, its cure applied, and the good run lies where it was asked for; and what is no
health.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import clearsight as cs
from clearsight.api.auto_fix import TrainingDiagnosedError
from clearsight.api.run import Run
from clearsight.cli.main import main
from clearsight.diagnosis import Diagnosis, Verdict
from clearsight.errors import TrainingError
from clearsight.tasks import Classification


@pytest.fixture
def few(digits_arrays):
    """300 digits and their labels."""
    return digits_arrays[0][:300], digits_arrays[1][:300]


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        pytest.param({"lr": 1e-9}, "rate-too-low", id="a rate too low", marks=pytest.mark.long),
        pytest.param({"lr": 1e6, "opt": "sgd", "clip": 0.0}, "rate-too-high", id="a rate that breaks the run"),
    ],
)
def test_the_fixed_run_lies_where_it_was_asked_for(few, tmp_path, broken, fault):
    out = tmp_path / "run"
    run = cs.fit(*few, model="mlp", epochs=20, out=out, auto_fix=True, **broken)
    assert run.folder == out
    assert run.metrics["val"]["accuracy"] > 0.5, "chance is 0.1"
    assert cs.load(out).predict(few[0][:1])[0].label == run.predictor.predict(few[0][:1])[0].label
    assert json.loads((out / "config.json").read_text())["options"]["optimization"]["lr"] != broken["lr"]
    sick = json.loads((tmp_path / "run-sick" / "diagnosis.json").read_text())
    assert sick["verdicts"][0]["name"] == fault
    assert sorted(f.name for f in tmp_path.iterdir()) == ["run", "run-sick"]


def test_a_healthy_run_is_left_alone(few, tmp_path):
    run = cs.fit(*few, model="mlp", epochs=20, out=tmp_path / "run", auto_fix=True)
    assert [f.name for f in tmp_path.iterdir()] == ["run"]
    assert not [v for v in run.diagnosis.verdicts if v.severity == "fault"]


def test_what_learned_nothing_is_not_called_healthy(few, tmp_path):
    """Labels in random order, in too few steps for the doctor to say that they are."""
    labels = np.random.default_rng(1).permutation(few[1])
    run = cs.fit(few[0], labels, model="resnet8", epochs=12, out=tmp_path / "run")
    assert run.diagnosis.facts["steps"] < 50
    (fault,) = (v for v in run.diagnosis.verdicts if v.severity == "fault")
    assert fault.name == "no-better-than-chance"
    assert "no better than always predicting the most common class" in fault.words


def test_a_few_steps_are_no_overfitting_and_no_health(few, tmp_path, capsys):
    run = cs.fit(*few, model="resnet8", epochs=3, out=tmp_path / "run")
    assert run.diagnosis.verdicts == ()
    assert main(["doctor", str(run.folder)]) == 0
    assert "too few steps for a diagnosis; train for more epochs" in capsys.readouterr().out
    assert "too few steps for a diagnosis; train for more epochs" in (run.folder / "report.html").read_text()


def test_an_interrupted_run_says_how_to_go_on_and_needs_no_data_named(digit_folders, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", str(digit_folders), "--model", "mlp", "--epochs", "2", "--out", str(out)]) == 0
    whole = (out / "model" / "weights.safetensors").read_bytes()
    (out / "metrics.json").unlink()
    (out / "model").rename(tmp_path / "gone")
    (out / "diagnosis.json").unlink()
    (out / "checkpoints").mkdir()
    capsys.readouterr()
    for words in (["predict", str(out), str(tmp_path / "none.png")], ["doctor", str(out)]):
        assert main(words) == 2
        assert f"resume it with `clearsight train --resume --out {out}`" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", str(out)]) == 0
    assert (out / "model" / "weights.safetensors").read_bytes() == whole
    assert main(["train", "--resume"]) == 2
    assert "no data to train on" in capsys.readouterr().err


def test_no_command_is_given_where_no_option_cures(tmp_path, monkeypatch, capsys):
    """The command would be the one that has just failed."""
    command = "clearsight train digits --model mlp"
    mend = Verdict("unnormalised-input", "fault", "Numbers of 100.", {}, "scale the pixels", {}, command)
    lower = Verdict("rate-too-high", "fault", "Too high.", {}, "lower the rate", {"lr": 0.1}, f"{command} --lr 0.1")
    broke = TrainingError("the loss became nan", fix="try --lr 0.1")
    assert str(TrainingDiagnosedError(broke, Diagnosis((mend,), {}))).endswith("Numbers of 100. Scale the pixels.")
    assert str(TrainingDiagnosedError(broke, Diagnosis((lower,), {}))).endswith(f"Lower the rate: {command} --lr 0.1.")

    test = {"n": 9, "accuracy": 1, "accuracy_interval": [0, 1], "mean_confidence": 1, "ece": 0, "ece_uncalibrated": 0}
    metrics = {"task": "classification", "test": test, "train_seconds": 1}
    predictor = SimpleNamespace(bundle=SimpleNamespace(thing="image", data={}, task=Classification(("0", "1"))))
    run = Run(tmp_path, predictor, metrics, tmp_path / "report.html", Diagnosis((mend, lower), {}))
    monkeypatch.setattr("clearsight.api.fit.train", lambda *_, **__: run)
    assert main(["train", "digits"]) == 0
    text = capsys.readouterr().out
    assert "fault: Numbers of 100.\n  fix: scale the pixels\n\nfault: Too high." in text
    assert f"fix: lower the rate\n  {command} --lr 0.1\n" in text
