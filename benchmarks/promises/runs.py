"""One run: train on a set by default, and gather the arrays that every measure needs.

Through the Python API and the predictor, so that it keeps working while what lies behind them changes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.harness import machine
from benchmarks.promises.far import MILD, brightened, far_images, shifted
from benchmarks.promises.levels import backbone_outputs, joined, levels_of
from benchmarks.promises.sets import SETS, BenchmarkSet, relabelled, without_classes
from benchmarks.promises.store import Job, Record, Store
from clearsight.api.fit import fit
from clearsight.attacks import fool
from clearsight.errors import ClearsightError
from clearsight.train.features import extract
from clearsight.train.strategies.probe import new_probe

COVERAGES = (0.8, 0.9, 0.95)
METHODS = {"lac": ("lac", "least"), "aps": ("aps", "adaptive"), "raps": ("raps",)}
"""Methods of prediction sets, and what they may be called."""

CHANGED = 400
"""Test images that are shifted and brightened, at most."""

NOISE = 0.05
"""Share of the labels that is changed."""

ROUNDS = {True: 1000, False: 150}
"""Steps towards fooling images of small images, and of large ones, which take a second each."""

ENSEMBLE = {"freeze": "lower", "epochs": 2, "budget": "1h", "img_size": 224, "augment": "none"}
"""Options by which a network is trained for every fold: with a budget far above what two epochs take; the size of the
published weights and no mirror images, which a budget would try too.
"""

Arrays = dict[str, NDArray[Any]]


@dataclass
class Seen:
    """What was seen while a run was trained: what `train.fit` returned, and labels (M,) and probabilities (M, K) of the
    images looked at for label issues.
    """

    fitted: Any = None
    issues: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A finished run, and what `train.fit` returned for it: the prepared data and outputs of validation images."""

    run: Any
    fitted: Any
    issues: Arrays
    seed: int
    seconds: float

    @property
    def predictor(self) -> Any:
        return self.run.predictor


def execute(job: Job, store: Store, *, levels: bool = False) -> Record:
    """Train, gather, and keep the arrays of a run. levels: features of all levels too."""
    which = SETS[job.set]
    dataset, planted, gone = which.make(job.seed), {}, None
    if job.kind == "left-out":
        dataset, gone = without_classes(dataset, _left_out(dataset, job.seed))
    elif job.kind in ("symmetric", "confusable"):
        dataset, planted = _with_noise(dataset, job, store)
    options = {**which.options, **_options(job, which)}
    with tempfile.TemporaryDirectory(prefix="promises-") as folder:
        trained = _train(dataset, f"{folder}/run", job.seed, options)
        gather = Gather(trained, levels=levels, features=levels or job.kind == "left-out")
        if job.kind == "clean":
            gather.development()
            gather.test(sets=True)
            gather.changed()
            for name, images in far_images(which, trained.predictor.shape, job.seed).items():
                gather.part(f"far.{name}", images)
            gather.fooling(which)
        elif job.kind == "left-out":
            gather.development()
            gather.test(sets=False)
            rows = np.random.default_rng(job.seed).permutation(len(gone or ()))[:1000]
            gather.part("gone", [gone[i] for i in np.sort(rows)] if gone else [])
        elif job.kind == "ensemble":
            gather.development()
            gather.test(sets=True)
        gather.issues()
        facts = {"set": job.set, "kind": job.kind, "seed": job.seed, "code": store.code, **gather.facts()}
    return store.put(job, {**gather.arrays, **planted}, facts)


def _options(job: Job, which: BenchmarkSet) -> dict[str, Any]:
    """Options beyond the defaults. Wrong labels are looked for by classifiers that are fitted for that alone, so
    networks from scratch are trained briefly in these runs.
    """
    if job.kind == "ensemble":
        return ENSEMBLE
    return {"epochs": 2} if job.kind in ("symmetric", "confusable") and which.small else {}


def _train(dataset: Any, out: str, seed: int, options: dict[str, Any]) -> Trained:
    began = time.perf_counter()
    with _observed() as seen:
        run = fit(dataset, out=out, seed=seed, **options)
    return Trained(run, seen.fitted, seen.issues, seed, time.perf_counter() - began)


