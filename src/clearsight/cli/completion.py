"""Print a script with which a shell completes commands, options, their values, and files.

    eval "$(clearsight completion bash)"          in ~/.bashrc
    eval "$(clearsight completion zsh)"           in ~/.zshrc, after compinit

The script contains all options, so it is made again after an update.
"""

from __future__ import annotations

import argparse

from clearsight.cli.options import print_json
from clearsight.errors import ConfigError

SHELLS = ("bash", "zsh", "tcsh")

FILES = ("FILE", "IMAGE", "DATA", "FOLDER", "RUN", "DIR", "OUT", "WEIGHTS", "TARGET", "TEMPLATE", "INDEX")
"""Arguments that are paths, by what the help calls them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=f"shell: {', '.join(SHELLS)}")


def run(arguments: argparse.Namespace) -> None:
    try:
        import shtab
    except ImportError as error:
        raise ConfigError("completion needs the library shtab", fix="install it with `pip install shtab`") from error
    script = shtab.complete(_whole_parser(), arguments.shell)
    if arguments.json:
        print_json({"shell": arguments.shell, "script": script})
    else:
        print(script)


def _whole_parser() -> argparse.ArgumentParser:
    """A parser with the arguments of all commands, their choices and which of them are paths."""
    from clearsight.cli.main import COMMANDS, add_arguments
    from clearsight.train.config import options_by_name
    from clearsight.train.option_field import choices_of

    whole = argparse.ArgumentParser(prog="clearsight", description="")
    whole.add_argument("--version", action="store_true", help="show the version")
    commands = whole.add_subparsers(dest="command")
    choices = {name: tuple(choices_of(field)) for name, field in options_by_name().items()}
    for name, help in COMMANDS.items():
        parser = commands.add_parser(name, help=help)
        add_arguments(parser, name)
        for action in parser._actions:
            metavar = action.metavar if isinstance(action.metavar, str) else ""
            if action.choices is None and choices.get(action.dest):
                action.choices = choices[action.dest]
            elif metavar.partition(",")[0] in FILES:
                action.complete = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}  # type: ignore[attr-defined]
    return whole
