"""From verdicts to commands and cures; the probe; the command line; the section of the report."""

import argparse
import contextlib
import copy
import json
import shlex
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from clearsight.cli.main import main
from clearsight.cli.options import add_config, chosen
from clearsight.data.checks.duplicates import INFLATES
from clearsight.data.findings import Finding
from clearsight.data.scan import scan
from clearsight.diagnosis import Diagnosis, Verdict, Vitals, cured, examine
from clearsight.diagnosis.case import Case
from clearsight.diagnosis.command import train_command
from clearsight.diagnosis.rules import RULES
from clearsight.diagnosis.rules.data import leaking_splits, starved_loader
from clearsight.diagnosis.rules.fit import _larger, _regularised
from clearsight.diagnosis.rules.rate import reversals
from clearsight.errors import ConfigError, TrainingError
from clearsight.models.base import forward_hooks
from clearsight.models.initialization import initialise
from clearsight.report.doctor_section import doctor_section
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.loop import train_network
from clearsight.train.recipe import check_names, plan
from clearsight.train.resolve import resolve


def verdict(**options):
    return Verdict("rate-too-high", "fault", "Too high.", {"rate": 1.0}, "lower it", options)


@pytest.mark.parametrize(
    ("wrong", "network"),
    [
        ({"opt": "adam", "lr": 0.3, "clip": 0.0}, "mlp"),
        pytest.param({"lr": 1e-7}, "mlp", marks=pytest.mark.long),
        pytest.param({"opt": "adam", "weight_decay": 10.0}, "mlp", marks=pytest.mark.long),
        ({"l1": 0.1}, "mlp"),
        pytest.param({"batch_size": 2, "max_steps": 60}, "resnet8", marks=pytest.mark.long),
    ],
)
def test_the_cure_cures(digits_bench, wrong, network):
    """A run with the first verdict's options learns."""
    sick = digits_bench.run(digits_bench.network(network), **{"max_steps": 100, **wrong})
    options = {k: v for k, v in sick.verdicts[0].options.items() if k != "model_arg"}
    assert options
    healthy = digits_bench.run(digits_bench.network(network), **{"max_steps": 120, **wrong, **options})
    assert not [v for v in healthy.verdicts if v.severity == "fault"]
    assert healthy.facts["val_accuracy"] > max(0.5, np.nan_to_num(sick.facts["val_accuracy"]))


def seen(bench, network="mlp", model_args=None, **options):
    """What rules see of a run of so many steps."""
    vitals, config = Vitals(), resolve(TrainConfig().with_options(epochs=9, batch_size=32, max_steps=40, **options))
    net = bench.network(network, **(model_args or {}))
    groups = [{"params": list(net.parameters()), "lr": options.get("lr") or 0.01}]
    with contextlib.suppress(TrainingError):
        train_network(net, bench.data, config, groups, observer=vitals)
    counts = np.bincount(bench.data.labels[bench.data.train])
    return Case(vitals, config, counts, counts, (), network, {**net.spec["model_args"]})


def test_initial_weights_are_prescribed_with_the_gain_that_keeps_signals_as_they_are(digits_bench):
    """ELU after He's rule, whose gain is ReLU's: signals grow, and at the prescribed gain they do not."""
    ten = {"widths": (64,) * 10, "activation": "elu", "norm": False}
    case = seen(digits_bench, model_args=ten)
    assert case.initial_weights(same_layers=True) == {"init": "he"}  # first the rule itself

    def growth(init):
        torch.manual_seed(0)
        network = digits_bench.network("mlp", **ten)
        initialise(network.body, init)
        outputs, x = [], torch.from_numpy(digits_bench.data.pixels[:64] / 255.0).float()
        with (
            torch.no_grad(),
            forward_hooks(
                [(n, m) for n, m in network.named_modules() if isinstance(m, nn.ELU)],
                lambda *a: outputs.append(a[3].std()),
            ),
        ):
            network(x)
        return float((outputs[-1] / outputs[0]) ** (1 / 9)), network

    before, network = growth("he:3")
    vitals = Vitals()
    config = resolve(TrainConfig().with_options(epochs=9, batch_size=32, max_steps=2, init="he"))
    with contextlib.suppress(TrainingError):
        train_network(network, digits_bench.data, config, [{"params": list(network.parameters()), "lr": 1e-6}],
                      observer=vitals)  # fmt: skip
    case = replace(case, vitals=vitals, config=config)
    assert case.growth == pytest.approx(before, rel=0.1)
    (init,) = case.initial_weights(same_layers=True).values()
    assert init == f"he:{float(f'{1 / case.growth:.2g}'):g}"
    assert case.initial_weights() == {"init": "he"}  # where layers change as well, their gain is not known


