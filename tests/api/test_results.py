"""Verbs write nothing unless asked, and never over an earlier result."""

import dataclasses
import inspect
import shutil
import typing

import pytest

import clearsight as cs
from clearsight.derivatives import GradientCorrelation
from clearsight.errors import OutputError
from clearsight.feature_vis import Settings
from clearsight.result import Result

NO_RESULT = {"ClearsightError", "ImageClassifier", "Model", "Run", "build_model", "load", "serve"}
"""Names of the package that are no verbs: classes, what gives a network or a model, and a server that runs until it is
stopped.
"""


@pytest.fixture
def run(digits_run, tmp_path, monkeypatch):
    """A copy of a run, beside an empty working directory."""
    copy = shutil.copytree(digits_run, tmp_path / "run")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return copy


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", sorted(set(cs.__all__) - NO_RESULT))
def test_every_verb_returns_one_result(name):
    verb = inspect.unwrap(getattr(cs, name))
    returned = typing.get_type_hints(verb)["return"]
    assert issubclass(returned, Result)
    assert dataclasses.is_dataclass(returned)
    assert returned.__dataclass_params__.frozen
    assert {"to_dict", "save", "plot", "_repr_html_", "__repr__"} <= set(dir(returned))


def test_training_writes_nothing_unless_asked(run, noise, tmp_path):
    before, labels = contents(tmp_path), ["a", "b"] * 20
    assert cs.fit(noise(40), labels, model="pixels+softmax").test.n
    assert len(cs.compare((noise(40), labels), candidates=["pixels+softmax"]).to_dict()["standings"]) == 1
    assert contents(tmp_path) == before


def test_nothing_is_written_unless_asked(run, digits_arrays, tmp_path):
    images = digits_arrays[0][:2]
    cs.index(run)
    before = contents(tmp_path)
    assert cs.attack(run, method="fgsm", epsilons=[0.1], images=20).curve.images == 20
    assert cs.robustness(run, changes=["blur"], images=20).images == 20
    assert len(cs.explain(run, images, method="saliency", faithfulness=False)) == 2
    assert len(cs.locate(run, images)) == 2
    assert len(cs.search(run, images[:1], k=3)) == 3
    assert cs.visualize(run, what="filters", settings=Settings(class_steps=1)).filters
    assert len(cs.compare_models(run, tta="mirror")) == 2
    assert len(cs.landscape(run, images=20, points=3)) == 1
    evaluation = cs.evaluate(run)
    assert evaluation.interval[0] < evaluation.accuracy
    assert "digits" in repr(cs.audit("digits"))
    found = cs.gradient_correlation(depths=(2,), kinds=("plain",), networks=1, points=20, lags=2)
    assert isinstance(found, GradientCorrelation)
    assert contents(tmp_path) == before


def test_the_report_of_the_run_gets_the_verdicts_when_the_result_is_saved(run, tmp_path):
    found = cs.robustness(run, changes=["blur"], images=20)
    report = run / "report.html"
    found.save(tmp_path / "out")
    after = report.read_text()  # the run that tests share may have had verdicts before
    assert "Not measured yet" not in after
    assert "blur" in after


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("attack.html", lambda run, out: cs.attack(run, out=out)),
        ("robustness.html", lambda run, out: cs.robustness(run, out=out)),
        ("visualization.json", lambda run, out: cs.visualize(run, out=out)),
        ("landscape.html", lambda run, out: cs.landscape(run, out=out)),
        ("gradient_correlation.html", lambda run, out: cs.gradient_correlation(out=out)),
    ],
)
def test_an_earlier_result_is_named_before_anything_is_computed(run, tmp_path, name, verb):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("kept")
    with pytest.raises(OutputError, match=f"{name} already exists"):
        verb(run, tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "kept"
