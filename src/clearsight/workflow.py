"""Whole jobs, as the command line and the Python API offer them: train and judge, judge again, look at data.

A run's folder is complete or says that it is not: every file is written under another name first, and `model/` and
`metrics.json` come last.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from clearsight.bundle import Bundle, versions
from clearsight.config import Config, flag
from clearsight.console import Console, Silent
from clearsight.data.audit import Audit, Finding
from clearsight.data.builtin import BUILTIN
from clearsight.data.cache import disk_errors
from clearsight.data.dataset import Dataset
from clearsight.data.geometry import Geometry
from clearsight.data.prepare import Prepared, prepare
from clearsight.data.scan import scan
from clearsight.data.sources import read
from clearsight.diagnose import Diagnosis, Verdict, Vitals, cured, diagnose
from clearsight.diagnose.command import option_flags
from clearsight.errors import BundleError, CheckpointError, ConfigError, OutputError, TrainingError
from clearsight.evaluation import Evaluation
from clearsight.evaluation import evaluate as judge
from clearsight.predictor import Predictor
from clearsight.train.distributed import ALONE, World, processes
from clearsight.train.loop import Examples, Training
from clearsight.train.observer import Epoch


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the predictor, the scores of metrics.json, the report, and what the doctor says of
    the training (None where only a head was fitted).
    """

    folder: Path
    predictor: Predictor
    metrics: dict[str, Any] = field(repr=False)
    report: Path
    diagnosis: Diagnosis | None = field(default=None, repr=False)


def fit(data: Any, labels: Any = None, *, console: Console | None = None, **options: Any) -> Run:
    """Train on the data, then open the test split once, and write the run's folder: `cs.fit("photos/", epochs=5)`.

    data: a folder, a .csv, .jsonl or .npz file, a built-in name, a pandas frame with `image_path` and `label`, or
    images as an array or a list of paths with `labels` beside them: `cs.fit(X, y)`.
    options: those of `clearsight train --help`, with underscores: img_size, fit, epochs, budget, seed, out, ...
    Raises ClearsightError with what to do; a folder already in use is never written to.
    """
    config = Config.from_options(**options)
    console = console or Silent()
    if config.run.resume:
        origin = read(data if labels is None else (data, labels), data_dir=config.data.data_dir)
        config = _resumed(config, options, origin.name, origin.origin)
    with processes() as world:
        if world.rank > 0:
            return _follow(data, labels, config, world)
        dataset = read(data if labels is None else (data, labels), data_dir=config.data.data_dir)
        if not config.run.heal:
            return _fit(dataset, config, console, world)
        if world.size > 1:
            raise ConfigError("--heal trains again and again in one process", fix="drop it, or start one process")
        return _heal(dataset, config, console)


ATTEMPTS = 3
"""Cures that --heal tries, one after the other."""


def _heal(dataset: Dataset, config: Config, console: Console) -> Run:
    """Train; while the doctor knows a cure, train again with it, each time into a folder of its own. The run that
    validates best is the answer.
    """
    runs: list[Run] = []
    chosen = {name: value for stage in vars(config).values() for name, value in vars(stage).items()}
    out = config.run.out
    for attempt in range(1, ATTEMPTS + 2):
        config = Config.from_options(**chosen)
        try:
            runs.append(_fit(dataset, config, console, ALONE))
            diagnosis = runs[-1].diagnosis
        except SickError as error:
            diagnosis = error.diagnosis
            if attempt > ATTEMPTS or not _curable(diagnosis):
                raise
            console.say(str(error))
        verdict = _curable(diagnosis)
        if verdict is None or attempt > ATTEMPTS:
            break
        words = " ".join(option_flags(verdict.options))
        console.say(f"healing: {verdict.name}: {verdict.fix} ({words})")
        chosen = {**chosen, **cured(chosen, verdict), "out": f"{out}-healed-{attempt}" if out else None}
    return max(runs, key=lambda run: (run.metrics["val"]["accuracy"], -run.metrics["val"]["log_loss"]))


def _curable(diagnosis: Diagnosis | None) -> Verdict | None:
    """The first fault that options can cure."""
    verdicts = diagnosis.verdicts if diagnosis else ()
    return next((v for v in verdicts if v.severity == "fault" and v.options), None)


class SickError(TrainingError):
    """A training that broke off, with what the doctor says of it."""

    def __init__(self, error: TrainingError, diagnosis: Diagnosis) -> None:
        verdict = diagnosis.verdicts[0] if diagnosis.verdicts else None
        super().__init__(
            error.happened + ("" if verdict is None or verdict.name == "not-a-number" else f": {verdict.words}"),
            found=error.found,
            fix=error.fix if verdict is None else f"{verdict.fix}: {verdict.command}",
        )
        self.diagnosis = diagnosis


