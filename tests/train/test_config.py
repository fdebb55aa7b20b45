"""Options: one place, ranges that hold, conflicts reported together."""

import dataclasses

import pytest

from clearsight.arguments import flag
from clearsight.cli import options
from clearsight.cli.main import main
from clearsight.errors import ConfigError
from clearsight.models.initialization import METHODS
from clearsight.train.config import SECTIONS, TrainConfig, options_by_name
from clearsight.train.optimisers import default_weight_decay
from clearsight.train.option_field import choices_of, fault, option, option_fields
from clearsight.train.resolve import resolve


def test_every_option_has_one_help_line_and_a_default_within_its_range():
    names = [f.name for section in SECTIONS.values() for f in option_fields(section)]
    assert len(names) == len(set(names))
    for f in options_by_name().values():
        assert f.metadata["help"]
        assert "\n" not in f.metadata["help"]
    assert TrainConfig.from_options(**TrainConfig().options()) == TrainConfig()


def test_choices_may_be_asked_for_when_they_are_needed():
    colors = ["red"]

    @dataclasses.dataclass
    class Section:
        color: str = option("red", "of the page", choices=lambda: tuple(colors))

    (f,) = option_fields(Section)
    assert fault(f, "blue", str) == "--color 'blue' is not one of red"
    colors.append("blue")
    assert fault(f, "blue", str) is None


def test_a_resolved_config_keeps_what_was_asked_and_decides_the_rest():
    config = resolve(TrainConfig.from_options(epochs=3, opt="momentum"), epochs=9, batch_size=7, freeze_bn=True)
    how = config.optimization
    assert (how.epochs, how.batch_size, how.freeze_bn, how.opt, how.clip, how.amp) == (
        3,
        7,
        True,
        "momentum",
        1.0,
        "off",
    )
    assert config.regularization.weight_decay == default_weight_decay("momentum")
    assert resolve(TrainConfig.from_options(opt="lbfgs")).optimization.clip == 0
    assert [n for n, v in config.training().items() if v is None] == ["max_steps", "lr", "val_every", "max_norm", "ema"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "--epochs must be 1 or more, not 0"),
        ({"lr": 0.0}, "--lr must be above 0, not 0"),
        ({"warm_up": 1.0}, "--warm-up must be at least 0 and below 1, not 1"),
        ({"ema": float("nan")}, "--ema must be above 0 and below 1, not nan"),
        ({"opt": "adamw2"}, "--opt 'adamw2' is not one of gd, sgd, momentum"),
        ({"augment": "light+blurr"}, "--augment 'blurr' is not one of none, light"),
        ({"epochs": 1.5}, "--epochs must be a whole number, not 1.5"),
        ({"accumulate": True}, "--accumulate must be a whole number, not True"),
        ({"model_arg": 3}, "--model-arg must be of type dict, not 3"),
        ({"init": "best-of:he,hee"}, "--init 'hee' is not one of xavier, he, uniform, orthogonal"),
        ({"init": "he:big"}, "--init he:big: the gain must be a number above 0, as in he:0.1, not 'big'"),
        ({"init": "best-of:he,he:-1"}, "--init he:-1: the gain must be a number above 0, as in he:0.1, not '-1'"),
        ({"budget": "soon"}, "--budget is not a valid duration"),
        ({"lr": float("inf")}, "--lr must be a finite number, not inf"),
        ({"opt": "lbfgs", "momentum": 0.5}, "--opt lbfgs does not use --momentum"),
        ({"epoch": 3}, "unknown option 'epoch' (did you mean epochs?"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(options, words):
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_options(**options)
    assert words in str(caught.value)


def test_conflicts_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        TrainConfig.from_options(lr=0.1, lr_find=True, mixup=0.2, cutmix=1.0, init="he", pretrained=True, epochs=0)
    text = str(caught.value)
    for words in ("--lr-find", "--mixup and --cutmix", "--init and --pretrained", "--epochs must be"):
        assert words in text


def test_names_are_those_of_the_code():
    from clearsight.train.choices import INITIALISATIONS

    assert set(INITIALISATIONS) == set(METHODS)


def test_flags():
    assert flag("img_size") == "--img-size"


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("true", True), ("None", None), ("[1, 2]", [1, 2]), ("elu", "elu"), ("3", 3), ("a=b", "a=b")],
)
def test_values_of_key_value_words(text, value):
    assert options.plain_value(text) == value


@pytest.mark.parametrize("name", ["opt", "sched", "loss", "augment", "freeze"])
def test_list_explains_the_choices(name, capsys):
    assert main(["train", flag(name), "list"]) == 0
    out = capsys.readouterr().out
    for choice, words in choices_of(options_by_name()[name]).items():
        assert choice in out
        assert words in out


def test_train_without_data_says_what_it_takes(capsys):
    assert main(["train", "--epochs", "3"]) == 2
    assert "no data to train on" in capsys.readouterr().err


def test_a_model_arg_that_is_no_pair(capsys):
    assert main(["train", "digits", "--model-arg", "residual"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("normal", [["0", "1"], ("0", 1), "0,1"])
def test_normal_classes_are_a_list_or_one(normal):
    assert TrainConfig.from_options(task="anomaly", normal=normal).data.normal == "0,1"
    assert TrainConfig.from_options(task="anomaly", normal=0).data.normal == "0"
