"""Evaluate a trained model on the test split of its own data, or on other labelled images (DATA).

For a model trained on boxes, the average precision of boxes and masks in the whole images is reported in addition to
the scores of the crops: mAP@0.5, mAP@[.5:.95] and AP per class.
"""

from __future__ import annotations

import argparse
from typing import Any

from clearsight.cli.options import print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("data", metavar="DATA", nargs="?", help="labelled images (default: the test split of the run)")
    parser.add_argument(
        "--group-by", action="append", default=[], metavar="COLUMN",
        help="table column, such as site; scores are also reported for each of its values; may be repeated "
        "(default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--average-by", metavar="COLUMN",
        help="table column, such as speaker; the outputs of all images with the same value are averaged and "
        "scored as one prediction (default: each image is scored separately)",
    )  # fmt: skip
    parser.add_argument(
        "--include-training",
        action="store_true",
        help="include the images that the model was trained on (default: no)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="folder that contains the files of a built-in data set (default: the cache)",
    )
    parser.add_argument(
        "--tta",
        metavar="NAME",
        help="also evaluate with test-time augmentation: mirror, flips, turns, shifts or ten (default: none)",
    )
    parser.add_argument(
        "--with",
        dest="others",
        metavar="RUN,...",
        help="other models to compare with RUN on the same images and to combine with it in an ensemble "
        "(default: none)",
    )


def run(arguments: argparse.Namespace) -> None:
    with terminal() as console:
        from clearsight.api.ensembles import compare_models
        from clearsight.api.evaluate import evaluate
        from clearsight.evaluation import tta_functions
        from clearsight.runs.load import load_predictor
        from clearsight.tasks.evaluation import NEW

        if arguments.average_by and (arguments.tta or arguments.others):
            raise ConfigError(
                "--average-by cannot be combined with test-time augmentation or other models",
                found="--tta" if arguments.tta else "--with",
                fix="drop --average-by or the other option",
            )  # fmt: skip
        if arguments.tta:
            tta_functions(arguments.tta)  # an unknown name is refused before anything is evaluated
        where: dict[str, Any] = {
            "console": console, "data_dir": arguments.data_dir, "include_training": arguments.include_training,
        }  # fmt: skip
        found = evaluate(arguments.run, arguments.data, by=arguments.group_by, average_by=arguments.average_by, **where)
        thing = arguments.average_by or load_predictor(arguments.run).bundle.thing
        others = [word.strip() for word in (arguments.others or "").split(",") if word.strip()]
        more = None
        if arguments.tta or others:
            more = compare_models(arguments.run, arguments.data, tta=arguments.tta, others=others, **where)
    if arguments.json:
        print_json({**found.to_dict(), **(more.to_dict() if more else {})})
        return
    print(found.text(thing, "" if arguments.data or arguments.include_training else NEW))
    if more:
        print(f"\n{more.text()}")