def _follow(data: Any, labels: Any, config: Config, world: World) -> Run:
    """What every process but the first does: its share of the training, and nothing on the disk."""
    from clearsight.train.fit import fit as learn

    dataset = read(data if labels is None else (data, labels), data_dir=config.data.data_dir)
    folder = Path(world.agree(None))
    learn(dataset, config, checkpoints=folder / "checkpoints", world=world)
    world.agree(None)  # until the first has written the run
    metrics = json.loads((folder / "metrics.json").read_text())
    return Run(folder, load(folder), metrics, folder / "report.html")


def _fit(dataset: Dataset, config: Config, console: Console, world: World) -> Run:
    """Train, judge and write the run's folder."""
    from clearsight.report.page import write_report
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
            model=spec.get("name", ""), knobs=spec.get("knobs", {}),
        )  # fmt: skip

    with _run_folder(config, dataset.name) as folder:
        world.agree(str(folder))
        if config.run.resume:
            console.say(f"resuming {folder}")
        about = {"options": config.to_dict(), "data": dataset.origin, "versions": versions()}
        _write_json(folder / "config.json", about)
        with _history(folder / "history.csv") as log, _events(folder) as event:

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
                _write_json(folder / "diagnosis.json", diagnosis.to_dict())
                vitals, network, *_ = watched[-1]
                if vitals.epochs:  # the loop put its best weights back
                    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
                    save_file(weights, folder / "last-good.safetensors")
                raise SickError(error, diagnosis) from error
        diagnosis = examined(fitted.prepared.audit.findings)
        if diagnosis is not None:
            _write_json(folder / "diagnosis.json", diagnosis.to_dict())
        _write_json(folder / "audit.json", fitted.prepared.audit.to_dict())
        predictor = Predictor(fitted.bundle)
        test = _judge(predictor, fitted.prepared, "test", console)
        val = judge(
            fitted.val_logits, fitted.prepared.labels[fitted.judged], predictor.classes, fitted.bundle.temperature
        )
        metrics = {
            "test": test.summary(),
            "val": val.summary(),
            "train_seconds": fitted.seconds,
            "images_per_second": fitted.images_per_second,
            "model": fitted.recipe.model,
            "recipe": [d.to_dict() for d in fitted.decisions],
        }
        about["recipe"] = {
            "kind": fitted.recipe.kind,
            "model": fitted.recipe.model,
            "img_size": fitted.recipe.img_size,
            "knobs": fitted.recipe.knobs,
            "decisions": [d.to_dict() for d in fitted.decisions],
            "candidates": [asdict(c) for c in fitted.candidates],
        }
        _write_json(folder / "config.json", about)
        write_report(
            folder / "report.html", fitted=fitted, evaluation=test, validation=val, config=config, diagnosis=diagnosis
        )
        bundle = fitted.bundle.with_scores({"test": test.summary(), "val": val.summary()})
        bundle.save(folder / "model")
        _write_json(folder / "metrics.json", metrics)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # the run is whole; its weights are in model/
    world.agree(None)  # the others may read it now
    return Run(folder, Predictor(bundle), metrics, folder / "report.html", diagnosis)


def load(folder: str | Path, *, engine: str = "auto", device: str = "cpu") -> Predictor:
    """The predictor of a run's folder, or of a network with published ImageNet weights by its name."""
    if not Path(folder).expanduser().exists():
        from clearsight.models.pretrained import imagenet_network
        from clearsight.models.published import published, weight_facts
        from clearsight.models.registry import model_names

        name = str(folder)
        if (name in model_names() or name.startswith("timm/")) and published(name):
            from clearsight.data.pixels import PixelFormat

            network, classes = imagenet_network(name)
            side = weight_facts(name).img_size
            bundle = Bundle(
                network,
                classes,
                PixelFormat(3, 8),
                Geometry(side, side, "crop"),
                data={"name": "ImageNet-1k"},
            )
            return Predictor(bundle, engine=engine, device=device)
        hint = f"{name} has no published weights; train it first" if name in model_names() else ""
        close = get_close_matches(name, [n for n in model_names() if published(n)], n=1)
        raise BundleError(f"{name} does not exist", fix=hint or (f"did you mean {close[0]}?" if close else None))
    return Predictor(Bundle.load(folder), engine=engine, device=device)


