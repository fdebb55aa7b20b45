"""`clearsight COMMAND ...`: finds the command's file, runs it, and turns errors into one line.

Nothing heavy is imported here; `clearsight --help` starts without torch. Exit codes: 0 done, 1 a defect of ours (with
its traceback), 2 something the user can mend, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from clearsight import __version__
from clearsight.errors import ClearsightError

COMMANDS = {
    "train": "train a classifier on labelled images, judge it, write a report",
    "predict": "ask a trained model what images show",
    "evaluate": "judge a trained model on its test split or on other data",
    "check": "audit a data set without training",
    "models": "list the networks, or describe one",
}

EPILOG = """\
start here:
  clearsight train digits                a data set that comes with it, in seconds
  clearsight train photos/               photos/cat/1.jpg, photos/dog/2.jpg, ...
  clearsight predict runs/photos new.jpg
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command; a command's own options are added when its file is imported."""
    parser = argparse.ArgumentParser(
        prog="clearsight",
        description="From labelled images to a classifier you can trust.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clearsight {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, help in COMMANDS.items():
        commands.add_parser(name, help=help, add_help=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if argv and argv[0] in COMMANDS:
            module = import_module(f"clearsight.cli.{argv[0]}")
            parser = argparse.ArgumentParser(
                prog=f"clearsight {argv[0]}",
                description=module.__doc__,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            module.add_arguments(parser)
            arguments = parser.parse_args(argv[1:])
            code: int = module.run(arguments)
            sys.stdout.flush()
            return code
        parser = build_parser()
        if argv and not argv[0].startswith("-"):
            from clearsight.errors import nearest

            parser.exit(2, f"clearsight: there is no command {argv[0]!r}; {nearest(argv[0], COMMANDS)}\n")
        parser.parse_args(argv)
        parser.print_help()
        return 0
    except ClearsightError as error:
        print(f"clearsight: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "clearsight: interrupted; what was finished is kept, nothing is half-written. "
            "Run the command again to start anew.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
