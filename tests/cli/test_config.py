"""Options from files, the environment and the command line: values, origins, and errors that name what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from clearsight import documentation, environment, errors
from clearsight.cli.main import COMMANDS, command_parser, main
from clearsight.cli.parsing import parsed
from clearsight.errors import ConfigError, ModelError
from clearsight.models.execution import device_of
from clearsight.models.zoo import published_state
from clearsight.train.config import TrainConfig


def values(command: str, *words: str) -> dict[str, Any]:
    return vars(parsed(command_parser(command), words, COMMANDS).values)


def refused(folder: Path, text: str, command: str = "train", suffix: str = "toml") -> str:
    file = folder / f"bad.{suffix}"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        parsed(command_parser(command), ["--config", str(file)], COMMANDS, complete=False)
    return str(error.value)


OPTIONS = {
    "data": "photos", "epochs": 3, "lr": 1e-3, "amp": "off", "lr_find": True, "within": "-30,30", "normal": "7",
    "model_arg": {"dropout": 0.5}, "min_recall": {"a-b": 0.9}, "weight_decay": 0.0,
}  # fmt: skip

TOML = """
data = "photos"
epochs = 3
lr = 1e-3
amp = "off"
lr-find = true
within = [-30, 30]
normal = 7
weight_decay = 0
[train.model-arg]
dropout = 0.5
[train.min_recall]
a-b = 0.9
[predict]
top = 5
"""

YAML = """
data: photos
epochs: 3
lr: 1e-3
amp: off
lr-find: true
within: [-30, 30]
normal: 7
model_arg: {dropout: 0.5}
min_recall: {a-b: 0.9}
weight_decay: 0
predict: {top: 5}
"""


@pytest.mark.parametrize(("suffix", "text"), [("toml", TOML), ("yaml", YAML), ("yml", YAML)])
def test_a_file_sets_options_as_the_command_line_does(tmp_path, suffix, text):
    file = tmp_path / f"project.{suffix}"
    file.write_text(text)
    found = values("train", "--config", str(file))
    assert {name: found[name] for name in OPTIONS} == OPTIONS
    typed = values(
        "train", "photos", "--epochs", "3", "--lr", "1e-3", "--amp", "off", "--lr-find", "--within=-30,30",
        "--normal", "7", "--model-arg", "dropout=0.5", "--min-recall", "a-b=0.9", "--weight-decay", "0",
    )  # fmt: skip
    assert found == {**typed, "config": str(file)}


def test_the_command_line_overrides_a_file_and_adds_to_its_tables(tmp_path):
    file = tmp_path / "project.toml"
    file.write_text(TOML)
    found = values("train", "other", "--config", str(file), "--epochs", "9", "--model-arg", "residual=false")
    assert (found["data"], found["epochs"], found["lr"]) == ("other", 9, 1e-3)
    assert found["model_arg"] == {"dropout": 0.5, "residual": False}


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"config"}))
def test_every_command_reads_a_file(tmp_path, command):
    """What is printed by `config` for all options, uncommented, is a file that sets them."""
    parser = command_parser(command)
    sample = {int: 2, float: 0.5, None: "word"}
    given = {}
    for action in parser._actions:
        if action.dest in ("help", "config", "json") or not (action.type in sample or action.nargs == 0):
            continue
        if (
            action.option_strings
            and action.nargs is None
            and not action.choices
            and action.dest not in (TrainConfig().options())
        ):
            given[action.dest] = sample[action.type]
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    (tmp_path / "all.toml").write_text("\n".join(["quiet = true", f"[{command}]", *lines]))
    found = vars(parsed(parser, ["--config", str(tmp_path / "all.toml")], COMMANDS, complete=False).values)
    assert {name: found[name] for name in given} == {
        name: [value] if isinstance(found[name], list) else value for name, value in given.items()
    }
    assert found["quiet"] is True


def test_required_arguments_may_come_from_a_file(tmp_path):
    (tmp_path / "p.toml").write_text('[predict]\nrun = "runs/a"\nimages = ["x.png", "y.png"]')
    found = values("predict", "--config", str(tmp_path / "p.toml"))
    assert (found["run"], found["images"]) == ("runs/a", ["x.png", "y.png"])
    (tmp_path / "p.toml").write_text('[filter]\nkernel = "blur"')
    assert values("filter", "x.png", "--config", str(tmp_path / "p.toml"))["kernel"] == "blur"


def test_all_faults_of_a_file_are_named_at_once(tmp_path):
    text = refused(tmp_path, 'epocs = 3\nlearning_rate = 1\nlr = "fast"\nresume = "no"\nmomentum = 2\n[trian]\nx = 1')
    for words in (
        "unknown option 'epocs' (did you mean epochs?)", "'learning_rate' is called 'lr'", "lr must be a number",
        "resume must be true or false, not 'no'", "--momentum must be at least 0 and below 1",
        "unknown table 'trian' (did you mean train?)", "`clearsight config train` lists all options",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ("epochs = 1.5", "toml", "epochs must be a whole number, not 1.5"),
        ("epochs = true", "toml", "epochs must be a whole number, not true"),
        ("seed: 2024-01-01", "yaml", "seed must be a whole number"),
        ("epochs:", "yaml", "epochs has no value; omit the key"),
        ("opt = 'adm'", "toml", "--opt 'adm' is not one of"),
        ("model_arg = 3", "toml", "model_arg must be a table"),
        ("epochs: 1\nepochs: 2", "yaml", "the key 'epochs' occurs twice"),
        ("epochs = ", "toml", "is not valid TOML; found Invalid value"),
        ("a: [", "yaml", "is not valid YAML"),
        ("- a", "yaml", "contains no options; found list"),
        ("!!python/object/apply:os.getcwd []", "yaml", "is not valid YAML"),
        ("{", "json", "is not valid JSON"),
        ("epochs=1", "ini", "found suffix '.ini'; expected .toml, .yaml"),
        ("log_level = 'loud'", "toml", "'loud' is not one of debug, info"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path, text, suffix, expected):
    assert expected in refused(tmp_path, text, suffix=suffix)


def test_options_of_training_belong_in_a_table_of_their_command(tmp_path):
    text = refused(tmp_path, "epochs = 3\nlr = 1\ntop = 2", "predict")
    assert "predict has no option epochs, lr: move options of train to a table [train]" in text


def test_the_files_of_the_page(page, tmp_path):
    """The commands of the page are parsed, with these files, in tests/docs/test_blocks.py."""
    found = []
    for kind in ("toml", "yaml"):
        (text,) = page("docs/configuration.md").blocks(kind)
        file = tmp_path / f"photos.{kind}"
        file.write_text(text)
        found.append(values("train", "--config", str(file)))
    toml, yaml_ = ({name: one[name] for name in ("data", "epochs", "lr", "model_arg")} for one in found)
    assert toml == yaml_ == {"data": "photos/", "epochs": 5, "lr": 1e-3, "model_arg": {"dropout": 0.2}}
    assert values("audit", "--config", str(tmp_path / "photos.toml"))["strict"] is True


def test_a_file_that_is_not_there(capsys):
    assert main(["train", "digits", "--config", "none.toml"]) == 2
    assert capsys.readouterr().err == (
        "clearsight: none.toml cannot be read; found No such file or directory. Check the path of --config.\n"
    )


def test_the_record_of_a_run_reproduces_its_weights(tmp_path, digits_run, capsys):
    again = tmp_path / "again"
    assert main(["train", "--config", str(digits_run), "--out", str(again), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    for name in ("weights.safetensors", "ood.safetensors"):
        assert (digits_run / "model" / name).read_bytes() == (again / "model" / name).read_bytes()
    first, second = (json.loads((run / "config.json").read_text()) for run in (digits_run, again))
    assert first["options"]["run"].pop("out") != second["options"]["run"].pop("out")
    assert first["options"] == second["options"]


def test_the_record_of_a_run_is_for_commands_with_the_same_options(tmp_path, digits_run, capsys):
    record = str(digits_run / "config.json")
    assert main(["audit", "--config", record]) == 2
    assert "audit has no option epochs. Use it with train" in capsys.readouterr().err
    found = values("train", "--config", record)
    assert (found["data"], found["epochs"], found["out"]) == ("digits", 12, None)
    assert main(["config", "train", "--config", record]) == 0
    (tmp_path / "printed.toml").write_text(capsys.readouterr().out)
    printed = values("train", "--config", str(tmp_path / "printed.toml"))
    assert {**printed, "config": None} == {**found, "config": None}


def test_config_shows_every_option_with_value_and_origin(tmp_path, capsys, monkeypatch):
    file = tmp_path / "project.toml"
    file.write_text('device = "cuda"\nepochs = 3\n')
    monkeypatch.setenv("CLEARSIGHT_DEVICE", "cpu")
    monkeypatch.setenv("CLEARSIGHT_TOKEN", "secret")
    words = ["config", "train", "--config", str(file), "--lr", "0.1", "--model-arg", "a=1"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["environment"]["CLEARSIGHT_DEVICE"] == "cpu"
    assert "secret" not in str(found)
    options = {name: (row["value"], row["origin"]) for name, row in found["options"].items()}
    assert options["device"] == ("cpu", "CLEARSIGHT_DEVICE")
    assert options["epochs"] == (3, str(file))
    assert options["lr"] == (0.1, "command line")
    assert options["sched"] == ("one-cycle", "default")
    assert set(TrainConfig().options()) <= set(options)
    assert main(words) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed == {"epochs": 3, "lr": 0.1, "model_arg": {"a": 1}}
    assert main(["config"]) == 0
    assert "# opt =" in capsys.readouterr().out
    assert main(["config", "trian"]) == 2
    assert "Did you mean train" in capsys.readouterr().err


@pytest.mark.parametrize("value", ['a "b" \\ c', "é\n", "x=1", "\x7f"])
def test_config_writes_any_text_as_toml(capsys, value):
    assert main(["config", "train", "--other", value, "--min-recall", f"{value}=0.5"]) == 0
    assert tomllib.loads(capsys.readouterr().out.replace(r"\x7f", "\x7f")) == {
        "other": value, "min_recall": {value: 0.5},
    }  # fmt: skip


def test_json_is_yaml_and_the_schema_is_that_of_yaml_12(tmp_path):
    from clearsight.cli.config_file import _yaml

    content = {"a": [1, -2, 1e-7, 0.5, True, None, "x"], "b": {"c": "off"}}
    assert _yaml(json.dumps(content)) == content
    assert _yaml("a: off\nb: 1e3\nc: 12:30\nd: yes\ne: 010\nf: .5") == {
        "a": "off", "b": 1000.0, "c": "12:30", "d": "yes", "e": 10, "f": 0.5,
    }  # fmt: skip
    assert _yaml("a: 1.5\nb: ~\nc: true") == yaml.safe_load("a: 1.5\nb: ~\nc: true")


def test_the_variable_for_the_device_is_what_auto_means(monkeypatch):
    monkeypatch.setenv("CLEARSIGHT_DEVICE", "cpu")
    assert device_of("auto") == "cpu"
    monkeypatch.setenv("CLEARSIGHT_DEVICE", "abacus")
    with pytest.raises(ConfigError, match="unknown device 'abacus'"):
        device_of("auto")
    assert device_of("cpu") == "cpu"


def test_log_levels_and_json_lines(tmp_path, capsys, monkeypatch):
    for i in range(24):
        (tmp_path / f"{i % 2}").mkdir(exist_ok=True)
        Image.new("L", (8, 8), 9 * i).save(tmp_path / f"{i % 2}" / f"{i}.png")
    words = ["audit", str(tmp_path)]
    assert main(words) == 0
    assert "inspecting the files" in capsys.readouterr().err
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("CLEARSIGHT_LOG_LEVEL", "error")
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    assert main([*words, "--log-level", "info", "--log-format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    stage = next(line for line in lines if line["event"] == "inspecting the files")
    assert (stage["level"], stage["done"], stage["total"], stage["unit"]) == ("info", 24, 24, "images")
    assert main(["audit", "nowhere", "--log-format", "json"]) == 2
    error = json.loads(capsys.readouterr().err)
    assert error["level"] == "error"
    assert "nowhere" in error["event"]
    assert main(["audit", "nowhere", "--log-level", "debug"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert main([*words, "--quiet", "--log-level", "info"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    monkeypatch.setenv("CLEARSIGHT_LOG_LEVEL", "loud")
    assert main(words) == 2
    assert "CLEARSIGHT_LOG_LEVEL is invalid" in capsys.readouterr().err


def test_doctor_exits_with_3_on_a_verdict_with_strict(tmp_path, digits_run, capsys):
    content = json.loads((digits_run / "diagnosis.json").read_text())
    verdict = {"name": "overfit", "severity": "warning", "words": "w", "evidence": {}, "fix": "f", "options": {}}
    for verdicts, codes in (([], (0, 0)), ([verdict], (0, 3))):
        (tmp_path / "diagnosis.json").write_text(json.dumps({**content, "verdicts": verdicts}))
        assert (main(["doctor", str(tmp_path)]), main(["doctor", str(tmp_path), "--strict"])) == codes
    capsys.readouterr()


def test_offline_mode_refuses_what_needs_the_network(capsys, monkeypatch):
    monkeypatch.setenv("CLEARSIGHT_OFFLINE", "1")
    assert main(["audit", "https://example.org/photos.zip"]) == 2
    assert "offline mode (CLEARSIGHT_OFFLINE is set)" in capsys.readouterr().err
    with pytest.raises(ModelError, match="offline mode is on"):
        published_state("resnet18")
    monkeypatch.setenv("CLEARSIGHT_OFFLINE", "maybe")
    assert main(["audit", "https://example.org/photos.zip"]) == 2
    assert "expected 1 or 0" in capsys.readouterr().err


def test_errors_name_the_page_that_explains_them(capsys, monkeypatch):
    pages = [kind.page for kind in vars(errors).values() if isinstance(kind, type) and getattr(kind, "page", "")]
    for page in {*pages, environment.PAGE, "configuration#configuration-files", "hub", "tracking"}:
        name, _, anchor = page.partition("#")
        text = (documentation.PAGES / f"{name}.md").read_text()
        headings = [line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")]
        assert not anchor or anchor in headings, page
    monkeypatch.chdir(documentation.PAGES.parent)
    assert main(["audit", "nowhere"]) == 2
    assert capsys.readouterr().err.endswith(" See docs/data.md\n")
    assert main(["audit", "nowhere", "--log-format", "json"]) == 2
    assert json.loads(capsys.readouterr().err)["page"] == "docs/data.md"
    monkeypatch.setattr(documentation, "PAGES", documentation.PAGES / "none")  # as with an installed package
    message = Message()
    monkeypatch.setattr(documentation, "metadata", lambda name: message)
    assert documentation.page_address("data") is None
    message["Project-URL"] = "Documentation, https://example.org/docs/"
    assert documentation.page_address("data#image-formats") == "https://example.org/docs/data.html#image-formats"


def test_without_a_command_the_next_step_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert "clearsight train photos/" in capsys.readouterr().out
    run = tmp_path / "runs" / "my photos"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    assert main([]) == 0
    assert "train --resume --out 'runs/my photos'" in capsys.readouterr().out
    (run / "metrics.json").write_text("{}")
    assert main([]) == 0
    assert "predict 'runs/my photos' IMAGE" in capsys.readouterr().out


def test_bash_completes_commands_options_and_choices():
    script = subprocess.run(
        [sys.executable, "-m", "clearsight", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    code = (
        script
        + """
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _shtab_clearsight; echo "${COMPREPLY[@]}"; }
complete_words clearsight tra
complete_words clearsight train --label-s
complete_words clearsight train --opt adamw --sched one
"""
    )
    found = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert found == ["train", "--label-smoothing", "one-cycle"]
