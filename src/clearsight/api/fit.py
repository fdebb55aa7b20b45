"""Train on a data set, open the test split once, and write the run's folder."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from safetensors.torch import save_file

from clearsight.api.auto_fix import TrainingDiagnosedError, auto_fix
from clearsight.api.run import Run
from clearsight.bundle import Bundle, versions
from clearsight.console import Console, usual_console
from clearsight.data.audit import Finding
from clearsight.data.content_order import listed_positions
from clearsight.data.dataset import Dataset
from clearsight.data.prepare import VALIDATION_AS_TEST
from clearsight.data.ranks import shared_by
from clearsight.data.split_record import targets_digest
from clearsight.data.temporary import TemporaryFolder
from clearsight.diagnosis import Diagnosis, Vitals, diagnose
from clearsight.disk import read_within, write_json
from clearsight.distributed import ALONE, World, processes
from clearsight.errors import ConfigError, DataError, TrainingError
from clearsight.evaluation import OODCheck, check_ood
from clearsight.evaluation.robustness import Retained
from clearsight.evaluation.run_comparison import RunComparison, compare_runs
from clearsight.evaluation.trust_panel import mildly_changed, trust_panel
from clearsight.models.execution import device_of
from clearsight.predictor import ModelOutput, Predictor
from clearsight.report.components.label_issues import issue_cards
from clearsight.report.components.pictures import Thumbnail
from clearsight.report.components.pieces import cards_of, run_thumbnail
from clearsight.report.label_issues_section import write_label_issues
from clearsight.report.mistake_details import MistakeDetails, Neighbours
from clearsight.report.page import write_report
from clearsight.runs.continuation import Continuation, continuation
from clearsight.runs.folder import require_targets, resumed, run_folder
from clearsight.runs.images import all_pixels
from clearsight.runs.load import load_predictor
from clearsight.runs.loggers import Loggers, run_loggers
from clearsight.runs.predictions import predictions_files, write_predictions
from clearsight.runs.records import write_range_test
from clearsight.tasks import origin_of, read
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.image_scores import comparable_targets
from clearsight.tasks.outcomes import Outcomes, outcomes
from clearsight.tasks.sections import Card
from clearsight.trackers import trackers
from clearsight.train.config import TrainConfig
from clearsight.train.features import model_output
from clearsight.train.fit import Fitted
from clearsight.train.loop import Examples
from clearsight.train.observer import Logger, RunStart
from clearsight.train.option_signature import Options, options_in_signature
from clearsight.train.previous import NETWORK_OPTIONS
from clearsight.train.task_options import task_options

TRAINING_IMAGES = 1000
"""Training images that a finished model is evaluated on at most, drawn at random: its training error."""


@options_in_signature
def fit(
    data: Any,
    labels: Any = None,
    *,
    console: Console | None = None,
    loggers: Sequence[Logger] = (),
    **options: Unpack[Options],
) -> Run:
    """Train a model on labelled images, then evaluate it once on the test split: `cs.fit("photos/", epochs=5)`.

    Args:
        data: a folder, a .csv, .jsonl or .npz file, a built-in name, a pandas frame with `image_path` and `label`, or
            N images as an array or a list of paths.
        labels: the N labels, or rows of labels or numbers, of images passed as an array or a list.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.
        loggers: objects that receive epochs, candidates and scores (`clearsight.train.observer.Logger`), beside those
            that `track` names.
        **options: those of `clearsight train --help`, with underscores: img_size, fit, epochs, budget, seed, ... out:
            folder of the run. Without it nothing is left on the disk: the run lies in the cache for as long as it or
            its model is used, unless `run.save(folder)` keeps it.

    Returns:
        The run: its model, its scores on the test split, and its report.

    Raises:
        DataError: the data cannot be learned from.
        ConfigError: options are out of range or contradict each other.
        TrainingError: training broke off.
        OutputError: `out` is in use, which is never written to, or the disk refuses.

    Example:
        >>> run = cs.fit("digits", model="linear", epochs=4)
        >>> run.test.n
        450
        >>> run.model.predict("new.png")[0].label
        '0'
    """
    return train(data, labels, home=None, console=console, loggers=loggers, **options)


def train(
    data: Any,
    labels: Any = None,
    *,
    home: Path | None,
    console: Console | None = None,
    loggers: Sequence[Logger] = (),
    **options: Unpack[Options],
) -> Run:
    """As `fit`.

    Args:
        data: labelled images, as `fit` takes them.
        labels: labels of images passed as arrays or paths; None where the data holds them.
        home: where the run gets a folder of its own if `out` names none; None is the cache, for as long as the run is
            used.
        console: where progress is shown.
        loggers: as for `fit`.
        **options: options of training, by name.

    Returns:
        The finished run.

    Raises:
        ConfigError: an option is unknown or out of range.
    """
    config = TrainConfig.given(**options)
    console = console or usual_console()
    data = data if labels is None else (data, labels)
    given = dict(options)
    if config.run.resume:
        config = resumed(config, given, origin_of(data, data_dir=config.data.data_dir))
        given = config.options() if config.run.resume else {**given, "resume": False}
    begun = None
    if config.run.from_run is not None:
        begun = continuation(data, config, given, console)
        config, dataset = begun.config, begun.dataset
    else:
        dataset = read(data, data_dir=config.data.data_dir, task=config.data.task, options=task_options(config))
    if config.run.resume:
        require_targets(config, dataset)
    with processes() as world:
        if config.run.auto_fix and world.size > 1:
            raise ConfigError(
                "--auto-fix works only in a single process", fix="drop --auto-fix, or start a single process"
            )
        if world.rank > 0:
            return _follow(dataset, config, world, begun)
        if config.run.auto_fix:

            def attempt(changed: TrainConfig) -> Run:
                changed_run = _with_options(begun, config, changed)
                return _fit(dataset, changed, console, ALONE, home, changed_run, loggers)

            return auto_fix(attempt, config, console)
        home = home if world.size == 1 else home or Path("runs")
        return _fit(dataset, config, console, world, home, begun, loggers)


def _with_options(begun: Continuation | None, first: TrainConfig, changed: TrainConfig) -> Continuation | None:
    """The run to go on from with changed options: without its network where they ask for another one."""
    then, now = first.options(), changed.options()
    if begun is None or all(then[name] == now[name] for name in NETWORK_OPTIONS):
        return begun
    return replace(begun, previous=None)


def _follow(dataset: Dataset, config: TrainConfig, world: World, begun: Continuation | None) -> Run:
    """Train in a process other than the first, without writing files."""
    from clearsight.train.fit import fit as learn

    folder, previous = Path(world.broadcast(None)), begun.previous if begun else None
    with shared_by(world):
        learn(dataset, config, checkpoints=folder / "checkpoints", world=world, previous=previous)
    test = world.broadcast(None)  # once the first has written the run
    metrics = json.loads(read_within(folder, "metrics.json"))
    return Run(folder, load_predictor(folder), metrics, folder / "report.html", test=test)


def _fit(
    dataset: Dataset,
    config: TrainConfig,
    console: Console,
    world: World,
    home: Path | None,
    begun: Continuation | None,
    loggers: Sequence[Logger],
) -> Run:
    """Train, evaluate and write the run's folder; home as for `train`. begun: the run that is continued."""
    temporary = TemporaryFolder() if home is None and config.run.out is None else None
    try:
        return _written(dataset, config, console, world, home or Path("runs"), temporary, begun, loggers)
    except BaseException:
        if temporary is not None:
            temporary.remove()
        raise