def test_another_optimiser_is_prescribed_where_steps_are_long_enough_and_training_is_slow(digits_bench):
    case = seen(digits_bench, opt="sgd")
    assert case.adaptive() == {"opt": "adam"}
    assert seen(digits_bench, opt="adamw").adaptive() == {}
    given = {"model": "mlp", "opt": "sgd", "lr": 0.01}
    assert cured(given, verdict(opt="adam")) == {"model": "mlp", "opt": "adam", "lr": None}  # the rate was SGD's
    assert cured(given, verdict(opt="adam", lr=0.1))["lr"] == 0.1


def test_a_smaller_network_is_prescribed_once_nothing_else_is_left(digits_bench):
    strong = {"augment": "strong", "mixup": 0.2}
    assert _regularised(seen(digits_bench, augment="none")) == {"augment": "light"}
    left = seen(digits_bench, model_args={"dropout": 0.5}, weight_decay=0.5, **strong)
    assert _regularised(left) == {"model_arg": {"widths": [32, 16]}}
    assert _regularised(replace(left, model="resnet8", model_args={"dropout": 0.5})) == {"model_arg": {"width": 8}}
    without = replace(left, model="efficientnet_lite0", model_args={"dropout": 0.5})
    assert _regularised(without) == {}  # none of those suggested is smaller than 6,000 parameters
    vitals = copy.copy(left.vitals)
    vitals.parameters = 4_000_000
    assert _regularised(replace(without, vitals=vitals)) == {"model": "resnet20"}


def test_another_activation_is_prescribed_where_xaviers_rule_did_not_help(digits_bench):
    with torch.no_grad():
        network = digits_bench.network("mlp", activation="tanh")
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight.mul_(40)
    found = digits_bench.run(network, opt="sgd", lr=0.01, init="xavier")
    first = found.verdicts[0]
    assert first.name == "saturated-units"
    assert first.options["init"] == "he"
    assert first.options["model_arg"] == {"widths": (64, 32), "norm": True, "activation": "relu"}


def test_the_doctor_takes_back_initial_weights_that_are_too_large(capsys):
    command = ["doctor", "digits", "--model", "mlp", "--init", "he:10", "--max-steps", "40", "--opt", "momentum"]
    assert main([*command, "--clip", "0"]) == 0
    text = capsys.readouterr().out
    assert "fault: exploding-gradients" in text
    assert "--init he:10" not in text
    assert "--init he" in text


def test_the_command_repeats_the_run_with_the_cure(digits_bench):
    found = digits_bench.run(
        digits_bench.network("mlp"), lr=1e-7, origin="digits", options={"model": "mlp", "lr": 1e-7, "epochs": 3}
    )
    first = found.verdicts[0]
    assert first.command == f"clearsight train digits --model mlp --lr {first.options['lr']:g} --epochs 3"
    TrainConfig.from_options(**{"model": "mlp", "epochs": 3, **first.options})  # the options exist and are in range


def test_cures_join_the_options_of_the_run():
    given = {"model": "mlp", "lr": 0.1, "lr_find": False, "model_arg": {"widths": [8]}, "out": "x", "resume": True}
    assert cured(given, verdict(lr=0.01)) == {
        "model": "mlp", "lr": 0.01, "lr_find": False, "model_arg": {"widths": [8]}
    }  # fmt: skip
    joined = cured(given, verdict(model_arg={"norm": True}))
    assert joined["model_arg"] == {"widths": [8], "norm": True}
    other = cured({**given, "init": "he"}, verdict(model="resnet20"))
    assert (other["model"], other["model_arg"], other["init"]) == ("resnet20", {}, None)
    TrainConfig.from_options(**other)


def test_commands_as_they_are_typed():
    options = {
        "model_arg": {"norm": True, "dropout": 0.0, "widths": (8, 4)},
        "pretrained": False,
        "lr": 1e-4,
        "init": None,
    }
    assert train_command("digits", options) == (
        "clearsight train digits --model-arg norm=true --model-arg dropout=0 --model-arg 'widths=[8, 4]' "
        "--no-pretrained --lr 0.0001"
    )
    assert train_command("arrays in memory", {"lr": 0.1}) == "clearsight.fit(DATA, lr=0.1)  # DATA: arrays in memory"


def test_every_verdict_that_is_explained_has_a_rule():
    known = {rule.name for rule in RULES}
    assert all(rule.explains <= known for rule in RULES)