@contextmanager
def _observed() -> Iterator[Seen]:
    """Collects what `train.fit` returns inside the block, as runs do not keep outputs of validation images; and the
    probabilities that label issues are found by, where `LabelIssues` does not state them.
    """
    import clearsight.train.confident_learning as learning
    import clearsight.train.fit as training

    seen = Seen()

    def fitted(found: Any, *args: Any) -> None:
        seen.fitted = found

    def looked(found: Any, *args: Any) -> None:
        if len(args) == 2 and all(isinstance(one, np.ndarray) for one in args):
            seen.issues = {"labels": args[0], "probabilities": args[1]}

    with _watched(training, "fit", fitted), _watched(learning, "label_issues", looked):
        yield seen


@contextmanager
def _watched(module: Any, name: str, report: Callable[..., None]) -> Iterator[None]:
    """Inside the block `report(result, *arguments)` is called whenever a function of a module has returned; nothing
    happens where the module has no such function.
    """
    original = getattr(module, name, None)
    if original is None:
        yield
        return

    def watched(*args: Any, **named: Any) -> Any:
        found = original(*args, **named)
        report(found, *args)
        return found

    setattr(module, name, watched)
    try:
        yield
    finally:
        setattr(module, name, original)


def _left_out(dataset: Any, seed: int) -> NDArray[np.int64]:
    """A fifth of the classes, and one at least."""
    count = len(dataset.classes)
    return np.sort(np.random.default_rng(seed).permutation(count)[: max(1, count // 5)])


def _with_noise(dataset: Any, job: Job, store: Store) -> tuple[Any, Arrays]:
    """The data with changed labels, and which they are. Confusable: to the class that the run on clean data with this
    seed holds most probable on average beside the true one.
    """
    draw, count = np.random.default_rng(100 + job.seed), len(dataset.classes)
    rows = np.sort(draw.permutation(len(dataset))[: round(NOISE * len(dataset))])
    true = dataset.labels[rows]
    if job.kind == "symmetric":
        labels = (true + draw.integers(1, count, len(rows))) % count
    else:
        clean = store.get(Job(job.set, "clean", job.seed)) or execute(Job(job.set, "clean", job.seed), store)
        truth, probabilities = clean["test.truth"], clean["test.decoded"]
        mean = np.stack([probabilities[truth == k].mean(0) for k in range(count)])
        np.fill_diagonal(mean, -1)
        labels = mean.argmax(1)[true]
    planted = {"planted.rows": rows, "planted.labels": labels, "planted.true": true}
    return relabelled(dataset, rows, labels), planted


class Gather:
    """Asks a trained model about images, part by part, and keeps the arrays by name.

    levels: pooled features of every level, and coarse pixels. features: those below the head.
    """

    def __init__(self, trained: Trained, *, levels: bool, features: bool) -> None:
        self.trained, self.levels, self.features = trained, levels, features
        self.arrays: Arrays = {}
        self.seconds: dict[str, float] = {"fit": trained.seconds}

    def facts(self) -> dict[str, Any]:
        """What is known of the run beside its arrays."""
        run, fitted = self.trained.run, self.trained.fitted
        bundle = self.trained.predictor.bundle
        panel = getattr(run, "panel", None)
        return {
            "task": bundle.task.name,
            "classes": list(bundle.classes),
            "kind of network": bundle.network.spec.get("kind"),
            "members": len(bundle.network.member_networks),
            "n": {part: len(rows) for part, rows in fitted.prepared.split.parts().items()},
            "calibrated on": _calibrated_on(run, fitted),
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            "metrics": run.metrics,
            "panel": panel.to_dict() if hasattr(panel, "to_dict") else panel,
            "task_card": {k: v for k, v in (bundle.task.card() or {}).items() if k != "errors"},
            "machine": machine(),
        }

    def part(self, name: str, images: Any, rows: NDArray[np.int64] | None = None) -> Any:
        """Outputs and OOD scores of some images; returns the model's output. rows: of images of the data set."""
        if not len(images):
            return None
        predictor, began = self.trained.predictor, time.perf_counter()
        network = predictor.network
        staged = network.feature_levels is not None
        with backbone_outputs(network) as seen:
            output = predictor.forward(images)
        arrays: Arrays = {"raw": output.logits, "decoded": predictor.bundle.task.decode(output.logits)}
        ood = predictor.ood(output)
        if ood is not None:
            arrays |= {"percentile": ood.percentile, "flagged": ood.flagged, "score": _score(predictor, output, ood)}
        if rows is not None:
            arrays |= {"rows": rows, "truth": predictor.bundle.task.truth(self.trained.fitted.prepared.dataset)[rows]}
        if self.features:
            arrays["features"] = output.features.clip(-6e4, 6e4).astype(np.float16)
        if self.levels:
            arrays |= joined(seen) if staged else levels_of(network, predictor.pixels(images))
            for extra in ("coarse", "statistics"):
                if getattr(output, extra, None) is not None:
                    arrays[extra] = getattr(output, extra).astype(np.float32)
        self.arrays |= {f"{name}.{key}": value for key, value in arrays.items()}
        self.seconds[name] = time.perf_counter() - began
        return output

    def development(self) -> None:
        """Validation images as calibration saw them, and labels of training images."""
        fitted, predictor = self.trained.fitted, self.trained.predictor
        prepared, task = fitted.prepared, predictor.bundle.task
        truth, validated, split = task.truth(prepared.dataset), fitted.validation_indices, prepared.split
        self.arrays |= {
            "val.rows": validated, "val.truth": truth[validated], "val.raw": fitted.val_logits,
            "val.decoded": task.decode(fitted.val_logits), "train.labels_all": truth[split.development],
            "train.split": split.train, "val.split": split.val,
        }  # fmt: skip
        if self.features:
            rows = np.sort(np.random.default_rng(0).permutation(split.train)[:2000])
            self._learned("train", rows)
            self._learned("held", split.val[:2000])

    def _learned(self, name: str, rows: NDArray[np.int64]) -> None:
        """Training or validation images by the final weights; features of published backbones from the cache."""
        fitted, predictor = self.trained.fitted, self.trained.predictor
        network, prepared = predictor.network, fitted.prepared
        levels = network.feature_levels
        if levels is None or network.uses_tta or fitted.tuned or fitted.recipe.kind != "probe":
            self.part(name, prepared.pixels.view(rows), rows)
            return
        everyone = np.sort(np.concatenate([prepared.split.train, prepared.split.val]))
        parts = extract(new_probe(fitted.recipe, prepared), prepared.pixels, everyone, device="cpu")
        mine = [np.asarray(part[np.searchsorted(everyone, rows)]) for part in parts]
        features = np.concatenate([mine[i] for i in levels.chosen], axis=1)
        with torch.inference_mode():
            logits = levels.head(torch.from_numpy(features)).numpy()
        arrays: Arrays = {
            "raw": logits, "decoded": predictor.bundle.task.decode(logits), "rows": rows,
            "truth": predictor.bundle.task.truth(prepared.dataset)[rows],
            "features": features.clip(-6e4, 6e4).astype(np.float16),
        }  # fmt: skip
        if self.levels:
            arrays |= joined([mine])
        self.arrays |= {f"{name}.{key}": value for key, value in arrays.items()}

    def test(self, *, sets: bool) -> None:
        """The test split, with prediction sets or intervals of every coverage."""
        prepared = self.trained.fitted.prepared
        rows = prepared.split.test
        output = self.part("test", prepared.pixels.view(rows), rows)
        for coverage in COVERAGES if sets else ():
            for method, names in METHODS.items():
                answers = _answers(self.trained.predictor, output, coverage, names)
                self.arrays |= _sets(answers, self.trained.predictor.classes, method, coverage)

    def changed(self) -> None:
        """Test images moved and brightened a little."""
        prepared, test = self.trained.fitted.prepared, self.arrays["test.rows"]
        some = np.sort(np.random.default_rng(0).permutation(len(test))[:CHANGED])
        images = np.asarray(prepared.pixels.array[test[some]])
        if images.dtype != np.uint8:
            return
        self.arrays["test.changed"] = some
        for name, made in (
            ("shifted", shifted(images)), ("darker", brightened(images, -MILD)), ("brighter", brightened(images, MILD)),
        ):  # fmt: skip
            self.part(name, made, test[some])

    def fooling(self, which: BenchmarkSet) -> None:
        """Images made from noise that the model takes for its classes, where it has classes and gradients."""
        if which.task != "classification":
            return
        began = time.perf_counter()
        try:
            made = fool(self.trained.predictor, rounds=ROUNDS[which.small], seed=self.trained.seed)
        except ClearsightError:
            return
        self.part("fooling", made.pixels)
        probabilities = getattr(made, "probabilities", None)
        self.arrays["fooling.probabilities"] = made.probabilities if probabilities is None else probabilities
        self.seconds["fooling"] = time.perf_counter() - began

    def issues(self) -> None:
        """Labels that the run takes for wrong."""
        found = getattr(self.trained.run, "label_issues", None)
        if found is None:
            return
        self.arrays |= {
            "issues.rows": found.rows,
            "issues.found": np.array([one.index for one in found.found], np.int64),
        }
        for name in ("probabilities", "labels"):
            value = getattr(found, name, self.trained.issues.get(name))
            if value is not None and len(value) == len(found.rows):
                self.arrays[f"issues.{name}"] = np.asarray(value)


def _calibrated_on(run: Any, fitted: Any) -> dict[str, int]:
    """Images that prediction sets or intervals, and the threshold of the OOD detector, follow from."""
    test = run.metrics.get("test", {})
    stated = (test.get("ood_check") or {}).get("calibrated_on") or test.get("calibrated_on")
    known = getattr(run.predictor.bundle.ood_detector, "known", None)
    return {
        "sets": int(stated or run.predictor.bundle.task.calibration_images or len(fitted.validation_indices)),
        "ood": len(fitted.prepared.split.val) if known is None else len(known),
    }


def _score(predictor: Any, output: Any, ood: Any) -> NDArray[Any]:
    """A number for each image, larger for stranger, with fewer ties than the percentile where the detector has one."""
    score = getattr(ood, "score", None)
    if score is not None:
        return np.asarray(score)
    detector = predictor.bundle.ood_detector
    if hasattr(detector, "bank") and isinstance(getattr(detector, "score", None), str):
        found = detector.bank.score(
            detector.score, output.logits, output.features, output.coarse, predictor.bundle.temperature
        )
        return np.asarray(found)
    return np.asarray(ood.percentile)


def _answers(predictor: Any, output: Any, coverage: float, names: tuple[str, ...]) -> list[Any]:
    """Predictions with sets by the first of these methods that the model knows; none where it knows none."""
    called = [str(i) for i in range(len(output.logits))]
    for name in names:
        try:
            return list(predictor.predictions_of(output, called, coverage, name))
        except (ClearsightError, KeyError, ValueError):
            continue
    return []


def _sets(answers: list[Any], classes: tuple[str, ...], method: str, coverage: float) -> Arrays:
    """Prediction sets (N, K), or intervals (N, T), of predictions."""
    if not answers:
        return {}
    spans = getattr(answers[0], "intervals", None)
    if spans is not None:
        names = list(spans)
        ends = np.array([[one.intervals[name] for name in names] for one in answers], np.float64)
        return {f"test.low.{coverage:g}": ends[..., 0], f"test.high.{coverage:g}": ends[..., 1]}
    members = [getattr(one, "prediction_set", getattr(one, "set", None)) for one in answers]
    if members[0] is None:
        return {}
    place = {name: k for k, name in enumerate(classes)}
    inside = np.zeros((len(answers), len(classes)), bool)
    for row, some in zip(inside, members, strict=True):
        row[[place[name] for name in some]] = True
    return {f"test.sets.{method}.{coverage:g}": inside}
