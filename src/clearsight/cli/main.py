"""`clearsight COMMAND ...`: finds the command's file, runs it, and turns errors into one line.

Nothing heavy is imported here; `clearsight --help` starts without torch. What is imported at all is imported inside
`main`, where Ctrl-C is answered in one line. Exit codes: 0 done, 1 a defect of ours (with its traceback), 2 something
the user can correct, 3 warnings with --strict, 75 ended by a scheduler and to be started again, 130 interrupted.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

COMMANDS = {
    "train": "train and evaluate a classifier on labelled images, and write a report",
    "predict": "predict classes, labels or numeric targets for new images",
    "embed": "compute the features of images, and write them to files",
    "tune": "search for better hyperparameters",
    "evaluate": "evaluate a model on its test split or on other data",
    "explain": "explain predictions with heatmaps, and measure how faithful the heatmaps are",
    "locate": "locate objects with boxes and masks; class labels suffice for training",
    "visualize": "visualise a network: filters, feature maps, patches, class images, feature inversion",
    "attack": "measure adversarial robustness: accuracy as a function of epsilon",
    "robustness": "measure how robust predictions are to changes in the image",
    "landscape": "plot the loss around a model's weights, and measure its largest curvature",
    "gradient-correlation": "measure how gradients at nearby inputs correlate, by network depth",
    "index": "index images by a model's features, for similarity search",
    "search": "find the images most similar to a given image",
    "export": "export a model to ONNX, OpenVINO or torch.export, and verify its outputs",
    "serve": "serve a model over HTTP, with a web interface",
    "push": "push a model to the Hugging Face Hub, with a model card",
    "audit": "audit a data set without training",
    "compare": "compare classical and deep models on one data set",
    "doctor": "diagnose a training run, and suggest a command that fixes it",
    "models": "list the networks, or describe one",
    "filter": "filter an image with a kernel: blur, sharpen or detect edges",
    "match": "find a small image in a larger one",
    "cache": "show the contents of the cache, and prune it",
    "config": "show the options of a command, with values and origins",
    "completion": "print a script with which a shell completes commands and options",
}

RESUMABLE = ("train", "predict", "embed")
"""Commands that go on with --resume, and so end with `preemption.REQUEUE` when a scheduler ends them."""
KEPT = frozenset({"train", "index", "export", "compare", "tune"})
"""Commands that write their results to files before they print a summary: that it is lost is no failure."""

EPILOG = """\
start here:
  clearsight train digits                a built-in data set; takes seconds
  clearsight train photos/               photos/cat/1.jpg, photos/dog/2.jpg, ...
  clearsight predict runs/photos new.jpg
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser that lists the commands; a command's own options are in its own file."""
    import argparse

    from clearsight import __version__

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
    interrupts: list[int] = []
    try:
        from clearsight.cli.streams import guarded, open_standard_streams
        from clearsight.preemption import interrupts_noted

        open_standard_streams()
        with guarded(), interrupts_noted(interrupts):
            code = _logged(list(sys.argv[1:] if argv is None else argv))
        if not code or not interrupts:
            return code
    except KeyboardInterrupt:
        pass
    except Exception:  # an extension module that was being imported makes another error of an interruption
        if not interrupts:
            raise
    print(
        "clearsight: interrupted. Finished results are kept, and no file is incomplete. To resume `compare` or "
        "`tune`, repeat the command; to resume `train`, add --resume.",
        file=sys.stderr,
    )
    return 130


def _logged(argv: list[str]) -> int:
    """The exit code; how messages are written holds for this command only."""
    from clearsight.logs import LogSettings, use_logs

    try:
        return _answered(argv)
    finally:
        use_logs(LogSettings())


