"""Options from a file: TOML, YAML or JSON, or the record of a finished run.

Keys are the names of options, with underscores or dashes; arguments without dashes are keys too (`data`, `run`). A
table that is named as a command has options for this command only, so one file can serve all commands of a project.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clearsight.arguments import unknown_option
from clearsight.cli.options import ClassShare, KeyValue
from clearsight.errors import ConfigError, did_you_mean
from clearsight.train.config import TrainConfig, option_types, options_by_name
from clearsight.train.option_field import TYPE_WORDS, fault

LARGEST = 1 << 20
"""Bytes of a file at most."""

OF_THE_PLACE = ("out", "resume")
"""Options of a finished run that its record does not give: its folder is in use."""


def options_from(file: str, parser: argparse.ArgumentParser, command: str, commands: Mapping[str, str]) -> Any:
    """The values that a file gives to the options of a command.

    Args:
        file: the path; the folder of a run stands for its `config.json`.
        parser: of the command.
        command: its name.
        commands: names of all commands.

    Returns:
        Values by the destination of the parser's actions.

    Raises:
        ConfigError: the file cannot be read; every unknown key with the nearest valid one, and every value of a wrong
            type or out of range.
    """
    path = Path(file).expanduser()
    path = path / "config.json" if path.is_dir() else path
    content = _content(path)
    known = _actions_by_key(parser)
    if _is_run(content):
        return _of_run(path, content, known, command)
    flat, tables = _split(content, commands)
    faults = [f"unknown table {name!r} ({_near_command(name, commands)})" for name in tables if name not in commands]
    found: dict[str, Any] = {}
    of_train: list[str] = []
    for key, value in {**flat, **tables.get(command, {})}.items():
        action = known.get(key.replace("-", "_"))
        if action is None and key.replace("-", "_") in options_by_name():
            of_train.append(key)
            continue
        if action is None:
            faults.append(unknown_option(key.replace("-", "_"), known))
            continue
        try:
            found[action.dest] = _converted(action, value)
        except ValueError as error:
            faults.append(f"{key} {error}")
    if of_train:
        faults.append(f"{command} has no option {', '.join(of_train)}: move options of train to a table [train]")
    faults += _out_of_range(found)
    if faults:
        raise ConfigError(
            f"{path} cannot be used: {'; '.join(faults)}",
            fix=f"`clearsight config {command}` lists all options",
            page="configuration#configuration-files",
        )
    return found


def _content(path: Path) -> dict[str, Any]:
    """The file as a dictionary."""
    if path.suffix not in _READERS:
        raise ConfigError(
            f"{path} is not a configuration file", found=f"suffix {path.suffix!r}", expected=", ".join(_READERS)
        )
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read", found=error.strerror, fix="check the path of --config") from error
    if len(content) > LARGEST:
        raise ConfigError(f"{path} is too large for a configuration file", expected=f"at most {LARGEST:,} bytes")
    try:
        read = _READERS[path.suffix](content.decode("utf-8-sig"))
    except ValueError as error:  # of TOML, JSON and UTF-8; YAML's are converted
        raise ConfigError(f"{path} is not valid {path.suffix[1:].upper()}", found=str(error)) from error
    if read is None:
        return {}
    if not isinstance(read, dict) or not all(isinstance(key, str) for key in read):
        raise ConfigError(f"{path} contains no options", found=type(read).__name__, expected="names and values")
    return read


def _yaml(text: str) -> Any:
    """YAML 1.2's core schema: `off` is a word and 1e-3 a number. ValueError where it is not valid."""
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    def unique(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(f"the key {twice!r} occurs twice")
        return dict(zip(keys, (loader.construct_object(value, deep=True) for _, value in node.value), strict=True))

    Loader.yaml_implicit_resolvers = {}
    for tag, pattern in _YAML.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), None)
    Loader.add_constructor("tag:yaml.org,2002:map", unique)
    Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))  # 010 is ten
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


_YAML = {
    "null": r"^(?:~|null|Null|NULL|)$",
    "bool": r"^(?:true|True|TRUE|false|False|FALSE)$",
    "int": r"^[-+]?[0-9]+$",
    "float": r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
}
"""Scalars that are no text, by the tag of their type [YAML 1.2.2, section 10.3.2]. int comes before float."""