def _written(
    dataset: Dataset,
    config: TrainConfig,
    console: Console,
    world: World,
    home: Path,
    temporary: TemporaryFolder | None,
    begun: Continuation | None,
    others: Sequence[Logger],
) -> Run:
    by_step = config.optimization.val_every is not None
    others = [*trackers(config.run.track, by_step=by_step), *others]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(run_folder(config, dataset.name, temporary.path if temporary else home))
        world.broadcast(str(folder))
        if config.run.resume:
            console.say(f"resuming {folder}")
        elif temporary is None:
            console.say(f"run folder: {folder}")
        about: dict[str, Any] = {
            "options": config.to_dict(), "data": dataset.origin, "targets": targets_digest(dataset),
            "versions": versions(),
        }  # fmt: skip
        write_json(folder / "config.json", about)
        name = dataset.name if temporary else folder.name
        begin = RunStart(folder, name, config.options(), dataset.origin, about["versions"])
        loggers = stack.enter_context(run_loggers(begin, others, console, by_step=by_step))
        fitted, diagnosis = _trained(folder, dataset, config, console, world, begun, loggers)
        if diagnosis is not None:
            write_json(folder / "diagnosis.json", diagnosis.to_dict())
        write_json(folder / "audit.json", fitted.prepared.audit.to_dict())
        predictor = Predictor(fitted.bundle, device=device_of(config.run.device))
        output = model_output(
            predictor, fitted.prepared.pixels, fitted.prepared.split.test, console.stage("evaluating on the test split")
        )
        test, val, ood, measured = _evaluate(predictor, fitted, output)
        found = _predictions(folder, fitted, output)
        training, details = _on_training_images(predictor, fitted, config.run.seed, output, found)
        compared = None if begun is None else _compared(begun, fitted, output, console)
        assert test.panel is not None
        metrics = _metrics(fitted, test, ood, {"val": val.summary(), "train": training.summary()})
        metrics |= {} if compared is None else {"from": compared.to_dict()}
        write_json(folder / "config.json", {**about, "recipe": _recipe(fitted)})
        write_report(
            folder / "report.html", fitted=fitted, evaluation=test, validation=val, config=config, diagnosis=diagnosis,
            ood_check=ood, panel=test.panel, compared=compared, outcomes=found, details=details, retained=measured,
            predictions=predictions_files(folder),
        )  # fmt: skip
        if fitted.range_test:
            write_range_test(folder, fitted.range_test)
        if fitted.label_issues:
            write_label_issues(folder, fitted.prepared, fitted.label_issues)
        bundle = _saved_bundle(
            folder, fitted, {"test": test.summary(), "val": metrics["val"], "panel": metrics["panel"]}
        )
        write_json(folder / "metrics.json", metrics)
        loggers.finish(folder, metrics)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # the run is whole; its weights are in model/
    places = listed_positions(fitted.prepared.dataset)
    world.broadcast(test.renumbered(places))  # the others may read the run now
    issues = fitted.label_issues
    if issues is not None:
        issues = replace(issues, pictures=_pictures(fitted, issue_cards(issues).cards)).renumbered(places)
    shown = replace(test, pictures=_pictures(fitted, cards_of(test.report(fitted.bundle.thing).sections)))
    return Run(
        folder,
        Predictor(bundle, device=predictor.device),
        metrics,
        folder / "report.html",
        diagnosis,
        issues,
        shown.renumbered(places),
        temporary,
        compared,
    )