def evaluate(
    model: str | Path | Predictor,
    data: Any = None,
    *,
    console: Console | None = None,
    data_dir: str | None = None,
) -> Evaluation:
    """Judge a model on data it was not trained on.

    Without data, or with the data it was trained on, the test split of its own run is used again. Other data is judged
    on its test split where it states one, else on all of it; its classes must be among the model's.
    """
    console = console or Silent()
    predictor = model if isinstance(model, Predictor) else load(model)
    bundle = predictor.bundle
    run_options = {} if isinstance(model, Predictor) else _run_options(Path(model))
    if data is None:
        if not bundle.data.get("origin"):
            raise BundleError("this model does not say what it was trained on", fix="name the data to judge it on")
        data = bundle.data["origin"]
        if data not in BUILTIN and not Path(data).exists():
            raise BundleError(
                "the images this model was trained on are gone",
                found=f"{data} does not exist" if data != "arrays in memory" else "arrays that were in memory",
                fix="name others: `clearsight evaluate RUN DATA`",
            )
    dataset = read(data, data_dir=data_dir or run_options.get("data_dir"))
    scanned = scan(dataset, console.stage("looking at the files"))
    own = dataset.origin == bundle.data.get("origin") and dataset.classes == bundle.classes
    if own:
        chosen = {k: run_options[k] for k in ("seed", "test_fraction", "folds") if k in run_options}
        prepared = prepare(dataset, scanned, bundle.geometry, **chosen, progress=console.stage("reading pixels"))
        if prepared.pixels.key != bundle.data.get("fingerprint"):
            console.say(
                "data: the images are no longer those the model was trained on, so some of this test may be known to it"
            )
        return _judge(predictor, prepared, "test", console)
    return _judge_other(predictor, dataset, scanned, console)


def check(data: Any, *, console: Console | None = None, **options: Any) -> Audit:
    """Audit a data set without training: what `train` would find, at the size it would use."""
    from clearsight.train.recipe import plan

    console = console or Silent()
    config = Config.from_options(**options)
    dataset = read(data, data_dir=config.data.data_dir)
    scanned = scan(dataset, console.stage("looking at the files"))
    side = plan(config, scanned).img_size
    prepared = prepare(
        dataset, scanned, Geometry(side, side), seed=config.run.seed, test_fraction=config.data.test_fraction,
        folds=config.data.folds, progress=console.stage("reading pixels"),
    )  # fmt: skip
    return prepared.audit


def _judge(predictor: Predictor, prepared: Prepared, part: str, console: Console) -> Evaluation:
    rows = prepared.split.parts()[part]
    logits = predictor.logits(prepared.pixels.view(rows), console.stage(f"judging on the {part} split"))
    names = [prepared.dataset.source.name(int(i)) for i in rows]
    return judge(
        logits,
        prepared.labels[rows],
        predictor.classes,
        predictor.bundle.temperature,
        indices=rows,
        names=names,
    )


def _judge_other(predictor: Predictor, dataset: Any, scanned: Any, console: Console) -> Evaluation:
    from clearsight.data.cache import cached_pixels
    from clearsight.errors import DataError

    bundle = predictor.bundle
    unknown = sorted(set(dataset.classes) - set(bundle.classes))
    if unknown:
        raise DataError(
            "the data has classes the model does not know",
            found=", ".join(unknown[:8]),
            expected=", ".join(bundle.classes[:8]) + (", ..." if len(bundle.classes) > 8 else ""),
        )
    pixels = cached_pixels(
        dataset.source, scanned.digests, bundle.form, bundle.geometry, skip=frozenset(scanned.failed),
        progress=console.stage("reading pixels"),
    )  # fmt: skip
    usable = np.ones(len(dataset), bool)
    usable[[*scanned.failed, *pixels.failed]] = False
    if "test" in dataset.splits_given:
        usable &= dataset.given == "test"
        console.say(f"judging the test split that the data states: {usable.sum()} of {len(dataset)} images")
    rows = np.flatnonzero(usable)
    index = np.array([bundle.classes.index(c) for c in dataset.classes])
    logits = predictor.logits(pixels.view(rows), console.stage("judging"))
    names = [dataset.source.name(int(i)) for i in rows]
    return judge(logits, index[dataset.labels[rows]], bundle.classes, bundle.temperature, indices=rows, names=names)


def _run_options(folder: Path) -> dict[str, Any]:
    folder = folder.expanduser()
    if not (folder / "config.json").is_file():
        return {}
    options = _about(folder)["options"]
    return {name: value for stage in options.values() for name, value in stage.items()}


