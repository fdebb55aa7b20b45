"""Command-line options generated from the config dataclasses, and back."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from clearsight.arguments import flag
from clearsight.errors import ConfigError
from clearsight.json_values import to_json
from clearsight.train.config import (
    SECTIONS,
    option_types,
    options_by_name,
)
from clearsight.train.option_field import Choices, choices_of, option_fields, value_type

if TYPE_CHECKING:
    from clearsight.data.inputs import ImageInputs

Number = TypeVar("Number", int, float)

STRICT = 3
"""Exit status for warnings with --strict."""

TITLES = {
    "data": "data",
    "model": "network",
    "transfer": "transfer",
    "optimization": "optimisation",
    "regularization": "regularisation",
    "augmentation": "augmentation",
    "decision": "decisions",
    "run": "run",
}
"""What the options of a subject are called on the help page."""


def add_config(parser: argparse.ArgumentParser, *subjects: str) -> None:
    """One option for every field of the given subjects of `TrainConfig` (all of them when none is named)."""
    for subject in subjects or SECTIONS:
        add_options(parser.add_argument_group(TITLES[subject]), *option_names(subject))


def add_options(group: argparse.ArgumentParser | argparse._ArgumentGroup, *names: str) -> None:
    """Some options of `TrainConfig`, by name."""
    types, known = option_types(), options_by_name()
    for f in (known[name] for name in names):
        kind, optional = value_type(types[f.name])
        choices, text = choices_of(f), f.metadata["help"].replace("%", "%%")
        if choices:
            text += f": {_few(choices)}"
        if not optional and kind not in (bool, dict):
            text += f" (default: {f.default})"
        if kind is bool:
            group.add_argument(flag(f.name), action=argparse.BooleanOptionalAction, default=None, help=text)
        elif kind is dict and f.metadata["shares"]:
            group.add_argument(flag(f.name), action=ClassShare, metavar="CLASS=X", default=None, help=text, dest=f.name)
        elif kind is dict:
            group.add_argument(flag(f.name), action=KeyValue, metavar="KEY=VALUE", default=None, help=text, dest=f.name)
        else:
            metavar = {int: "N", float: "X"}.get(kind, "WORD" if choices else f.name.rpartition("from_")[2].upper())
            group.add_argument(flag(f.name), type=kind, metavar=metavar, default=None, help=text, dest=f.name)


def option_names(subject: str) -> list[str]:
    """Names of the options of a subject."""
    return [f.name for f in option_fields(SECTIONS[subject])]


def _few(choices: Choices) -> str:
    """The choices, or the first of many and how to see the others."""
    if len(choices) <= 4:
        return ", ".join(choices)
    return ", ".join(list(choices)[:3]) + ", ... (`list` explains them)"


def listed(arguments: argparse.Namespace) -> str | None:
    """What `--opt list` and its like ask for: the choices with a line on each; None when no option asks."""
    if getattr(arguments, "model", None) == "list":
        return "`clearsight models` lists the networks; timm/NAME selects any network in the timm library."
    for name, f in options_by_name().items():
        if getattr(arguments, name, None) == "list" and (choices := choices_of(f)):
            words = choices if isinstance(choices, Mapping) else dict.fromkeys(choices, "")
            width = max(map(len, words))
            default = "" if f.default is None else f" (default: {f.default})"
            lines = [f"{flag(name)}: {f.metadata['help']}{default}"]
            lines += [f"  {word:<{width}}  {text}".rstrip() for word, text in words.items()]
            return "\n".join(lines)
    return None


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options the user gave, by name; those left out keep their default in one place, the dataclass."""
    return {k: v for k, v in vars(arguments).items() if k in options_by_name() and v is not None}


class KeyValue(argparse.Action):
    """Collects KEY=VALUE words into a dictionary; values are numbers, true, false, none, lists, or plain words."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        key, equals, text = str(values).partition("=")
        if not equals or not key:
            raise ConfigError(f"{option} {values!r} is invalid", expected="KEY=VALUE, such as dropout=0.5")
        found = dict(getattr(namespace, self.dest, None) or {})
        found[key.replace("-", "_")] = plain_value(text)
        setattr(namespace, self.dest, found)


class ClassShare(argparse.Action):
    """Collects CLASS=X words into a dictionary of numbers; names of classes stay as they are."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        name, equals, text = str(values).rpartition("=")
        try:
            share = float(text)
        except ValueError:
            share = None
        if not equals or not name or share is None:
            raise ConfigError(f"{option} {values!r} is invalid", expected="CLASS=X, such as defect=0.95")
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest, None) or {}), name: share})


def plain_value(text: str) -> Any:
    """`0.5`, `true`, `none`, `[1, 2]` or a word as a value."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def add_model_arg(parser: argparse.ArgumentParser) -> None:
    """`--model-arg` for commands that take a network without a run."""
    text = options_by_name()["model_arg"].metadata["help"]
    parser.add_argument("--model-arg", action=KeyValue, metavar="KEY=VALUE", default=None, help=text)


def add_sample(parser: argparse.ArgumentParser, folder: str) -> None:
    """RUN and DATA of a command that tries a model on some labelled images and writes a folder about it."""
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("data", metavar="DATA", nargs="?", help="labelled images (default: the test split of the run)")
    parser.add_argument("--images", type=int, default=500, metavar="N", help="maximum number of images (default: 500)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (default: 0)")
    parser.add_argument("--out", metavar="FOLDER", help=f"output folder (default: {folder})")
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="folder that contains the files of a built-in data set (default: the cache)",
    )


def numbers(text: str, kind: Callable[[str], Number], otherwise: ConfigError) -> list[Number]:
    """Numbers with commas between them; the error where they are none."""
    try:
        return [kind(word) for word in text.split(",")]
    except ValueError:
        raise otherwise from None


def print_json(content: Any) -> None:
    """One JSON object on standard output."""
    print(to_json(content))


def image_files(words: list[str]) -> list[str]:
    """Every image meant: files as they are, folders and archives by their images, patterns by the files that match,
    URLs as downloaded.
    """
    from clearsight.data.sources.contained import paths_in

    return [file for word in words for file in paths_in(word)]


def image_inputs(words: list[str]) -> ImageInputs:
    """The same as images with names; those in Parquet files and shards too."""
    from clearsight.data.inputs import ImageInputs
    from clearsight.data.sources.contained import as_inputs

    found = [as_inputs(word) for word in words]
    return ImageInputs(
        [item for one in found for item in one.items], tuple(name for one in found for name in one.names)
    )
