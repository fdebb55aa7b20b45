"""Climb the ladder: train models from colour histograms to fine-tuned networks on one split, rank them, say what to
use.

The ranking rests on the validation images; the test images are looked at once, when every model is there. The same
command goes on with a comparison that was interrupted. Every model is kept in OUT/rungs/NAME, to be asked and judged
like any other run.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="the labelled images")
    parser.add_argument(
        "--rungs",
        metavar="NAME,...",
        help="models to compare, by the names --model knows, such as hog+svm,resnet8 (default: the whole ladder)",
    )
    parser.add_argument("--images", type=int, metavar="N", help="compare on about so many of the images")
    parser.add_argument("--out", metavar="FOLDER", help="folder to write (default: runs/NAME-ladder)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="fixes splits and all training (default: 0)")
    parser.add_argument("--test-fraction", type=float, metavar="X", help="share held out for the test")
    parser.add_argument("--folds", type=int, metavar="N", help="parts of the other images; one of them validates")
    parser.add_argument("--data-dir", metavar="FOLDER", help="folder that holds the files of a built-in data set")
    parser.add_argument("--device", metavar="WORD", help="processor that trains: auto, cpu, cuda")


def run(arguments: argparse.Namespace) -> None:
    rungs = None
    if arguments.rungs is not None:
        rungs = [name.strip() for name in arguments.rungs.split(",") if name.strip()]
        if not rungs:
            raise ConfigError("--rungs names no model", expected="names with commas between, such as hog+svm,resnet8")
    names = ("out", "seed", "test_fraction", "folds", "data_dir", "device")
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    with terminal() as console:
        from clearsight.evaluation.leaderboard import rank_models

        found = rank_models(arguments.data, rungs=rungs, images=arguments.images, console=console, **options)
        page = found.save(found.folder, overwrite=True)
    if arguments.json:
        print_json({**found.to_dict(), "report": str(page)})
        return
    print(f"\n{found.text()}\n  report   {os.path.relpath(page)}")