@contextlib.contextmanager
def _run_folder(config: Config, name: str) -> Iterator[Path]:
    """The run's folder while it is filled: the one asked for, if it is free, or the next free runs/NAME; to resume, the
    unfinished one.

    When the block fails before an epoch, a checkpoint or an audit was written, nothing was learned and the folder is
    removed again.
    """
    out = config.run.out
    with disk_errors(Path(out or "runs"), "the run", "choose another --out or free some space"):
        if config.run.resume:
            folder, fresh = Path(str(out)), False
        elif out is not None:
            folder = Path(out).expanduser()
            if _is_unfinished(folder) and (folder / "checkpoints").is_dir():
                raise OutputError(
                    f"{folder} holds an unfinished run",
                    fix="add --resume to go on with it, choose another --out, or delete it",
                )
            if folder.is_dir() and any(folder.iterdir()) and not _is_unfinished(folder):
                raise OutputError(f"{folder} is in use", found="a folder that is not empty", fix="choose another --out")
            fresh = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder, fresh = _next_free(Path("runs"), name), True
    try:
        yield folder
    except BaseException:
        history = folder / "history.csv"
        lines = history.read_text().count("\n") if history.is_file() else 0
        learned = lines > 1 or any((folder / part).exists() for part in ("audit.json", "checkpoints", "diagnosis.json"))
        if fresh and not learned:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _is_unfinished(folder: Path) -> bool:
    return (folder / "config.json").is_file() and not (folder / "metrics.json").exists()


def _resumed(config: Config, given: dict[str, Any], name: str, origin: str) -> Config:
    """The options of the run to go on with: that of --out, or the last unfinished one of this data. What the user gives
    again must be the same.
    """
    if config.run.out is not None:
        folder = Path(config.run.out).expanduser()
        if not _is_unfinished(folder):
            state = "a finished run" if (folder / "metrics.json").exists() else "no run"
            raise OutputError(f"{folder} cannot be resumed", found=state, fix="drop --resume to start a run")
    else:
        runs = [f for f in Path("runs").glob("*") if _is_unfinished(f) and _about(f).get("data") == origin]
        if not runs:
            raise OutputError(f"there is no unfinished run of {name} in runs/", fix="drop --resume to start one")
        folder = max(runs, key=lambda f: (f / "config.json").stat().st_mtime)
    about = _about(folder)
    then = {option: value for stage in about["options"].values() for option, value in stage.items()}
    now = {option: value for stage in config.to_dict().values() for option, value in stage.items()}
    changed = [
        f"{flag(option)} {then.get(option)!r} then, {now[option]!r} now"
        for option in given
        if option not in ("out", "resume", "checkpoint_every") and now[option] != then.get(option)
    ]
    if about["data"] != origin:
        changed.insert(0, f"data {about['data']} then, {origin} now")
    if changed:
        raise CheckpointError(f"{folder} was begun otherwise", found="; ".join(changed), fix="leave these options out")
    return Config.from_options(**{**then, **given, "out": str(folder), "resume": True})


def _about(folder: Path) -> dict[str, Any]:
    """What config.json of a run says."""
    path = folder / "config.json"
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise BundleError(f"{path} cannot be read", found=str(error), fix="put it back, or train anew") from error


def _next_free(parent: Path, name: str) -> Path:
    """Make parent/name, or parent/name-2, -3, ... where that is taken."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if parent.exists() and not parent.is_dir():
                raise
            number += 1


def _write_json(path: Path, content: Any) -> None:
    """Write whole or not at all."""
    temporary = path.with_suffix(".partial")
    with disk_errors(path, "the run", "free some space or choose another --out"):
        try:
            with temporary.open("w") as stream:
                json.dump(content, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _history(path: Path) -> Iterator[Any]:
    """A function that appends an epoch to history.csv; each line is on disk before the next epoch begins."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [f.name for f in fields(Epoch)])
        writer.writeheader()

        def write(epoch: Epoch) -> None:
            writer.writerow(asdict(epoch))
            stream.flush()

        yield write


@contextlib.contextmanager
def _events(folder: Path) -> Iterator[Any]:
    """A function that hands an epoch to TensorBoard; the event file is begun with the first epoch.

    A resumed run hands over its earlier epochs again, so the files of the interrupted one make room.
    """
    writer = None
    for old in folder.glob("events.*"):
        old.unlink()

    def write(epoch: Epoch) -> None:
        nonlocal writer
        if writer is None:
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder))
        for name in ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            writer.add_scalar(name, getattr(epoch, name), epoch.epoch)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
