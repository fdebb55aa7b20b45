"""Search for better training options: learning rate, batch size, weight decay, optimiser, augmentation, width, depth.

Options that are given on the command line are fixed and not searched. With --folds K, each trial is evaluated on K
folds in turn instead of only on the validation split. The study is stored in OUT/study.db; repeat the command to resume
it. The test images are not used.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from clearsight.cli.options import add_config, chosen, listed, print_json
from clearsight.console import terminal
from clearsight.errors import ConfigError
from clearsight.train.config import TrainConfig
from clearsight.train.option_field import seconds
from clearsight.wording import count, percent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="labelled images: a folder, a table, an archive or the name of a built-in data set",
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=30,
        metavar="N",
        help="total number of trials, including those of earlier searches with the same options (default: 30)",
    )
    add_config(parser)


def run(arguments: argparse.Namespace) -> None:
    if words := listed(arguments):
        print(words)
        return
    options = chosen(arguments)
    config = TrainConfig.from_options(**options)
    if arguments.data is None:
        raise ConfigError(
            "no data given",
            expected="DATA: a folder, a file or the name of a built-in data set",
            fix="try `digits`",
        )
    if arguments.trials < 1:
        raise ConfigError(f"--trials must be 1 or more, not {arguments.trials}")
    from clearsight.tasks import read
    from clearsight.train.task_options import task_options

    data = config.data
    with terminal() as console:
        dataset = read(arguments.data, data_dir=data.data_dir, task=data.task, options=task_options(config))
        folder = Path(config.run.out or f"runs/{dataset.name}-search").expanduser()
        from clearsight.disk import disk_errors
        from clearsight.report.search_page import best_command, scores_words, write_search_page
        from clearsight.train.search import search

        with disk_errors(folder, "the search", "choose another --out or free some space"):
            folder.mkdir(parents=True, exist_ok=True)
        found = search(
            dataset,
            config,
            options,
            trials=arguments.trials,
            seconds=seconds(config.run.budget) if config.run.budget else None,
            storage=folder / "study.db",
            folds=options.get("folds", 1),
            console=console,
        )
        write_search_page(folder / "search.html", found, name=dataset.name, origin=dataset.origin)
    command = best_command(found, arguments.data)
    page = os.path.relpath(folder / "search.html")
    if arguments.json:
        print_json({**found.to_dict(), "command": command, "report": page})
        return
    loss, right = scores_words(found.best)
    on = "the validation split" if found.folds == 1 else f"{found.folds} folds (mean and standard deviation)"
    print(
        f"\nbest of {count(len(found.trials), 'trial')}: {found.measures[0]} {loss}, "
        f"{found.measures[1]} {right} on {on}\n"
        + "".join(f"  {percent(share, 0):>5}  {option}\n" for option, share in list(found.importance.items())[:5])
        + f"\n  report   {page}\n  next     {command}"
    )
