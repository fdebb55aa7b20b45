"""Names from other libraries raise an error that gives the name here."""

import numpy as np
import pytest

import clearsight as cs
from clearsight.arguments import NOT_NEEDED, OTHER_NETWORK_ARGUMENTS, OTHER_OPTIONS, flag, other_option
from clearsight.cli.main import main
from clearsight.errors import ConfigError
from clearsight.train.config import TrainConfig, options_by_name


@pytest.mark.parametrize(("name", "here"), OTHER_OPTIONS.items())
def test_options_of_training(name, here):
    assert here in options_by_name()
    assert name not in options_by_name()
    with pytest.raises(ConfigError, match=f"'{name}' is called '{here}' in Clearsight"):
        TrainConfig.from_options(**{name: 1})


def test_parameters_of_the_estimator():
    with pytest.raises(TypeError, match="'optimizer' is called 'opt' in Clearsight"):
        cs.ImageClassifier(optimizer="adam")


@pytest.mark.parametrize(("name", "why"), NOT_NEEDED.items())
def test_options_that_nothing_needs(name, why):
    with pytest.raises(ConfigError, match=f"unknown option '{name}': {why}"):
        TrainConfig.from_options(**{name: 1})


@pytest.mark.parametrize(("name", "here"), OTHER_NETWORK_ARGUMENTS.items())
def test_arguments_of_networks(name, here):
    with pytest.raises(ConfigError, match=f"'{name}' is called '{here}' in Clearsight"):
        cs.build_model("lenet5", **{name: 10})


def test_methods_of_models(digits_run):
    model = cs.load(digits_run)
    with pytest.raises(AttributeError, match=r"a model has no `val`: use `model.evaluate\(data\)`"):
        model.val()
    with pytest.raises(AttributeError, match="no attribute 'vale'"):
        model.vale()
    assert not hasattr(model, "__array__")
    assert "10 classes (0, 1, 2, 3, 4, ...)" in repr(model)
    _, height, width = model.shape
    assert f"input {width} x {height} pixels, gray" in repr(model)
    assert "test split: accuracy" in repr(model)
    assert len(model.predict(np.zeros((8, 8), np.uint8))) == 1


VERBS = (
    "attack", "compare_models", "compare_runs", "evaluate", "explain", "export", "gradient_correlation", "index",
    "landscape", "load", "locate", "push", "robustness", "search", "serve", "visualize",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_arguments_of_verbs_that_do_not_exist(verb):
    with pytest.raises(ConfigError, match=f"{verb}: unknown option 'enigne' .*(engine|known: )"):
        getattr(cs, verb)("a", "b", enigne=3)
    with pytest.raises(TypeError):
        getattr(cs, verb)("a", "b", enigne=3)


@pytest.mark.parametrize("verb", ["fit", "compare", "audit"])
def test_options_of_training_that_do_not_exist(verb):
    with pytest.raises(ConfigError, match=r"unknown option 'epoch' \(did you mean epochs"):
        getattr(cs, verb)("digits", epoch=3)


@pytest.mark.parametrize("verb", ["predict", "predict_proba", "values", "embed", "evaluate", "explain", "export"])
def test_arguments_of_methods_that_do_not_exist(verb, digits_run):
    with pytest.raises(ConfigError, match=f"{verb}: unknown option 'bach_size'"):
        getattr(cs.load(digits_run), verb)("x.png", bach_size=3)
    with pytest.raises(ConfigError, match=r"predict: unknown option 'by_clas' \(did you mean by_class\?\)"):
        cs.load(digits_run).predict("x.png", by_clas=True)


def test_every_verb_is_tested_here():
    classes = {"ClearsightError", "ImageClassifier", "Model", "Run"}
    assert {*VERBS, "fit", "compare", "audit", "build_model"} | classes == set(cs.__all__)


@pytest.mark.parametrize("name", sorted(OTHER_OPTIONS))
def test_options_of_the_command_line_that_others_name_differently(name):
    """Every name that the Python API knows from other libraries is recognised as an option too."""
    known = [flag(option) for option in options_by_name()]
    assert other_option("--" + name.replace("_", "-"), known) == f"did you mean {flag(OTHER_OPTIONS[name])}?"
    assert other_option("--" + name.replace("_", "-"), ["--json"]) is None


def test_the_command_line_answers_names_of_others(capsys):
    assert main(["train", "digits", "--optimizer", "adam"]) == 2
    assert "train has no option --optimizer. Did you mean --opt?" in capsys.readouterr().err
    assert main(["train", "digits", "--num-workers", "2"]) == 2
    assert "Images are decoded once, using all cores" in capsys.readouterr().err
