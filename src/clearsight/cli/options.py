"""Command-line options generated from the config dataclasses, and back."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any, get_type_hints

from clearsight.config import DataConfig, ModelConfig, RunConfig, TrainConfig, value_type

TITLES = {DataConfig: "data", ModelConfig: "network", TrainConfig: "training", RunConfig: "run"}


def add_config(parser: argparse.ArgumentParser, *stages: type) -> None:
    """One option for every field of the given stages (all of them when none is named)."""
    for stage in stages or tuple(TITLES):
        group = parser.add_argument_group(TITLES[stage])
        hints = get_type_hints(stage)
        for f in dataclasses.fields(stage):
            kind, optional = value_type(hints[f.name])
            flag = "--" + f.name.replace("_", "-")
            text = f.metadata["help"].replace("%", "%%")
            if not optional:
                text += f" (default: {f.default})"
            if kind is bool:
                group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
            else:
                choices = f.metadata["choices"] or None
                metavar = None if choices else {int: "N", float: "X"}.get(kind, f.name.upper())
                group.add_argument(flag, type=kind, choices=choices, metavar=metavar, default=None, help=text)


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options the user gave, by name; those left out keep their default in one place, the dataclass."""
    names = {f.name for made in TITLES for f in dataclasses.fields(made)}
    return {k: v for k, v in vars(arguments).items() if k in names and v is not None}


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option every command has."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on standard output and nothing else there"
    )


def print_json(content: Any) -> None:
    """One JSON object on standard output."""
    print(json.dumps(content, indent=1))
