"""Show the options of a command: value and origin of each, as a TOML file.

An origin is default, the path of a file, the name of an environment variable, or command line. The command line
overrides the environment, the environment a file, and a file the defaults. Options that neither a file nor the command
line sets are comments, so the output is a file for --config.

    clearsight config train --epochs 5 > photos.toml    write a file
    clearsight train photos/ --config photos.toml       use it
    clearsight config train --config photos.toml        show what it sets

Options of the command follow its name. Nothing is run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from typing import Any

from clearsight.arguments import flag
from clearsight.cli.options import print_json
from clearsight.environment import SECRET, VARIABLES
from clearsight.errors import ConfigError, nearest

BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that TOML takes without quotes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("of", metavar="COMMAND", nargs="?", help="command whose options are shown (default: train)")
    parser.add_argument(
        "words", metavar="ARGUMENT...", nargs=argparse.REMAINDER, help="arguments of the command (default: none)"
    )


def run(arguments: argparse.Namespace) -> None:
    from clearsight.cli.main import COMMANDS, command_parser
    from clearsight.cli.parsing import parsed
    from clearsight.train.config import TrainConfig

    name = arguments.of or "train"
    if name not in COMMANDS or name == "config":
        raise ConfigError(f"unknown command {name!r}", fix=nearest(name, [c for c in COMMANDS if c != "config"]))
    words = [*arguments.words, *(["--config", arguments.config] if arguments.config else [])]
    parser = command_parser(name)
    usual = TrainConfig().options()
    found = parsed(parser, words, COMMANDS, complete=False)
    rows = [
        _Row(action, getattr(found.values, action.dest), found.origins.get(action.dest, "default"), group.title or "")
        for group in parser._action_groups
        for action in group._group_actions
        if action.dest not in ("help", "config", "json")
    ]
    for row in rows:
        if row.origin in VARIABLES:
            row.value = os.environ[row.origin]
        if row.value is None:
            row.value = usual.get(row.name)
    environment = {name: os.environ[name] for name in VARIABLES if name in os.environ and name not in SECRET}
    if arguments.json or found.values.json:
        options = {row.name: {"value": row.value, "origin": row.origin, "help": row.help} for row in rows}
        print_json({"command": name, "options": options, "environment": environment})
        return
    print(_as_toml(name, rows, environment))


class _Row:
    """An option with its value and origin."""

    def __init__(self, action: argparse.Action, value: Any, origin: str, group: str) -> None:
        self.name, self.value, self.origin, self.group = action.dest, value, origin, group
        self.help = " ".join((action.help or "").replace("%%", "%").split())

    @property
    def key(self) -> str:
        """As a file may write it."""
        return flag(self.name)[2:].replace("-", "_")

    def line(self, width: int) -> str:
        """The option as a line of TOML, a comment unless a file or the command line sets it."""
        left, origin = f"{self.key} =", self.origin
        if self.value is not None and self.value != {} and self.value != []:
            left += f" {_toml(self.value)}"
        elif usual := re.search(r"\(default: ((?:[^()]|\([^()]*\))*)\)", self.help):
            origin = f"{self.origin}: {usual[1]}"
        commented = self.origin == "default" or self.origin in VARIABLES
        return f"{'# ' * commented + left:<{width}}  # {origin}"


def _as_toml(name: str, rows: list[_Row], environment: dict[str, str]) -> str:
    lines = [f"# options of `clearsight {name}`: value and origin of each"]
    if environment:
        lines += [f"# {variable}={value}" for variable, value in environment.items()]
    group = None
    for row in rows:
        if row.group != group:
            group = row.group
            lines += ["", f"# {group}"]
        lines.append(row.line(36))
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _toml(key)