def _toml(text: str) -> Any:
    return tomllib.loads(text)


_READERS: dict[str, Callable[[str], Any]] = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml, ".json": json.loads}


def _split(content: dict[str, Any], commands: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Options for any command, and the tables of commands. A table of another name is one where no option takes it."""
    flat, tables = {}, {}
    for key, value in content.items():
        name = key.replace("_", "-")
        if isinstance(value, dict) and (name in commands or key not in DICTIONARIES):
            tables[name] = value
        else:
            flat[key] = value
    return flat, tables


DICTIONARIES = ("model_arg", "model-arg", "min_precision", "min-precision", "min_recall", "min-recall")
"""Options whose value is a table."""


def _near_command(name: str, commands: Mapping[str, str]) -> str:
    return did_you_mean(name, commands) or "tables are named as commands, such as train"


def _actions_by_key(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The actions that a file may set, by each name of theirs."""
    known = {}
    for action in parser._actions:
        if action.dest in ("help", "config"):
            continue
        for word in (action.dest, *action.option_strings):
            name = word.lstrip("-").replace("-", "_")
            if not name.startswith("no_"):
                known[name] = action
    return known


def _converted(action: argparse.Action, value: Any) -> Any:
    """A value of a file as the parser gives it; ValueError says what is expected."""
    if value is None:
        raise ValueError("has no value; omit the key to keep the default")
    if isinstance(action, argparse.BooleanOptionalAction) or action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        return value
    if isinstance(action, ClassShare | KeyValue):
        if not isinstance(value, dict):
            raise ValueError(f"must be a table of names and values, not {value!r}")
        return {key.replace("-", "_") if isinstance(action, KeyValue) else key: one for key, one in value.items()}
    if action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction):
        return [_scalar(action, one) for one in (value if isinstance(value, list) else [value])]
    return _scalar(action, value)


def _scalar(action: argparse.Action, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float | list):
        expected = TYPE_WORDS.get(action.type, "text")  # type: ignore[call-overload]
        raise ValueError(f"must be {expected}, not {json.dumps(value, default=str)}")
    if action.type is int:
        if not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {value!r}")
    elif action.type is float:
        if not isinstance(value, int | float):
            raise ValueError(f"must be a number, not {value!r}")
        value = float(value)
    else:
        value = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        if callable(action.type):
            try:
                value = action.type(value)
            except argparse.ArgumentTypeError as error:
                raise ValueError(str(error)) from error
    if action.choices is not None and value not in action.choices:
        raise ValueError(f"{value!r} is not one of {', '.join(map(str, action.choices))}")
    return value


def _out_of_range(found: Mapping[str, Any]) -> list[str]:
    """What is wrong with values of options of training."""
    known, types = options_by_name(), option_types()
    checked = ((known[name], value, types[name]) for name, value in found.items() if name in known)
    return [wrong for field, value, hint in checked if (wrong := fault(field, value, hint))]


def _is_run(content: Mapping[str, Any]) -> bool:
    """Whether this is the record of a run, its `config.json`."""
    return isinstance(content.get("options"), dict) and "data" in content and "versions" in content


def _of_run(path: Path, content: dict[str, Any], known: Mapping[str, argparse.Action], command: str) -> dict[str, Any]:
    """The data and the options of a finished run, but for the place where it lies."""
    from clearsight.bundle import format1
    from clearsight.data.targets import IN_MEMORY

    about = format1.run_from(content)
    options = {name: value for stage in about["options"].values() for name, value in stage.items()}
    usual = TrainConfig().options()
    found = {name: v for name, v in options.items() if name not in OF_THE_PLACE and v != usual.get(name)}
    if missing := [name for name in found if name not in known]:
        raise ConfigError(
            f"{path} is the record of a run, and {command} has no option {', '.join(missing)}",
            fix=f"use it with train: `clearsight train --config {path}`",
        )
    if "data" in known and about["data"] != IN_MEMORY:
        found["data"] = about["data"]
    return found
