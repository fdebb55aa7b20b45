"""The command line as a user types it."""

import ast
import io
import json
import subprocess
import sys

import pytest
from PIL import Image

import clearsight as cs
from clearsight.cli.main import COMMANDS, main


def modules_after(*argv):
    """Run a command in a fresh interpreter: what it prints, then the modules it loaded."""
    code = f"""
import sys
from clearsight.cli.main import main
try:
    main({list(argv)!r})
finally:
    print(sorted(sys.modules))
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_does_not_import_torch():
    loaded = modules_after("--help").splitlines()[-1]
    for heavy in ("torch", "numpy", "PIL", "rich", "pandas", "sklearn"):
        assert f"'{heavy}'" not in loaded


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself_without_torch(command):
    out = modules_after(command, "--help")
    assert "'torch'" not in out.splitlines()[-1]
    assert f"usage: clearsight {command}" in out
    assert "--json" in out


def test_help_loads_few_modules_so_it_starts_at_once():
    """About 90 with those of Python's own start; PyTorch alone loads over a thousand. Times are in benchmarks/."""
    loaded = ast.literal_eval(modules_after("--help").splitlines()[-1])
    assert "clearsight.cli.main" in loaded
    assert len(loaded) < 200


def test_tasks_are_imported_without_scikit_learn_and_the_slow_parts_of_scipy():
    code = "import sys, clearsight.tasks.anomaly; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'clearsight.tasks.anomaly'" in loaded
    for slow in ("sklearn", "scipy.stats", "scipy.optimize", "pandas", "timm"):
        assert f"'{slow}'" not in loaded


def test_train_predict_evaluate_audit_in_json(tmp_path, capsys, photos, photos_run, monkeypatch):
    tmp_path = photos_run.parent.parent
    monkeypatch.chdir(tmp_path)
    trained = json.loads((tmp_path / "train.json").read_text())
    assert trained["run"] == "runs/photos"
    assert trained["model"] == "efficientnet_lite0"
    assert trained["test"]["n"] == 24
    assert trained["test"]["accuracy"] >= 0.9
    assert {"accuracy", "accuracy_interval", "log_loss", "ece", "ece_uncalibrated"} <= set(trained["test"])
    for name in ("report.html", "metrics.json", "history.csv", "config.json", "audit.json", "model/card.json"):
        assert (tmp_path / "runs/photos" / name).is_file()

    image = str(photos / "cat" / "0.jpg")
    assert main(["predict", "runs/photos", image, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["predictions"][0]
    assert answer["label"] == "cat"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["set"] == ["cat"]
    assert answer["is_ood"] is False
    assert main(["predict", "runs/photos", image, "--coverage", "0.9"]) == 0
    assert "at 90 %: cat" in capsys.readouterr().out

    assert main(["evaluate", "runs/photos", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["accuracy"] == trained["test"]["accuracy"]
    assert evaluated["log_loss"] == pytest.approx(trained["test"]["log_loss"], abs=1e-6)

    assert main(["audit", str(photos), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["usable"] == 96

    assert main(["train", str(photos), "--model", "pixels+softmax", "--img-size", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "runs/photos-2"


def test_evaluate_compares_views_and_models_on_the_same_images(capsys, digits_run):
    assert main(["evaluate", str(digits_run), "--tta", "shifts", "--with", str(digits_run), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["together"]
    name = digits_run.name
    assert [r["name"] for r in rows] == [name, f"{name}, shifts", f"{name}', shifts", "together"]
    assert rows[1]["accuracy"] == rows[2]["accuracy"]
    assert all(r["n"] == 450 for r in rows)
    assert all(r["interval"][0] <= r["difference"] <= r["interval"][1] for r in rows)
    assert main(["evaluate", str(digits_run), "--with", str(digits_run)]) == 0
    assert "together" in capsys.readouterr().out
    assert not any(r["knows"] for r in rows)
    assert main(["evaluate", str(digits_run), "--tta", "shift"]) == 2
    assert "did you mean shifts" in capsys.readouterr().err.lower()


def test_images_that_another_model_was_trained_on_are_left_out(capsys, digits_run, tmp_path):
    other = cs.fit("digits", model="mlp", epochs=1, seed=1, out=str(tmp_path / "other")).folder
    first, second = (cs.load(run).predictor.bundle.split for run in (digits_run, other))
    both = {c for c, p in zip(first.contents, first.parts, strict=True) if p == "test"} & {
        c for c, p in zip(second.contents, second.parts, strict=True) if p == "test"
    }
    rows = cs.compare_models(digits_run, others=[other])
    assert [row.knows for row in rows] == [False, False, False]
    assert {row.n for row in rows} == {len(both)}
    rows = cs.compare_models(digits_run, others=[other], include_training=True)
    assert [row.knows for row in rows] == [False, True, True]
    assert main(["evaluate", str(digits_run), "--with", str(other)]) == 0
    assert "used to train at least one of the other models" in capsys.readouterr().err


def test_models_lists_every_network_as_published(capsys):
    assert main(["models", "--json"]) == 0
    rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)["models"]}
    assert rows["resnet50"]["parameters"] == 25_557_032
    assert rows["lenet5"]["year"] == 1998
    assert main(["models"]) == 0
    assert "25,557,032" in capsys.readouterr().out


def test_models_shows_the_layers_of_one(capsys):
    assert main(["models", "lenet5", "--classes", "10", "--channels", "1"]) == 0
    out = capsys.readouterr().out
    assert "61,706 parameters" in out
    assert "(32-5)/1+1 = 28" in out


def test_wrong_arguments_give_one_line_with_the_usage(capsys):
    for words, text in (
        (["export"], "the following arguments are required: RUN; expected clearsight export RUN [DATA] [options]."),
        (["predict"], "are required: RUN, IMAGE; expected clearsight predict RUN IMAGE... [options]."),
        (["export", "a", "b", "c"], "unexpected argument 'c'; expected RUN [DATA]."),
        (["export", "a", "--quantise", "int8"], "export has no option --quantise. Did you mean --quantize?"),
        (["export", "no_such_run"], "no_such_run does not exist; expected a trained model's folder."),
    ):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert text in err


def test_models_needs_a_name_for_a_shape(capsys):
    assert main(["models", "--img-size", "32"]) == 2
    assert "apply to a single network. Add its name" in capsys.readouterr().err


def test_words_for_people(tmp_path, capsys, digits_run, monkeypatch):
    assert main(["evaluate", str(digits_run)]) == 0
    out = capsys.readouterr().out
    assert "95 % interval" in out
    assert "before calibration" in out


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path, monkeypatch):
    for name in ("caf\u00e9", "\u732b"):
        (tmp_path / name).mkdir()
        for i in range(12):
            Image.new("L", (8, 8), 7 * i).save(tmp_path / name / f"{i}.png")
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    assert main(["audit", str(tmp_path)]) == 0
    assert rb"caf\xe9" in shown.getvalue()
    assert rb"\u732b" in shown.getvalue()


def test_an_interruption_that_becomes_another_error_is_still_one(monkeypatch, capsys):
    """Ctrl-C while NumPy's extension modules are imported raises ImportError."""
    import signal

    from clearsight.cli import audit, main

    def imported(arguments):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("could not import module") from error

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(audit, "run", imported)
        assert main.main(["audit", "digits"]) == 130
        assert "interrupted" in capsys.readouterr().err
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        monkeypatch.setattr(audit, "run", lambda arguments: (_ for _ in ()).throw(ImportError("could not import")))
        with pytest.raises(ImportError):
            main.main(["audit", "digits"])
    finally:
        signal.signal(signal.SIGINT, before)