@pytest.mark.parametrize(("order", "summary"), [("ab", ["a"]), ("ba", ["b", "a"])])
def test_a_verdict_silences_those_after_it_that_it_explains(digits_bench, monkeypatch, order, summary):
    found = {n: Verdict(n, "fault", "It is.", {}, "Mend it.", {}) for n in order}
    rules = [
        SimpleNamespace(name=n, explains={"b"} if n == "a" else set(), find=lambda _, n=n: found[n]) for n in order
    ]
    monkeypatch.setattr("clearsight.diagnosis.doctor.RULES", rules)
    diagnosis = digits_bench.run(digits_bench.network("mlp"), max_steps=5)
    assert [v.name for v in diagnosis.verdicts] == summary


def test_reversals_by_hand():
    assert reversals(np.array([3.0, 2, 1, 0.5]), 0.5) == 0
    assert reversals(np.array([3.0, 1, 2, 1, 2]), 0.5) == 3
    assert reversals(np.array([3.0, 1, 1.2, 1, 1.2, 1]), 0.5) == 0  # too small to count
    assert reversals(np.array([]), 0.5) == 0


def test_a_diagnosis_survives_its_file(digits_bench):
    found = digits_bench.run(digits_bench.network("lenet5"), opt="sgd", lr=1e3, clip=0.0, max_steps=30)
    assert np.isnan(found.facts["val_accuracy"])  # it broke before the first validation
    again = Diagnosis.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert again.verdicts[0].name == "rate-too-high"
    assert again.layers == found.layers
    section = doctor_section(again)
    assert section is not None
    assert section.verdicts[0]["title"] == "Rate too high"


def test_the_section_of_a_healthy_run(digits_bench):
    section = doctor_section(digits_bench.run(digits_bench.network("mlp"), max_steps=60))
    assert section is not None
    assert "no problems found" in section.summary
    assert section.verdicts == ()
    assert section.gradient_chart is not None
    assert section.gradient_chart.count("polyline") >= 4
    assert doctor_section(None) is None


def test_the_probe_finds_a_rate_too_high():
    found = examine(read("digits"), TrainConfig.from_options(model="mlp", lr=100.0, epochs=2))
    assert found.verdicts[0].name == "rate-too-high"
    assert "--model mlp" in found.verdicts[0].command
    assert found.facts["steps"] <= 300


