"""Judge a trained model: on the test split of its own data, or on other labelled images (DATA) of the same classes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from clearsight.cli.options import add_json, print_json
from clearsight.cli.train import NEW, SAID
from clearsight.console import terminal

if TYPE_CHECKING:
    from clearsight.evaluation import AnswersEvaluation, Paired
    from clearsight.evaluation.anomaly import AnomalyMistake
    from clearsight.evaluation.labels import LabelMistake
    from clearsight.evaluation.numbers import NumberMistake


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a trained model's folder")
    parser.add_argument("data", metavar="DATA", nargs="?", help="other labelled images (default: the run's test split)")
    parser.add_argument("--data-dir", metavar="FOLDER", help="folder that holds the files of a built-in data set")
    parser.add_argument(
        "--views",
        metavar="NAME",
        help="also judge several views of each image together: mirror, flips, turns, shifts, ten",
    )
    parser.add_argument(
        "--with", dest="others", metavar="RUN,...", help="other models to compare on the same images, and to join"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    with terminal() as console:
        from clearsight.api.ensembles import together
        from clearsight.api.evaluate import evaluate
        from clearsight.evaluation import Evaluation
        from clearsight.runs.load import load

        where: dict[str, Any] = {"console": console, "data_dir": arguments.data_dir}
        found = evaluate(arguments.run, arguments.data, **where)
        thing = load(arguments.run).bundle.thing
        others = [word.strip() for word in (arguments.others or "").split(",") if word.strip()]
        more = []
        if arguments.views or others:
            more = together(arguments.run, arguments.data, views=arguments.views, others=others, **where)
    if not isinstance(found, Evaluation):
        summary = found.summary()
        if arguments.json:
            print_json({**summary, "mistakes": [asdict(m) for m in found.mistakes]})
            return 0
        print(SAID[found.task](summary, thing, "" if arguments.data else NEW))
        _print_each(found, thing)
        for miss in found.mistakes[:10]:
            print(_mistake(miss))
        return 0
    if arguments.json:
        print_json(
            {
                **found.summary(),
                "classes": list(found.classes),
                "per_class": [asdict(c) for c in found.per_class],
                "confusion": found.confusion.tolist(),
                "mistakes": [asdict(m) for m in found.mistakes],
                **({"together": [row.to_dict() for row in more]} if more else {}),
            }
        )
        return 0
    low, high = found.accuracy_interval
    print(f"accuracy           {found.accuracy:.1%} of {found.n} {thing}s (95 % interval {low:.1%} to {high:.1%})")
    print(f"balanced accuracy  {found.balanced_accuracy:.1%}")
    if found.top5 is not None:
        print(f"top 5              {found.top5:.1%}")
    print(f"log loss           {found.log_loss:.3f}")
    print(f"belief off by      {found.ece:.1%} ({found.ece_uncalibrated:.1%} before calibration)\n")
    width = max(len("class"), *(len(c.name) for c in found.per_class))
    print(f"{'class':<{width}}  {thing}s  precision  recall    F1")
    for c in found.per_class:
        print(f"{c.name:<{width}}  {c.images:6d}  {c.precision:9.1%}  {c.recall:6.1%}  {c.f1:.3f}")
    for m in found.mistakes[:10]:
        how = "sure and wrong" if m.probability > 0.8 else "wrong"
        print(f"\n{how}: {m.image} is {m.label}, called {m.predicted} with {m.probability:.1%}", end="")
    print()
    if more:
        _print_together(more)
    return 0


def _print_each(found: AnswersEvaluation, thing: str) -> None:
    """A line for each label, or for each class that is normal or not."""
    from clearsight.evaluation import AnomalyEvaluation, LabelsEvaluation

    if isinstance(found, LabelsEvaluation):
        width = max(len("label"), *(len(s.name) for s in found.per_label))
        print(f"\n{'label':<{width}}  {thing}s  average precision  threshold  precision  recall    F1")
        for s in found.per_label:
            average = f"{s.average_precision:.3f}" if s.images else "-"
            print(
                f"{s.name:<{width}}  {s.images:6d}  {average:>17}  {s.threshold:9.2f}  {s.precision:9.1%}  "
                f"{s.recall:6.1%}  {s.f1:.3f}"
            )
        print()
    elif isinstance(found, AnomalyEvaluation):
        names = [g.name + (" (normal)" if g.normal else "") for g in found.per_group]
        width = max(map(len, names), default=0)
        print()
        for name, g in zip(names, found.per_group, strict=True):
            more = "" if g.auroc is None else f", AUROC {g.auroc:.3f}"
            print(f"{name:<{width}}  {g.images:6d} {thing}s, {g.called:6.1%} called anomalies{more}")
        print()


def _mistake(miss: LabelMistake | NumberMistake | AnomalyMistake) -> str:
    from clearsight.evaluation.anomaly import AnomalyMistake
    from clearsight.evaluation.numbers import NumberMistake

    if isinstance(miss, AnomalyMistake):
        return f"{miss.kind}: {miss.image}, anomaly {miss.probability:.1%}, p = {miss.p_value:.3f}"
    if isinstance(miss, NumberMistake):
        said, truth = (", ".join(f"{v:.4g}" for v in row) for row in (miss.said, miss.truth))
        return f"furthest off: {miss.image} is {truth}, said {said}"
    parts = [("lacks", miss.missing), ("has too much", miss.wrong)]
    return f"wrong: {miss.image} " + ", ".join(f"{word} {', '.join(names)}" for word, names in parts if names)


def _print_together(rows: Sequence[Paired]) -> None:
    """Each row against the model alone."""
    width = max(len(row.name) for row in rows)
    print(f"\n{'':<{width}}  accuracy  log loss  against the model alone")
    for number, row in enumerate(rows):
        words = ""
        if number:
            low, high = row.interval
            words = (
                f"{100 * row.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), {row.gained} won, "
                f"{row.lost} lost, p = {row.p_value:.2g}"
                + ("; not to be trusted, as some of these images were trained on" if row.knows else "")
            )
        print(f"{row.name:<{width}}  {row.accuracy:8.1%}  {row.log_loss:8.3f}  {words}".rstrip())
