"""Train a classifier on labelled images, judge it once on images held out, and write a folder that predicts.

DATA is a folder (photos/CLASS/image, or photos/train/CLASS/image with val or test beside it), a .csv, .jsonl or .npz
file, or a built-in name: digits, mnist, fashion-mnist, cifar10, elpv.

A table may give several labels per image ("cat|dog" in the column label), or columns of numbers in place of a label;
then these are what is predicted. --task anomaly learns from normal images alone what is unlike them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.cli.options import add_config, add_json, chosen, listed, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError
from clearsight.train.config import TrainConfig

if TYPE_CHECKING:
    from clearsight.runs.folder import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", nargs="?", help="the labelled images")
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    if words := listed(arguments):
        print(words)
        return 0
    config = TrainConfig.from_options(**chosen(arguments))  # what can be refused at once is, before torch is loaded
    data, about = arguments.data, config.data
    if data is None and config.run.resume and config.run.out:
        from clearsight.runs.folder import run_options, run_origin

        begun = Path(config.run.out)
        data, about = run_origin(begun), TrainConfig.from_options(**run_options(begun)).data
    if data is None:
        raise ConfigError("train what?", expected="DATA: a folder, a file or a built-in name", fix="try `digits`")
    from clearsight.data.sources.read import read

    dataset = read(data, data_dir=about.data_dir, task=about.task, normal=about.normal)
    with terminal() as console:
        from clearsight.api.fit import fit

        finished = fit(dataset, console=console, **chosen(arguments))
    if int(os.environ.get("RANK", "0")):  # of several processes, the first one speaks
        return 0
    folder, thing = os.path.relpath(finished.folder), finished.predictor.bundle.thing
    if arguments.json:
        verdicts = [asdict(v) for v in finished.diagnosis.verdicts] if finished.diagnosis else []
        report = os.path.relpath(finished.report)
        print_json({"run": folder, "report": report, **finished.metrics, "verdicts": verdicts})
        return 0
    for verdict in finished.diagnosis.verdicts if finished.diagnosis else ():
        command = f"\n  {verdict.command}" if verdict.options else ""
        print(f"\n{verdict.severity}: {verdict.words}\n  cure: {verdict.fix}{command}")
    print(
        f"\n{SAID[finished.metrics['task']](finished.metrics['test'], thing, NEW)}\n"
        f"trained in {finished.metrics['train_seconds']:.0f} s\n{_limits(finished, thing)}"
        f"\n  report   {os.path.relpath(finished.report)}\n"
        f"  model    {folder}\n"
        f"  next     {_program()} predict {shlex.quote(folder)} {thing.upper()}"
    )
    return 0


def _classes(test: dict[str, Any], thing: str, new: str) -> str:
    low, high = test["accuracy_interval"]
    return (
        f"right on {test['accuracy']:.1%} of {test['n']} {thing}s{new} "
        f"(95 % interval {low:.1%} to {high:.1%})\n"
        f"it says {test['mean_confidence']:.1%} on average; its belief is off by {test['ece']:.1%} "
        f"({test['ece_uncalibrated']:.1%} before calibration)"
    )


def labels_words(test: dict[str, Any], thing: str, new: str) -> str:
    """The scores of a model of several labels. thing: image or sound. new: what is said of those it had never seen."""
    return (
        f"mean average precision {test['mean_average_precision']:.3f} on {test['n']} {thing}s{new}\n"
        f"F1 {test['macro_f1']:.3f} with a threshold for each label, {test['macro_f1_at_half']:.3f} with 1/2 for all; "
        f"{test['exact']:.1%} of the {thing}s are given exactly their labels"
    )


def numbers_words(test: dict[str, Any], thing: str, new: str) -> str:
    """The same of a model of numbers."""
    unit = f" {test['unit']}" if test["unit"] else ""
    lines = [
        f"{name}: off by {s['median_error']:.3g}{unit} in the median of {test['n']} {thing}s{new} "
        f"(always saying the same: {s['usual_error']:.3g}{unit})"
        for name, s in test["per_number"].items()
    ]
    return "\n".join([*lines, f"{test['coverage']:.0%} intervals hold the truth in {test['covered']:.1%}"])


def anomaly_words(test: dict[str, Any], thing: str, new: str) -> str:
    """The same of a detector of anomalies."""
    lines = []
    if test["auroc"] is not None:
        low, high = test["auroc_interval"]
        lines.append(
            f"AUROC {test['auroc']:.3f} ({low:.3f} to {high:.3f}): how often an anomaly is stranger than a normal "
            f"{thing}{', neither of which it had ever seen' if new else ''}"
        )
        lines.append(f"{test['found']:.1%} of {test['anomalies']} anomalies are called so")
    if test["false_alarms"] is not None:
        low, high = test["false_alarms_interval"]
        lines.append(
            f"{test['false_alarms']:.1%} of {test['n'] - test['anomalies']} normal {thing}s are called anomalies "
            f"({low:.1%} to {high:.1%}; {test['promised']:.1%} were promised)"
        )
    return "\n".join(lines)


NEW = " it had never seen"

SAID = {
    "classification": _classes, "multilabel": labels_words, "regression": numbers_words, "anomaly": anomaly_words,
}  # fmt: skip
"""What is said of the test, by task."""


def _limits(run: Run, thing: str) -> str:
    """What the model knows of its limits, and labels to doubt, in a line each."""
    said = ""
    if "coverage" in (found := run.metrics["test"].get("limits") or {}):
        low, high = found["coverage_interval"]
        said += (
            f"90 % prediction sets hold the truth in {found['coverage']:.1%} "
            f"(95 % interval {low:.1%} to {high:.1%}), with {found['mean_size']:.2f} classes; "
            f'{found["false_alarms"]:.1%} of these {thing}s are called "none of these"\n'
        )
    if run.suspects and not run.suspects.found:
        said += f"no {thing} to learn from looks wrong in its place\n"
    elif run.suspects:
        n = len(run.suspects.found)
        if run.metrics["task"] == "anomaly":
            return f"{n} {thing}{'s' * (n > 1)} to learn from may be anomalies: " + (
                f"{os.path.relpath(run.folder / 'suspects.csv')}\n"
            )
        said += f"{n} label{'s' * (n > 1)} may be wrong: {os.path.relpath(run.folder / 'suspects.csv')}\n"
    return said


def _program() -> str:
    """How to call us again: by name where the shell finds it, else by path."""
    return "clearsight" if shutil.which("clearsight") else os.path.relpath(sys.argv[0])
