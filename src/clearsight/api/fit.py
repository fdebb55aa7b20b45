"""Train on a data set, open the test split once, and write the run's folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from clearsight.api.auto_fix import TrainingDiagnosedError, auto_fix
from clearsight.bundle import versions
from clearsight.console import Console, Silent
from clearsight.data.audit import Finding
from clearsight.data.dataset import Dataset
from clearsight.data.prepare import Prepared
from clearsight.data.sources.read import read
from clearsight.diagnosis import Diagnosis, Vitals, diagnose
from clearsight.disk import disk_errors, read_inside, write_json, write_table
from clearsight.errors import ConfigError, TrainingError
from clearsight.evaluation import check_ood, evaluate_answers
from clearsight.evaluation import evaluate as judge
from clearsight.models.execution import device_of
from clearsight.predictor import ModelOutput, Predictor
from clearsight.runs.folder import Run, resumed, run_folder
from clearsight.runs.load import load
from clearsight.runs.records import events, history
from clearsight.scale.distributed import ALONE, World, processes
from clearsight.train.config import Config
from clearsight.train.fit import Fitted
from clearsight.train.label_issues import LabelIssue
from clearsight.train.loop import Examples, Training
from clearsight.train.observer import Epoch


def fit(data: Any, labels: Any = None, *, console: Console | None = None, **options: Any) -> Run:
    """Train on the data, then open the test split once, and write the run's folder: `cs.fit("photos/", epochs=5)`.

    data: a folder, a .csv, .jsonl or .npz file, a built-in name, a pandas frame with `image_path` and `label`, or
    images as an array or a list of paths with `labels` beside them: `cs.fit(X, y)`.
    options: those of `clearsight train --help`, with underscores: img_size, fit, epochs, budget, seed, out, ...
    Raises ClearsightError with what to do; a folder already in use is never written to.
    """
    config = Config.from_options(**options)
    console = console or Silent()
    dataset = read(
        data if labels is None else (data, labels), data_dir=config.data.data_dir, task=config.data.task,
        normal=config.data.normal,
    )  # fmt: skip
    if config.run.resume:
        config = resumed(config, options, dataset)
    with processes() as world:
        if config.run.heal and world.size > 1:
            raise ConfigError("--heal trains again and again in one process", fix="drop it, or start one process")
        if world.rank > 0:
            return _follow(dataset, config, world)
        if config.run.heal:
            return auto_fix(lambda changed: _fit(dataset, changed, console, ALONE), config, console)
        return _fit(dataset, config, console, world)


def _follow(dataset: Dataset, config: Config, world: World) -> Run:
    """What every process but the first does: its share of the training, and nothing on the disk."""
    from clearsight.train.fit import fit as learn

    folder = Path(world.broadcast(None))
    learn(dataset, config, checkpoints=folder / "checkpoints", world=world)
    world.broadcast(None)  # until the first has written the run
    metrics = json.loads(read_inside(folder, "metrics.json"))
    return Run(folder, load(folder), metrics, folder / "report.html")


def _fit(dataset: Dataset, config: Config, console: Console, world: World) -> Run:
    """Train, judge and write the run's folder."""
    from clearsight.train.fit import fit as learn

    watched: list[tuple[Vitals, torch.nn.Module, Training, Examples]] = []

    def watch(network: torch.nn.Module, how: Training, examples: Examples) -> Vitals:
        watched.append((Vitals(hooks=not how.compile), network, how, examples))
        return watched[-1][0]

    def examined(findings: Sequence[Finding] = ()) -> Diagnosis | None:
        """What the doctor says of the last training."""
        if not watched:
            return None
        vitals, network, how, examples = watched[-1]
        spec: dict[str, Any] = getattr(network, "spec", {})
        return diagnose(
            vitals, how, examples, findings=findings, options=config.changed(), origin=dataset.origin,
            model=spec.get("name", ""), model_args=spec.get("knobs", {}),
        )  # fmt: skip

    with run_folder(config, dataset.name) as folder:
        world.broadcast(str(folder))
        if config.run.resume:
            console.say(f"resuming {folder}")
        about = {"options": config.to_dict(), "data": dataset.origin, "versions": versions()}
        write_json(folder / "config.json", about)
        by_step = config.train.val_every is not None
        with history(folder / "history.csv") as log, events(folder, by_step=by_step) as event:

            def on_epoch(epoch: Epoch) -> None:
                with disk_errors(folder, "the run", "free some space, or choose another --out"):
                    log(epoch)
                    event(epoch)

            try:
                fitted = learn(
                    dataset,
                    config,
                    console=console,
                    on_epoch=on_epoch,
                    watch=watch,
                    checkpoints=folder / "checkpoints",
                    world=world,
                )
            except TrainingError as error:
                diagnosis = examined()
                if diagnosis is None:
                    raise
                write_json(folder / "diagnosis.json", diagnosis.to_dict())
                vitals, network, *_ = watched[-1]
                if vitals.epochs:  # the loop put its best weights back
                    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
                    save_file(weights, folder / "last-good.safetensors")
                raise TrainingDiagnosedError(error, diagnosis) from error
        diagnosis = examined(fitted.prepared.audit.findings)
        if diagnosis is not None:
            write_json(folder / "diagnosis.json", diagnosis.to_dict())
        write_json(folder / "audit.json", fitted.prepared.audit.to_dict())
        predictor = Predictor(fitted.bundle, device=device_of(config.run.device))
        write = _judge_answers if fitted.bundle.answer else _judge_classes
        scores, report = write(predictor, fitted, config, console)
        metrics = {
            **scores,
            "task": fitted.bundle.task,
            "train_seconds": fitted.seconds,
            "limits_seconds": fitted.limits_seconds,
            "images_per_second": fitted.images_per_second,
            "model": fitted.recipe.model,
            "recipe": [d.to_dict() for d in fitted.decisions],
        }
        about["recipe"] = {
            "kind": fitted.recipe.kind,
            "model": fitted.recipe.model,
            "img_size": fitted.recipe.img_size,
            "knobs": fitted.recipe.model_args,
            "tuned": fitted.tuned,
            "decisions": [d.to_dict() for d in fitted.decisions],
            "candidates": [asdict(c) for c in fitted.candidates],
            "training": asdict(fitted.training) if fitted.training else None,
        }
        write_json(folder / "config.json", about)
        report(folder / "report.html", diagnosis)
        if fitted.suspects:
            columns = [f.name for f in fields(LabelIssue)]
            write_table(folder / "suspects.csv", [asdict(s) for s in fitted.suspects.found], columns)
        bundle = fitted.bundle.with_scores(
            {part: {k: v for k, v in scores[part].items() if k != "limits"} for part in ("test", "val")}
        )
        bundle.save(folder / "model")
        write_json(folder / "metrics.json", metrics)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # the run is whole; its weights are in model/
    world.broadcast(None)  # the others may read it now
    return Run(
        folder, Predictor(bundle, device=predictor.device), metrics, folder / "report.html", diagnosis, fitted.suspects
    )


