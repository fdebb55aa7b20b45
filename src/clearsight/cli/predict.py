"""Predict the class of images or sounds, with calibrated probabilities and an uncertainty (normalised entropy, 0 to 1).

A model with several labels per image predicts every label that reaches its threshold. A model that predicts numbers
gives an interval for each. An anomaly model predicts whether the image is an anomaly.

An out-of-distribution image is shown as "unknown", with the nearest class.

RUN is a folder written by `clearsight train`, or the name of a network with published ImageNet weights, such as
efficientnet_lite0. IMAGE is an image file, a WAV file for a model that was trained on sounds, a folder or archive of
such files, a Parquet file, WebDataset's shards, or the URL of any of these.

With --out DIR, any number of images is predicted in constant memory, and the predictions are written to files. Tables
of paths (CSV, JSON Lines) and data sets are read too.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.cli.bulk_options import add_bulk, bulk_compute, check_bulk, finished
from clearsight.cli.options import image_inputs, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError, ImageError
from clearsight.wording import visible

if TYPE_CHECKING:
    from clearsight.base_predictor import BasePredictor

OPTIONS = ("top", "coverage", "sets", "by_class", "group", "back_off")
"""Options that not every task has a use for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="image or WAV files, folders or archives of them, or URLs"
    )
    parser.add_argument(
        "--top", type=int, metavar="N", help="number of classes or labels to show per image (default: 3)"
    )
    parser.add_argument(
        "--average", action="store_true",
        help="average the outputs over all files of each IMAGE argument, such as a folder with one speaker's "
        "recordings, and print one prediction per argument (default: one per file)",
    )  # fmt: skip
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "openvino", "ray"),
        default="auto",
        help="inference engine; with --out, ray computes on a Ray cluster (default: auto)",
    )
    parser.add_argument(
        "--coverage", type=float, metavar="X",
        help="print prediction sets with this coverage (the probability that a set contains the true class), 0 to 1; "
        "for regression, set the coverage of the intervals (default: no sets)",
    )  # fmt: skip
    parser.add_argument(
        "--sets", choices=("lac", "aps", "raps"),
        help="method for prediction sets: lac (smallest sets on average), aps (larger sets for harder images) or raps "
        "(like aps, but with smaller sets) (default: lac)",
    )  # fmt: skip
    parser.add_argument(
        "--by-class", action="store_const", const=True,
        help="guarantee the coverage of prediction sets within each class, not only on average (default: no)",
    )  # fmt: skip
    parser.add_argument(
        "--group", metavar="COLUMN=VALUE",
        help="group that all images belong to, as a column of the training table and its value, such as site=A; "
        "guarantees the coverage of prediction sets within this group (default: none)",
    )  # fmt: skip
    parser.add_argument(
        "--back-off", type=float, metavar="X",
        help="for models with a class tree: predict the deepest class or parent class whose probability is at least X, "
        "0.5 to 1 (default: 0.9)",
    )  # fmt: skip
    add_bulk(parser, "predictions")


def run(arguments: argparse.Namespace) -> int:
    top = 3 if arguments.top is None else arguments.top
    if top < 1:
        raise ConfigError(f"--top must be 1 or more, not {top}")
    if check_bulk(arguments):
        return _to_folder(arguments)
    with terminal() as console:
        inputs = image_inputs(arguments.images)
        from clearsight.tasks.predict_options import PredictOptions, check_effect

        predictor = _predictor(arguments.run, arguments.engine, len(inputs))
        task = predictor.bundle.task
        given = _given(arguments)
        check_effect(given, task.predict_options, task.name)
        advance = console.stage("predicting") if len(inputs) > 16 else None
        predictions: list[Any] = []
        options = _options(arguments)
        sets_asked = any(getattr(arguments, name) is not None for name in ("coverage", "sets", "by_class", "group"))
        asked = options["coverage"] if sets_asked else None
        failed: dict[str, str] = {}
        try:
            average = _averaged(arguments.images, predictor, given) if arguments.average else None
            predictions = average or predictor.predict(inputs, advance, **options)
        except ImageError:  # at least one is unreadable: say which, answer for the others
            if arguments.average:
                raise
            for i, name in enumerate(inputs.names):
                try:
                    predictions += predictor.predict(inputs.at(i), **options)
                except ImageError as error:
                    failed[name] = str(error)
        for note in task.set_notes(PredictOptions(**options)) if sets_asked else ():
            console.say(f"prediction sets: {note}")
        for note in task.notes_on(predictions, PredictOptions(**options)):
            console.say(f"note: {note}")
    if arguments.json:
        print_json({"predictions": [asdict(a) for a in predictions], "failed": failed})
    else:
        width = max((len(a.image) for a in predictions), default=0)
        for a in predictions:
            print(visible(f"{a.image:<{min(width, 48)}}  {a.line(top, asked, predictor.bundle.thing)}"))
    for why in failed.values():
        print(f"clearsight: {why}", file=sys.stderr)
    return 2 if failed else 0


def _predictor(run: str, engine: str, images: int) -> BasePredictor:
    """Of a few images the compiled predictor, which starts without PyTorch; else the usual one."""
    from clearsight.compiled_predictor import FEW, compiled_or_none
    from clearsight.hub.names import hub_name

    if not Path(run).expanduser().exists() and (on_hub := hub_name(run)) is not None:
        from clearsight.hub.download import downloaded

        run = str(downloaded(on_hub))
    if engine == "auto" and images <= FEW and Path(run).expanduser().is_dir():
        compiled = compiled_or_none(run)
        if compiled is not None:
            return compiled
    from clearsight.runs.load import load_predictor

    return load_predictor(run, engine=engine)


def _given(arguments: argparse.Namespace) -> list[str]:
    """The options that the user gave and that not every task has a use for."""
    return ["--" + name.replace("_", "-") for name in OPTIONS if getattr(arguments, name) is not None]


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of predictions, by name."""
    from clearsight.tasks.predict_options import COVERAGE, PredictOptions, group_of

    return {
        "coverage": COVERAGE if arguments.coverage is None else arguments.coverage,
        "sets": arguments.sets or "lac", "by_class": bool(arguments.by_class),
        "back_off": PredictOptions.back_off if arguments.back_off is None else arguments.back_off,
        "group": None if arguments.group is None else group_of(arguments.group, "--group"),
    }  # fmt: skip


def _to_folder(arguments: argparse.Namespace) -> int:
    """Predict any number of images, and write files."""
    if arguments.average:
        raise ConfigError("--average cannot be combined with --out", fix="drop one or the other")
    with terminal() as console:
        from clearsight.runs.load import load_predictor
        from clearsight.scale.bulk import predict
        from clearsight.tasks.predict_options import PredictOptions, check_effect

        with bulk_compute(arguments) as (engine, compute):
            predictor = load_predictor(arguments.run, engine=engine)
            task = predictor.bundle.task
            check_effect(_given(arguments), task.predict_options, task.name)
            found = predict(
                predictor, arguments.images, out=arguments.out, format=arguments.format or "parquet",
                top=arguments.top, resume=arguments.resume, part_size=arguments.part_size,
                options=PredictOptions(**_options(arguments)), console=console, compute=compute,
            )  # fmt: skip
    return finished(found, arguments.json)


def _averaged(images: list[str], predictor: BasePredictor, given: list[str]) -> list[Any]:
    """A prediction for each argument, from the mean output of its files."""
    if given:
        raise ConfigError(f"--average cannot be combined with {', '.join(given)}", fix="drop one or the other")
    return [predictor.predict_average(image_inputs([one]), one) for one in images]