def _metrics(
    fitted: Fitted, test: Evaluation, ood: OODCheck | None, others: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The content of metrics.json. others: scores of other parts than the test split, by their name."""
    assert test.panel is not None
    checked = {} if ood is None else {"ood_check": ood.summary()}
    as_test = [f for f in fitted.prepared.audit.findings if f.code == VALIDATION_AS_TEST]
    return {
        "test": {**test.summary(), **checked},
        **({"tested_on": "val"} if as_test else {}),
        "panel": test.panel.to_dict(),
        **others,
        "task": fitted.bundle.task.name,
        "train_seconds": fitted.seconds,
        "ood_seconds": fitted.ood_seconds,
        "images_per_second": fitted.images_per_second,
        "model": fitted.recipe.model,
        "recipe": [d.to_dict() for d in fitted.decisions],
    }


def _saved_bundle(folder: Path, fitted: Fitted, scores: dict[str, Any]) -> Bundle:
    """Write the model with its scores, and the split of the run."""
    bundle = fitted.bundle.with_scores(scores)
    assert bundle.split is not None
    bundle.split.save(folder)
    bundle.save(folder / "model")
    return bundle


def _predictions(folder: Path, fitted: Fitted, output: ModelOutput) -> Outcomes:
    """Write the predictions for the test images, and return what is predicted of each."""
    found = outcomes(fitted.bundle.task, output.logits, _test_images(fitted)[1])
    names = [fitted.prepared.dataset.source.name(int(i)) for i in fitted.prepared.split.test]
    write_predictions(folder, names, found)
    return found


def _test_images(fitted: Fitted) -> tuple[Any, Any]:
    """The test images, and what they show."""
    prepared = fitted.prepared
    rows = prepared.split.test
    return prepared.pixels.view(rows), fitted.bundle.task.truth(prepared.dataset)[rows]


def _on_training_images(
    predictor: Predictor, fitted: Fitted, seed: int, output: ModelOutput, found: Outcomes
) -> tuple[Evaluation, MistakeDetails]:
    """The evaluation of training images, which shows how much of the error is underfitting, and what stands beside
    mistakes on test images, the most similar of these training images among it.

    output, found: of the test images.
    """
    prepared, task = fitted.prepared, fitted.bundle.task
    rows = np.sort(np.random.default_rng(seed).permutation(prepared.split.train)[:TRAINING_IMAGES])
    trained = model_output(predictor, prepared.pixels, rows)
    test = prepared.split.test.tolist()
    details = MistakeDetails(
        fitted, predictor, Neighbours.of(rows, trained.features), dict(zip(test, output.features, strict=True)),
        dict(zip(test, found.shares, strict=False)),
    )  # fmt: skip
    return task.evaluate(trained.logits, task.truth(prepared.dataset)[rows]), details


def _pictures(fitted: Fitted, cards: Sequence[Card]) -> dict[int, Thumbnail]:
    """Small images for the cards, by their positions."""
    return {card.index: run_thumbnail(fitted, card) for card in cards}


def _trained(
    folder: Path, dataset: Dataset, config: TrainConfig, console: Console, world: World, begun: Continuation | None,
    loggers: Loggers,
) -> tuple[Fitted, Diagnosis | None]:  # fmt: skip
    """Train, log during training, and diagnose the last training by gradient descent."""
    from clearsight.train.fit import fit as learn

    watched: list[tuple[Vitals, torch.nn.Module, TrainConfig, Examples]] = []

    def watch(network: torch.nn.Module, resolved: TrainConfig, examples: Examples) -> Vitals:
        watched.append((Vitals(hooks=not resolved.optimization.compile), network, resolved, examples))
        return watched[-1][0]

    def examined(findings: Sequence[Finding] = ()) -> Diagnosis | None:
        """The diagnosis of the last training."""
        if not watched:
            return None
        vitals, network, resolved, examples = watched[-1]
        spec: dict[str, Any] = getattr(network, "spec", {})
        return diagnose(
            vitals, resolved, examples, findings=findings, options=config.changed(), origin=dataset.origin,
            model=spec.get("name", ""), model_args=spec.get("model_args", {}),
        )  # fmt: skip

    try:
        with shared_by(world):
            fitted = learn(
                dataset,
                config,
                console=console,
                on_epoch=loggers.epoch,
                watch=watch,
                checkpoints=folder / "checkpoints",
                world=world,
                previous=begun.previous if begun else None,
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
    loggers.search(fitted.candidates, fitted.trials)
    return fitted, examined(fitted.prepared.audit.findings)


def _recipe(fitted: Fitted) -> dict[str, Any]:
    """The decisions of the run, for config.json."""
    recipe = fitted.recipe
    return {
        "kind": recipe.kind,
        "model": recipe.model,
        "img_size": recipe.img_size,
        "model_args": recipe.model_args,
        "tuned": fitted.tuned,
        "decisions": [d.to_dict() for d in fitted.decisions],
        "candidates": [asdict(c) for c in fitted.candidates],
        "trials": [trial.to_dict() for trial in fitted.trials],
        "training": fitted.training.training() if fitted.training else None,
    }


def _compared(begun: Continuation, fitted: Fitted, output: ModelOutput, console: Console) -> RunComparison:
    """Compare the continued run with the new one on those test images of the former that the data still contains, each
    of them once.

    output: of the new model for the test split.
    """
    prepared, old, new = fitted.prepared, begun.predictor.bundle, fitted.bundle.task
    dataset, test = prepared.dataset, prepared.split.test
    assert old.split is not None
    pixels = prepared.pixels
    if (old.form, old.geometry) != (prepared.form, prepared.geometry):
        pixels, _ = all_pixels(old, dataset, prepared.scan, console)
    contents = [pixels.contents[i] for i in test.tolist()]
    first = np.unique(contents, return_index=True)[1]
    shared = np.sort(first[old.split.parts_of(contents)[first] == "test"])
    reason = ""
    try:
        truths, columns = comparable_targets(old.task, new, dataset)
    except DataError as error:  # other labels or numbers than the run predicts
        reason = str(error)
        console.say(f"the new model is not compared with {begun.folder}: {error}")
        truth = new.truth(dataset)
        truths, columns, shared = (truth, truth), None, shared[:0]
    rows = test[shared]
    before = (
        output
        if not len(rows)
        else model_output(begun.predictor, pixels, rows, console.stage("evaluating the previous model"))
    )
    after = ModelOutput(output.logits[shared], output.features[shared], output.statistics[shared])
    return compare_runs(
        old.task, new, before, after, shown=np.array([dataset.words(int(i)) for i in rows]),
        truth=(truths[0][rows], truths[1][rows]), renamed=begun.changes.renamed, run=str(begun.folder),
        changes=begun.changes.to_dict(), tested=old.split.count("test"), columns=columns, reason=reason,
    )  # fmt: skip


def _evaluate(
    predictor: Predictor, fitted: Fitted, output: ModelOutput
) -> tuple[Evaluation, Evaluation, OODCheck | None, Retained | None]:
    """Evaluate the test split, whose labels are first used here, and the validation images; compute the trust panel.

    output: of the model for the test split. Also returns what mild changes of its images leave of the accuracy.
    """
    prepared, task = fitted.prepared, fitted.bundle.task
    rows, dataset = prepared.split.test, prepared.dataset
    names = [dataset.source.name(int(i)) for i in rows]
    groups = [dataset.classes[k] for k in prepared.labels[rows]]
    truth = task.truth(dataset)
    test = task.evaluate(output.logits, truth[rows], groups=groups, indices=rows, images=names)
    ood = predictor.ood(output)
    check = None if ood is None else check_ood(task, ood, output.logits, truth[rows])
    alike = np.flatnonzero([name in prepared.audit.near_duplicates for name in names])
    without = None
    if 0 < len(alike) < len(rows):
        others = np.setdiff1d(np.arange(len(rows)), alike)
        without = task.evaluate(output.logits[others], truth[rows][others], groups=[groups[i] for i in others])
    measured = mildly_changed(predictor, *_test_images(fitted))
    panel = trust_panel(
        predictor, test, images=prepared.pixels.view(rows), truth=truth[rows], check=check, issues=fitted.label_issues,
        without=without, measured=measured,
    )  # fmt: skip
    test = replace(test, panel=panel)
    return test, task.evaluate(fitted.val_logits, truth[fitted.validation_indices]), check, measured