Report = Callable[[Path, Diagnosis | None], None]
"""Writes the page of a run that has been judged."""


def _judge_classes(
    predictor: Predictor, fitted: Fitted, config: Config, console: Console
) -> tuple[dict[str, dict[str, Any]], Report]:
    """Scores of a classifier on the test split and in validation, and what writes its report."""
    from clearsight.report.page import write_report

    prepared, bundle = fitted.prepared, fitted.bundle
    rows, look, names = _look(predictor, prepared, console)
    labels = prepared.labels[rows]
    test = judge(look.logits, labels, bundle.classes, bundle.temperature, indices=rows, names=names)
    limits = check_ood(bundle.limits, look, labels, bundle.temperature) if bundle.limits else None
    val = judge(fitted.val_logits, prepared.labels[fitted.judged], bundle.classes, bundle.temperature)

    def report(path: Path, diagnosis: Diagnosis | None) -> None:
        write_report(
            path, fitted=fitted, evaluation=test, validation=val, config=config, diagnosis=diagnosis, limits=limits
        )

    more = {"limits": limits.summary()} if limits else {}
    return {"test": {**test.summary(), **more}, "val": val.summary()}, report


def _judge_answers(
    predictor: Predictor, fitted: Fitted, config: Config, console: Console
) -> tuple[dict[str, dict[str, Any]], Report]:
    """The same of a model of several labels, of numbers, or of anomalies."""
    from clearsight.report.answers_page import write_answers_report

    prepared, answer, limits = fitted.prepared, fitted.bundle.answer, fitted.bundle.limits
    table = prepared.dataset.targets
    assert answer is not None
    assert table is not None
    rows, look, names = _look(predictor, prepared, console)
    groups = [prepared.dataset.classes[k] for k in prepared.labels[rows]]
    test = evaluate_answers(answer, look.logits, table.values[rows], groups=groups, indices=rows, images=names)
    val = evaluate_answers(answer, fitted.val_logits, table.values[fitted.judged])
    alarms = None
    if limits is not None:
        alarms = float(limits.judge(look.logits, look.features, look.coarse, 1.0)[1].mean())

    def report(path: Path, diagnosis: Diagnosis | None) -> None:
        write_answers_report(path, fitted=fitted, evaluation=test, false_alarms=alarms, config=config)

    more = {} if alarms is None else {"limits": {"false_alarms": alarms}}
    return {"test": {**test.summary(), **more}, "val": val.summary()}, report


def _look(
    predictor: Predictor, prepared: Prepared, console: Console
) -> tuple[NDArray[np.int64], ModelOutput, list[str]]:
    """The test split: positions, what the model makes of its images, and their names."""
    rows = prepared.split.test
    look = predictor.forward(prepared.pixels.view(rows), console.stage("judging on the test split"))
    return rows, look, [prepared.dataset.source.name(int(i)) for i in rows]
