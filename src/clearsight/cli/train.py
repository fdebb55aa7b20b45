"""Train a classifier on labelled images, evaluate it once on the test split, and write the run to a folder.

DATA is a folder (photos/CLASS/image, or photos/train/CLASS/image with val or test next to it), an archive of one (.zip,
.tar), a .csv, .jsonl, .json, .npz, .parquet or .arrow file, WebDataset's shards ('train-{000..009}.tar'), a URL of any
of these, or a built-in data set: digits, mnist, fashion-mnist, cifar10 or elpv. Where data can be read in several ways,
DATA#label=COLUMN, DATA#image=COLUMN and DATA#format=FORMAT select one.

A table of boxes (image,xmin,ymin,xmax,ymax,label) or a COCO .json file trains a detector for `locate`, from crops of
the boxes and of the background.

A table may contain several labels per image ("cat|dog" in the column label), or numeric columns instead of a label; the
model then predicts these. With --task anomaly, the model is trained only on normal images and detects images that
differ from them.
"""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.arguments import program
from clearsight.cli.options import add_config, chosen, listed, print_json
from clearsight.console import Console, terminal
from clearsight.errors import ConfigError
from clearsight.train.config import TrainConfig
from clearsight.wording import size_words

if TYPE_CHECKING:
    from clearsight.api.run import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="labelled images: a folder, a table, an archive or the name of a built-in data set",
    )
    add_config(parser)


def run(arguments: argparse.Namespace) -> None:
    if words := listed(arguments):
        print(words)
        return
    config = TrainConfig.given(**chosen(arguments))  # what can be refused at once is, before torch is loaded
    data, about = arguments.data, config
    if data is None and config.run.resume and config.run.out:
        from clearsight.runs.folder import run_options, run_origin

        begun = Path(config.run.out)
        data, about = run_origin(begun), TrainConfig.from_options(**run_options(begun))
    if data is None:
        raise ConfigError(
            "no data to train on",
            expected="DATA: a folder, a file or the name of a built-in data set",
            fix="try `digits`",
        )
    from clearsight.tasks import read
    from clearsight.tasks.evaluation import NEW
    from clearsight.train.task_options import task_options

    with terminal() as console:
        _say_cache(console)
        if about.run.from_run is None and not about.run.resume:  # its data is read by the options of the run
            data = read(data, data_dir=about.data.data_dir, task=about.data.task, options=task_options(about))
        from clearsight.api.fit import train

        finished = train(data, home=Path("runs"), console=console, **chosen(arguments))
    if int(os.environ.get("RANK", "0")):  # of several processes, the first one speaks
        return
    folder, bundle = os.path.relpath(finished.folder), finished.predictor.bundle
    thing, task = bundle.thing, bundle.task
    if arguments.json:
        verdicts = [asdict(v) for v in finished.diagnosis.verdicts] if finished.diagnosis else []
        report = os.path.relpath(finished.report)
        print_json({"run": folder, "report": report, **finished.metrics, "verdicts": verdicts})
        return
    for verdict in finished.diagnosis.verdicts if finished.diagnosis else ():
        command = f"\n  {verdict.command}" if verdict.options else ""
        print(f"\n{verdict.severity}: {verdict.words}\n  fix: {verdict.fix}{command}")
    panel = finished.panel
    print(
        f"\n{task.evaluation.headline(finished.metrics['test'], thing, NEW)}\n{_tested_on(finished)}"
        + (f"\n{panel.text()}\n\n" if panel else "")
        + (f"{finished.compared.text()}\n\n" if finished.compared else "")
        + f"trained in {finished.seconds:.0f} s\n{_label_issues(finished, thing)}"
        f"{_more_time(finished, data)}"
        f"\n  report   {os.path.relpath(finished.report)}\n"
        f"  model    {folder}\n"
        f"  next     {program()} {'locate' if 'detection' in bundle.data else 'predict'} {shlex.quote(folder)} "
        f"{thing.upper()}"
    )


def _say_cache(console: Console) -> None:
    """Where files are kept that are computed once, at the first use."""
    from clearsight.data.cache import cache_limit, cache_root

    if not cache_root().is_dir():
        console.say(
            f"cache: decoded pixels and features are kept in {cache_root()}, up to {size_words(cache_limit())}; "
            "CLEARSIGHT_CACHE names another folder, and `clearsight cache` shows and removes them"
        )


def _tested_on(finished: Run) -> str:
    """A line where the test images are the data's own validation split."""
    if finished.metrics.get("tested_on") != "val":
        return ""
    return (
        "warning: the test images are the val split of the data, which has no test split; if models or options were "
        "chosen on it, the scores are too optimistic\n"
    )


def _label_issues(run: Run, thing: str) -> str:
    """Label issues, in a line."""
    text = ""
    if run.label_issues and not run.label_issues.found:
        text += "no label is flagged as wrong, which does not prove that all labels are correct\n"
    elif run.label_issues:
        n, file = len(run.label_issues.found), os.path.relpath(run.folder / "label_issues.csv")
        words = run.predictor.bundle.task.words_used.issues.format(n=n, thing=thing, s="s" * (n > 1))
        share = run.label_issues.expected_false_share
        wrong = "" if share is None else f"; about {round((1 - share) * n):,} of these labels are expected to be wrong"
        text += f"{words}{wrong}. Inspect the {thing}s listed in {file}, and correct the labels that are wrong.\n"
    return text


def _more_time(finished: Run, data: object) -> str:
    """How more time is used, as a command, where training was limited."""
    advice = next((d for d in finished.metrics.get("recipe", []) if d["what"] == "more time"), None)
    if advice is None:
        return ""
    command = f"{program()} train {shlex.quote(str(getattr(data, 'origin', data)))} {advice['choice']}"
    return f"more time: {advice['why']}\n  {command}\n"
