"""Help pages: they fit a terminal of 80 columns, and each option states its unit or range and its default."""

from __future__ import annotations

import argparse
import re

import pytest

from clearsight.cli.main import COMMANDS, build_parser, command_parser

UNITS = (
    r"\b(pixels?|seconds|milliseconds|days|MB|gigabytes|points|degrees|bytes|numbers?|epochs|steps between|images|seed|"
    r"index|port|share|0 to 1|rate|norm|probability|decay|coefficient|strength|noise|scales|maximum changes|threads)\b"
)
"""What says in what a number is counted or measured, or between which bounds it lies."""

NO_DEFAULT = {
    "--help": "an action",
    "--version": "an action",
    "--kernel": "required",
}
"""Options without a default, and why."""


@pytest.fixture(params=COMMANDS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    monkeypatch.setenv("COLUMNS", "80")
    return command_parser(request.param)


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.option_strings]


def test_the_list_of_commands_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert [line for line in build_parser().format_help().splitlines() if len(line) > 80] == []


def test_no_line_is_over_80_columns(parser: argparse.ArgumentParser) -> None:
    assert [line for line in parser.format_help().splitlines() if len(line) > 80] == []


def test_every_argument_is_explained(parser: argparse.ArgumentParser) -> None:
    assert [action.dest for action in parser._actions if not action.help] == []


def test_every_option_states_its_default(parser: argparse.ArgumentParser) -> None:
    silent = [
        (action.option_strings[-1], action.help)
        for action in options(parser)
        if action.option_strings[-1] not in NO_DEFAULT and "(default: " not in str(action.help)
    ]
    assert silent == []


def test_the_stated_default_is_the_parsers_own(parser: argparse.ArgumentParser) -> None:
    wrong = []
    for action in options(parser):
        default = f"{action.default:g}" if isinstance(action.default, float) else str(action.default)
        if action.default in (None, False, "", "auto", argparse.SUPPRESS) or action.default == []:
            continue  # decided later: the help line says how
        if action.dest != "workers" and not re.search(rf"\(default: {re.escape(default)}\b", str(action.help)):
            wrong.append((action.option_strings[-1], default, action.help))
    assert wrong == []


def test_every_number_states_its_unit_or_range(parser: argparse.ArgumentParser) -> None:
    silent = [
        (action.option_strings[-1], action.help)
        for action in options(parser)
        if action.type in (int, float) and not re.search(UNITS, str(action.help))
    ]
    assert silent == []
