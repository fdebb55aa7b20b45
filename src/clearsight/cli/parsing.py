"""The arguments of a command: from the command line, the environment and a file, with where each comes from."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clearsight.environment import OF_OPTIONS, variable
from clearsight.errors import ConfigError, did_you_mean
from clearsight.logs import FORMATS, LEVELS, LogSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn


@dataclass
class Arguments:
    """values: as argparse gives them. origins: where those that are not defaults come from: "command line", the path
    of a file, or the name of a variable.
    """

    values: argparse.Namespace
    origins: dict[str, str] = field(default_factory=dict)


def add_common(parser: argparse.ArgumentParser) -> None:
    """The options that every command has."""
    group = parser.add_argument_group("output and configuration")
    group.add_argument(
        "--json", action="store_true", help="print a single JSON object to standard output (default: no)"
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        help="read options from a .toml, .yaml or .json file, or from a finished run; the command line overrides them "
        "(default: none)",
    )
    group.add_argument(
        "--log-level", choices=tuple(LEVELS), default=None, metavar="WORD",
        help=f"lowest level of messages on standard error: {', '.join(LEVELS)} (default: info)",
    )  # fmt: skip
    group.add_argument("--quiet", action="store_true", help="as --log-level warning: no progress (default: no)")
    group.add_argument(
        "--log-format", choices=tuple(FORMATS), default="text", metavar="WORD",
        help="format of these messages: text, or json for one object per line (default: text)",
    )  # fmt: skip


def log_settings_of(values: argparse.Namespace) -> LogSettings:
    """How a command writes messages."""
    if values.quiet and values.log_level not in (None, "warning"):
        raise ConfigError(f"--quiet and --log-level {values.log_level} exclude each other", fix="drop one")
    level = "warning" if values.quiet else values.log_level or variable("CLEARSIGHT_LOG_LEVEL") or "info"
    if level not in LEVELS:
        raise ConfigError("CLEARSIGHT_LOG_LEVEL is invalid", found=repr(level), expected=", ".join(LEVELS))
    return LogSettings(level, values.log_format)


def parsed(
    parser: argparse.ArgumentParser, words: Sequence[str], commands: Mapping[str, str], *, complete: bool = True
) -> Arguments:
    """The arguments of a command.

    Args:
        parser: of the command.
        words: as typed after the name of the command.
        commands: names of all commands.
        complete: arguments that the command requires must be there.

    Returns:
        The arguments.

    Raises:
        ConfigError: an argument is unknown, wrong or missing, or the file of --config cannot be used.
    """
    command = parser.prog.removeprefix("clearsight ")
    usual = {action.dest: _default(parser, action) for action in parser._actions if action.dest != "help"}
    file, from_file = None if command == "config" else _file(words), {}
    if file is not None:
        from clearsight.cli.config_file import options_from

        from_file = options_from(file, parser, command, commands)
    places = {action.dest for action in parser._actions if not action.option_strings}
    for action in parser._actions:  # what is left is what was typed; argparse checks defaults of arguments by place
        action.default = None if action.dest in places else argparse.SUPPRESS
        if action.dest in from_file or not complete:
            action.required = False
            if action.dest in places:
                action.nargs = "?" if action.nargs is None else "*" if action.nargs == "+" else action.nargs
    typed = vars(_typed(parser, words, command))
    given = {name: value for name, value in typed.items() if name not in places or value not in (None, [])}
    origins = dict.fromkeys(from_file, str(file)) | dict.fromkeys(given, "command line")
    for name, source in OF_OPTIONS.items():  # stronger than a file, and read where the option is used
        if name in usual and name not in given and variable(source):
            from_file.pop(name, None)
            origins[name] = source
    for name in given.keys() & from_file.keys():
        if isinstance(from_file[name], dict):
            given[name] = {**from_file[name], **given[name]}
    return Arguments(argparse.Namespace(**{**usual, **from_file, **given}), origins)


def _default(parser: argparse.ArgumentParser, action: argparse.Action) -> Any:
    """The value of an argument that is not given."""
    value = action.default
    if value is None and not action.option_strings and action.nargs in ("*", argparse.REMAINDER):
        return []
    if isinstance(value, str) and action.type is not None:
        return parser._get_value(action, value)
    return list(value) if isinstance(value, list) else value


def _file(words: Sequence[str]) -> str | None:
    """The file of --config."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config")
    try:
        found: str | None = finder.parse_known_args(list(words))[0].config
    except argparse.ArgumentError:
        return None  # the parser of the command says what is wrong
    return found


def _typed(parser: argparse.ArgumentParser, words: Sequence[str], command: str) -> argparse.Namespace:
    """What was typed; ConfigError, not a page of usage, where it is wrong."""
    from clearsight.arguments import other_option
    from clearsight.cli.renamed import renamed_option

    help_hint = f"`{parser.prog} --help` lists the options"

    def refuse(message: str) -> NoReturn:
        raise ConfigError(message, expected=parser.usage, fix=help_hint)

    parser.error = refuse  # type: ignore[method-assign]
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # -1,0,1 and -30,30 are values too, not options
    try:
        arguments, unknown = parser.parse_known_args(list(words))
    except argparse.ArgumentError as error:
        raise ConfigError(_plain(error), fix=help_hint) from None
    if unknown:
        word = next((w for w in unknown if w.startswith("-")), None)
        if word is None:
            raise ConfigError(
                f"unexpected argument {unknown[0]!r}", expected=" ".join(positional(parser)), fix=help_hint
            )
        name = word.partition("=")[0]
        options = parser._option_string_actions
        hint = renamed_option(name) or other_option(name, options) or did_you_mean(name, options)
        raise ConfigError(f"{command} has no option {name}", fix=hint or help_hint)
    return arguments


def _plain(error: argparse.ArgumentError) -> str:
    """What is wrong with an argument, without the words of argparse."""
    name, message = error.argument_name or "", error.message
    if match := re.fullmatch(r"invalid (int|float) value: (.*)", message, re.DOTALL):
        return f"{name} must be {'a whole number' if match[1] == 'int' else 'a number'}, not {match[2]}"
    if match := re.fullmatch(r"invalid choice: (.*) \(choose from (.*)\)", message, re.DOTALL):
        return f"{name} {match[1]} is not one of {match[2].replace(chr(39), '')}"
    if message == "expected one argument":
        return f"{name} needs a value"
    return f"{name}: {message}" if name else message


def positional(parser: argparse.ArgumentParser) -> list[str]:
    """The arguments without a name, as a usage line writes them."""
    return [_written(action) for action in parser._actions if not action.option_strings]


def _written(action: argparse.Action) -> str:
    """An argument as a usage line writes it."""
    some = {None: "{}", "?": "[{}]", "*": "[{}...]", "+": "{}...", argparse.REMAINDER: "[{}]"}[action.nargs]  # type: ignore[index]
    return some.format(action.metavar)