def test_the_command_line_examines_data(capsys):
    options = ["--model", "linear", "--opt", "adam", "--epochs", "6", "--augment", "none"]
    assert main(["doctor", "digits", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdicts"] == []
    assert found["facts"]["val_accuracy"] > 0.8


def test_the_command_line_reads_a_run(tmp_path, capsys, digits_bench):
    found = digits_bench.run(digits_bench.network("mlp"), lr=1e-7, origin="digits", options={"lr": 1e-7}, max_steps=40)
    (tmp_path / "config.json").write_text("{}")
    assert main(["doctor", str(tmp_path)]) == 2
    assert "contains no diagnosis" in capsys.readouterr().err
    (tmp_path / "diagnosis.json").write_text(json.dumps(found.to_dict()))
    assert main(["doctor", str(tmp_path)]) == 0
    summary = capsys.readouterr().out
    assert "fault: rate-too-low" in summary
    assert "clearsight train digits --lr" in summary
    assert main(["doctor", str(tmp_path), "--lr", "1"]) == 2
    assert "options have no effect" in capsys.readouterr().err
    (tmp_path / "diagnosis.json").write_text("{}")
    assert main(["doctor", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["doctor"]) == 2
    healthy = replace(found, verdicts=())
    (tmp_path / "diagnosis.json").write_text(json.dumps(healthy.to_dict()))
    assert main(["doctor", str(tmp_path)]) == 0
    assert "no problems found" in capsys.readouterr().out


class SeenError(Exception):
    """Ends a probe whose start has been looked at."""


@pytest.fixture
def started(monkeypatch):
    """A function from options to the network, and the rates, that a probe of the digits would train."""

    def stats(network, examples, how, groups, **more):
        raise SeenError(network, groups)

    def found(**options):
        monkeypatch.setattr("clearsight.diagnosis.doctor.train_network", stats)
        with pytest.raises(SeenError) as seen:
            examine(read("digits"), TrainConfig.from_options(model="mlp", **options))
        network, groups = seen.value.args
        return network, groups[0]["lr"]

    return found


def test_the_probe_draws_its_weights_and_finds_its_rate_as_training_does(started):
    network, rate = started(init="orthogonal")
    for weight in (p for p in network.parameters() if p.ndim == 2):
        assert torch.linalg.svdvals(weight).detach().numpy() == pytest.approx(2**0.5, abs=1e-4)
    assert rate == 0.005
    assert started(lr_find=True)[1] != rate


@pytest.mark.parametrize("options", [{"out": "x"}, {"resume": True}, {"auto_fix": True}, {"budget": "5m"}])
def test_the_probe_refuses_what_is_about_a_run(options):
    (name,) = options
    flag = name.replace("_", "-")
    with pytest.raises(ConfigError, match=f"a probe does not save a run .*no effect: --{flag}"):
        examine(read("digits"), TrainConfig.from_options(**options))


def test_the_probe_says_in_a_line_that_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no GPU is available for --device cuda"):
        examine(read("digits"), TrainConfig.from_options(device="cuda"))


@pytest.mark.parametrize("name", ["digits", "photos"])
def test_the_command_trains_the_network_that_was_probed(request, name):
    data = name if name == "digits" else request.getfixturevalue("photos")
    wild = {"lr": 1e6, "opt": "sgd", "clip": 0.0, "epochs": 4, "batch_size": 16}
    found = examine(read(data), TrainConfig.from_options(**wild))
    words = shlex.split(found.verdicts[0].command)
    assert words[:3] == ["clearsight", "train", str(data)]
    assert "--no-pretrained" in words
    parser = argparse.ArgumentParser()
    add_config(parser)
    options = chosen(parser.parse_args(words[3:]))
    recipe = plan(TrainConfig.from_options(**options), scan(read(data)))
    assert (recipe.kind, recipe.model) == ("scratch", "resnet8")
    assert recipe.img_size == (8 if name == "digits" else 64)
    assert recipe.model_args.get("width", 16) == (32 if name == "digits" else 16)
    assert options["lr"] < 1e6


def test_a_cure_that_changes_the_network_names_it_where_training_chose_it(digits_bench):
    about = {"options": {"epochs": 3}, "origin": "digits"}
    network = digits_bench.network("mlp", widths=(32,) * 10, activation="sigmoid")
    first = digits_bench.run(network, opt="momentum", **about).verdicts[0]
    assert first.name == "vanishing-gradients"
    cure = cured(about["options"], first)
    assert cure["model"] == "mlp"
    assert cure["model_arg"] == {"widths": (32,) * 10, "activation": "relu", "norm": True}
    check_names(TrainConfig.from_options(**cure))


@pytest.mark.parametrize(
    ("own", "parameters", "cure"),
    [
        ("resnet8", 78_042, {"model": "resnet20"}),
        ("resnet56", 855_770, {"model": "resnet18"}),
        ("resnet18", 11_181_642, {"epochs": 15}),
        ("vgg16", 138_357_544, {"epochs": 15}),
    ],
)
def test_a_network_too_small_gets_a_larger_one_or_longer_training(own, parameters, cure):
    case = some_case(model=own)
    case.vitals.parameters = parameters
    assert _larger(case) == cure


@pytest.mark.parametrize(
    ("augment", "cure"),
    [
        ("none", {}), ("mirror", {}), ("flip", {}), ("light", {}), ("mirror+crop", {}),
        ("strong", {"augment": "light"}), ("mirror+rand", {"augment": "light"}), ("crop+noise", {"augment": "light"}),
    ],
)  # fmt: skip
def test_a_starved_loader_is_given_nothing_dearer(augment, cure):
    case = some_case(augment=augment)
    case.vitals.waits.extend([0.09] * 20)
    case.vitals.seconds.extend([0.1] * 20)
    found = starved_loader(case)
    assert found is not None
    assert found.options == cure


def test_copies_across_several_splits_have_one_cure():
    def of(part, images):
        return Finding(
            "near-duplicates-across-splits", "warning", f"{images} {part} images{INFLATES}", "inspect the pairs",
            {"pairs": [[]] * images},
        )  # fmt: skip

    found = leaking_splits(replace(some_case(), findings=(of("validation", 7), of("test", 4))))
    assert found is not None
    assert found.words == (
        "The same images are in several splits: 7 validation images; 4 test images; such leakage inflates the scores."
    )
    assert found.fix == "inspect the pairs"
    assert found.evidence == {"near_duplicates_across_splits_at_least": 7}


def some_case(model="", **options):
    """A run of which nothing is known yet."""
    counts = np.array([10, 10])
    config = resolve(TrainConfig().with_options(epochs=5, batch_size=32, **options))
    return Case(Vitals(), config, counts, counts, model=model)