def _answered(argv: list[str]) -> int:
    """The exit code of a command that a scheduler may end, or whose output may be refused."""
    from clearsight.cli.streams import StreamError, discard_output
    from clearsight.logs import write_error
    from clearsight.preemption import REQUEUE, Preempted

    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except Preempted:
        write_error("ended by the scheduler. Finished results are kept. Repeat the command with --resume to continue.")
        return REQUEUE
    except StreamError as error:
        discard_output()
        if error.broken:  # the reader of our output has gone, as with `| head`
            return 0
        kept = bool(argv) and argv[0] in KEPT
        rest = "The files that the command writes are complete." if kept else "The result is lost. Repeat the command."
        write_error(f"standard output cannot be written; found {error.strerror}. {rest}")
        return 0 if kept else 2


def _run(argv: list[str]) -> int:
    from clearsight.cli.renamed import renamed_command
    from clearsight.cli.streams import StreamError
    from clearsight.errors import ClearsightError, nearest
    from clearsight.logs import write_error

    try:
        if argv and argv[0] in COMMANDS:
            return _command(argv[0], argv[1:])
        if not argv:
            from clearsight.cli.first_contact import next_steps

            print(next_steps())
            return 0
        parser = build_parser()
        if not argv[0].startswith("-"):
            hint = renamed_command(argv[0]) or nearest(argv[0], COMMANDS)
            parser.exit(2, f"clearsight: unknown command {argv[0]!r}; {hint}\n")
        parser.parse_args(argv)
        parser.print_help()
        return 0
    except ClearsightError as error:
        from clearsight.documentation import page_address

        _show_origin(error)
        write_error(str(error), page_address(error.page) if error.page else None)
        return 2
    except StreamError:
        raise
    except (OSError, MemoryError, RuntimeError) as error:
        if (words := _refused(error)) is None:
            raise
        _show_origin(error)
        write_error(words)
        return 2


def _command(name: str, words: list[str]) -> int:
    """The exit code of a command."""
    from contextlib import nullcontext

    from clearsight.cli.parsing import log_settings_of, parsed
    from clearsight.logs import use_logs
    from clearsight.preemption import handled

    values = parsed(command_parser(name), words, COMMANDS).values
    use_logs(log_settings_of(values))
    with handled() if name in RESUMABLE else nullcontext():
        code: int | None = command_module(name).run(values)
    return code or 0


def _show_origin(error: Exception) -> None:
    """Where an error was raised, with --log-level debug."""
    from clearsight.logs import log_settings

    if log_settings().shows("debug"):
        import traceback

        traceback.print_exception(error)


def _refused(error: Exception) -> str | None:
    """What the user can do about a full disk or too little memory; None for any other error."""
    from clearsight.disk import FULL
    from clearsight.memory import out_of_memory

    if isinstance(error, OSError) and error.errno in FULL:
        where = error.filename or "a temporary file"
        return f"{where} cannot be written; found {FULL[error.errno]}. Free some space, and repeat the command."
    if out_of_memory(error):
        return "there is not enough memory. Use smaller images or fewer at a time, or close other programs."
    return None


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of a command, as its file describes it."""
    import argparse

    from clearsight.cli.parsing import positional

    module = command_module(name)
    parser = argparse.ArgumentParser(
        prog=f"clearsight {name}",
        description=_filled(module.__doc__ or ""),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
    )
    add_arguments(parser, name)
    parser.usage = " ".join([parser.prog, *positional(parser), "[options]"])
    return parser


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of a command to a parser."""
    from clearsight.cli.parsing import add_common

    command_module(name).add_arguments(parser)
    add_common(parser)


def command_module(name: str) -> Any:
    """The file of a command."""
    from importlib import import_module

    return import_module(f"clearsight.cli.{name.replace('-', '_')}")


def _filled(text: str) -> str:
    """The paragraphs of a description, filled to the width of the terminal; indented ones stay as they are."""
    import shutil
    import textwrap

    width = max(40, shutil.get_terminal_size().columns - 2)
    paragraphs = [
        part
        if any(line.startswith(" ") for line in part.splitlines())
        else textwrap.fill(" ".join(part.split()), width)
        for part in text.strip().split("\n\n")
    ]
    return "\n\n".join(paragraphs)


if __name__ == "__main__":
    sys.exit(main())
