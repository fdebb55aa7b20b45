"""The leaderboard: models from colour histograms to fine-tuned networks on one split, ranked, with a recommendation.

Every candidate is trained by `train.fit` and kept as a bundle in FOLDER/candidates/NAME, so it is used like any other
model; an interrupted comparison resumes with the missing candidates. The ranking and the recommendation use the
validation images; the test images are evaluated once, when all candidates are trained.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.bundle import Bundle, versions
from clearsight.console import Console, Silent
from clearsight.data.content_order import by_content
from clearsight.data.dataset import Dataset
from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.sample import sampled
from clearsight.data.scan import Scan, scan
from clearsight.data.temporary import TemporaryFolder
from clearsight.disk import disk_errors, object_within, write_json
from clearsight.errors import CheckpointError, ClearsightError, ConfigError, OutputError
from clearsight.metrics import accuracy, log_loss, wilson_interval
from clearsight.metrics.comparison import holm, mcnemar
from clearsight.models.zoo import DEFAULT_BACKBONE
from clearsight.predictor import Predictor
from clearsight.result import Result
from clearsight.tasks import read_exclusive
from clearsight.train.config import TrainConfig
from clearsight.train.recipe import SMALL, check_names
from clearsight.train.task_options import pixel_options
from clearsight.wording import percent, short_duration, size_words

APART = 0.05
"""p-value, corrected for the number of candidates, below which two of them differ significantly."""

WORTH = 1.5
"""How many times faster than the best a candidate must be to be recommended instead."""


@dataclass(frozen=True)
class Candidate:
    """A model to compare: its name, its training options, and whether it needs colour."""

    name: str
    options: dict[str, Any]
    colour: bool = False


def _place(folder: Path, candidate: str) -> Path:
    """The folder of a candidate."""
    return folder / "candidates" / candidate.replace("/", "-").replace(" ", "-")


def default_candidates(short_side: int) -> tuple[Candidate, ...]:
    """The candidates for images of a median short side in pixels, classical to deep."""
    small = short_side < SMALL
    deep = {"img_size": 96} if small else {}
    shallow = {"img_size": min(64, max(8, short_side))}
    classical = [
        Candidate(name, {"model": name}, colour=name.startswith("colour"))
        for name in ("colour+svm", "lbp+svm", "hog+svm", "hog+rbf", "bow+svm", "pyramid+svm", "fisher+svm")
    ]
    scratch = [
        Candidate("pixels+softmax", {"model": "pixels+softmax", **shallow}),
        Candidate("mlp", {"model": "mlp", **shallow}),
        Candidate("lenet5", {"model": "lenet5", "img_size": 32}),
        Candidate("resnet8", {"model": "resnet8", "pretrained": False, **shallow}),
    ]
    features = [
        Candidate(f"features+{head}", {"model": f"features+{head}", **deep})
        for head in ("knn", "svm", "forest", "boosting", "softmax")
    ]
    transfer = [
        Candidate("features of all depths", {"model": DEFAULT_BACKBONE, "freeze": "all", **deep}),
        Candidate("fine-tuned", {"model": DEFAULT_BACKBONE, "freeze": "lower", "epochs": 3, **deep}),
    ]
    return (*classical, *scratch, *features, *transfer)


ORDER_SIDE = 64
"""Side in pixels at which images are compared to put them in order."""


@dataclass(frozen=True)
class Standing:
    """The result of a candidate. Accuracies are shares; train_seconds of its whole training; image_seconds of one
    image, from pixels to probabilities, in the batches of the test; size in bytes. p_best: p-value of being as
    accurate on the test images as the candidate that is best on validation, corrected for the number of candidates; 1
    for that one.
    """

    name: str
    folder: str
    val_accuracy: float
    val_log_loss: float
    test_accuracy: float
    test_interval: tuple[float, float]
    test_log_loss: float
    p_best: float
    train_seconds: float
    image_seconds: float
    size: int

    def apart_words(self, best: Standing) -> str:
        """Whether it differs significantly on the test images from the candidate that is best on validation."""
        if self is best:
            return "best on validation"
        p = f"(p = {self.p_best:.2g})"
        if self.p_best >= APART:
            return f"no significant difference {p}"
        return f"significantly {'better' if self.test_accuracy > best.test_accuracy else 'worse'} {p}"


@dataclass(frozen=True, repr=False, eq=False)
class Leaderboard(Result):
    """The ranked models, best on validation first, each kept in the folder. advice: the name of the one to use, and
    why. temporary: a folder in the cache that is kept as long as this object.
    """

    folder: Path
    name: str
    images: dict[str, int]
    standings: tuple[Standing, ...]
    advice: str
    why: str
    failed: dict[str, str]
    temporary: TemporaryFolder | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = asdict(replace(self, temporary=None))
        del found["temporary"]
        return {**found, "folder": str(self.folder)}

    def text(self) -> str:
        """The ranking, what was left out, and what to use."""
        width = max(len("model"), *(len(s.name) for s in self.standings))
        lines = [
            f"    {'model':<{width}}  validation   test  95 % interval     training  per image     size  "
            "against the best"
        ]
        for place, s in enumerate(self.standings, 1):
            low, high = s.test_interval
            lines.append(
                f"{place:3d} {s.name:<{width}}  {percent(s.val_accuracy):>11}  {percent(s.test_accuracy):>6}  "
                f"{percent(low)} to {percent(high)}  {short_duration(s.train_seconds):>8}  "
                f"{short_duration(s.image_seconds):>9}  {size_words(s.size):>7}  {s.apart_words(self.standings[0])}"
            )
        lines += [f"    {name:<{width}}  left out: {why}" for name, why in self.failed.items()]
        return "\n".join([*lines, f"\n  use      {self.advice}: {self.why}"])


def rank_models(
    data: Any,
    *,
    candidates: Sequence[str] | None = None,
    images: int | None = None,
    console: Console | None = None,
    **options: Any,
) -> Leaderboard:
    """Train and rank models on one data set: `rank_models("photos/", candidates=["hog+svm", "resnet8"])`.

    candidates: models to compare, by the names of `train --model` (default: `default_candidates`). images: compare on
    about so many of the data's images. options: seed, out, test_fraction, folds, resize_mode, class_weight, data_dir,
    resume.
    A candidate that cannot be trained on these images is left out, with the reason. Raises ClearsightError if nothing
    can be compared.
    """
    console = console or Silent()
    config = TrainConfig.from_options(**options)
    if images is not None and images < 20:
        raise ConfigError(f"--images must be 20 or more, not {images}")
    dataset = replace(read_exclusive(data, "compare", data_dir=config.data.data_dir), pixels=pixel_options(config))
    scanned = scan(dataset, console.stage("inspecting the files"))
    order = Geometry(ORDER_SIDE, ORDER_SIDE)  # the same for all candidates, so that their splits are the same
    dataset, scanned = by_content(dataset, scanned, order, progress=console.stage("reading pixels"))
    if images is not None:
        dataset, scanned = sampled(dataset, scanned, images, config.run.seed)
    chosen = _candidates(candidates, scanned)
    folder = _folder(config, dataset, [candidate.name for candidate in chosen], images)
    done: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for number, candidate in enumerate(chosen):
        place = _place(folder, candidate.name)
        if (place / "candidate.json").is_file():
            done[candidate.name] = object_within(folder, f"{place.relative_to(folder)}/candidate.json")
            continue
        console.say(f"model {number + 1} of {len(chosen)}: {candidate.name}")
        try:
            done[candidate.name] = _trained(candidate, dataset, config, place, console)
        except (OutputError, CheckpointError):
            raise
        except ClearsightError as error:
            failed[candidate.name] = str(error)
            console.say(f"left out: {error}")
    if not done:
        raise ConfigError("no model could be trained on these images", found="; ".join(failed.values()))
    found = _ranked(folder, dataset, scanned, config, done, failed, console)
    write_json(folder / "comparison.json", found.to_dict())
    return found


def _candidates(names: Sequence[str] | None, scanned: Scan) -> tuple[Candidate, ...]:
    """The candidates requested, or those that suit the images."""
    known = {candidate.name: candidate for candidate in default_candidates(scanned.short_side)}
    if names is None:
        return tuple(candidate for candidate in known.values() if scanned.form.channels == 3 or not candidate.colour)
    chosen = tuple(known.get(name, Candidate(name, {"model": name})) for name in dict.fromkeys(names))
    for candidate in chosen:
        check_names(TrainConfig.from_options(**candidate.options))
    return chosen


def _folder(config: TrainConfig, dataset: Dataset, names: list[str], images: int | None) -> Path:
    """The folder to write, new or to go on with; CheckpointError where it was started with other data or options."""
    about = {
        "data": dataset.origin, "candidates": names, "images": images, "seed": config.run.seed,
        "test_fraction": config.data.test_fraction, "folds": config.data.folds,
        "resize_mode": config.data.resize_mode, "class_weight": config.regularization.class_weight,
    }  # fmt: skip
    if images is not None:
        about["sampled"] = "by content"  # earlier versions sampled in listed order
    folder = Path(config.run.out or f"runs/{dataset.name}-leaderboard").expanduser()
    path = folder / "leaderboard.json"
    if path.is_file():
        then = {key: value for key, value in object_within(folder, path.name).items() if key != "versions"}
        then = {"resize_mode": "squash", "class_weight": "none"} | then  # as earlier versions had it
        changed = [f"{key} {about[key]!r} instead of {then.get(key)!r}" for key in about if then.get(key) != about[key]]
        if changed:
            raise CheckpointError(
                f"options differ from those of the comparison in {folder}",
                found="; ".join(changed),
                fix="choose another --out, or delete this folder",
            )
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} already exists", found="a non-empty folder", fix="choose another --out")
    with disk_errors(folder, "the comparison", "choose another --out, or free some space"):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {**about, "versions": versions()})
    return folder


def _trained(
    candidate: Candidate, dataset: Dataset, config: TrainConfig, place: Path, console: Console
) -> dict[str, Any]:
    """Train a candidate, keep its bundle, and return what the ranking needs."""
    from clearsight.train.fit import fit

    own = TrainConfig.from_options(**candidate.options)
    mine = replace(
        own, run=replace(own.run, seed=config.run.seed, device=config.run.device),
        data=replace(config.data, img_size=own.data.img_size),
        regularization=replace(own.regularization, class_weight=config.regularization.class_weight),
    )  # fmt: skip
    place.mkdir(parents=True, exist_ok=True)
    fitted = fit(dataset, mine, console=console, checkpoints=place / "checkpoints", find_issues=False)
    validation_indices = {int(image): row for row, image in enumerate(fitted.validation_indices)}
    val = [validation_indices[int(image)] for image in fitted.prepared.split.val]
    probabilities = fitted.bundle.task.decode(fitted.val_logits[val])
    truth = fitted.prepared.labels[fitted.prepared.split.val]
    assert fitted.bundle.split is not None
    fitted.bundle.split.save(place)
    fitted.bundle.save(place / "model")
    facts = {
        "val_accuracy": accuracy(truth, probabilities.argmax(1)),
        "val_log_loss": log_loss(truth, probabilities),
        "val_right": (probabilities.argmax(1) == truth).astype(int).tolist(),
        "train_seconds": fitted.seconds,
        "decisions": [d.to_dict() for d in fitted.decisions],
    }
    write_json(place / "candidate.json", facts)
    return facts


def _ranked(
    folder: Path,
    dataset: Dataset,
    scanned: Scan,
    config: TrainConfig,
    done: dict[str, dict[str, Any]],
    failed: dict[str, str],
    console: Console,
) -> Leaderboard:
    """Open the test split, once for all candidates, and rank."""
    right: dict[str, NDArray[np.bool_]] = {}
    found: dict[str, Standing] = {}
    bundles = {name: Bundle.load(_place(folder, name)) for name in done}
    data = {
        name: prepare(
            dataset, scanned, bundle.geometry, seed=config.run.seed, test_fraction=config.data.test_fraction,
            folds=config.data.folds, progress=console.stage("reading pixels"),
        )
        for name, bundle in bundles.items()
    }  # fmt: skip
    # at a small size, a test image can have the pixels of a training image, and is left out there: left out everywhere
    rows = reduce(np.intersect1d, (prepared.split.test for prepared in data.values()))
    for name, facts in done.items():
        place, bundle, prepared = _place(folder, name), bundles[name], data[name]
        predictor = Predictor(bundle)
        predictor.logits(prepared.pixels.view(rows[:16]))  # conversion and the first call are not an image's time
        began = time.perf_counter()
        logits = predictor.logits(prepared.pixels.view(rows), console.stage(f"testing {name}"))
        seconds = (time.perf_counter() - began) / len(rows)
        probabilities, truth = bundle.task.decode(logits), prepared.labels[rows]
        right[name] = probabilities.argmax(1) == truth
        found[name] = Standing(
            name=name,
            folder=str(place.relative_to(folder)),
            val_accuracy=facts["val_accuracy"],
            val_log_loss=facts["val_log_loss"],
            test_accuracy=float(right[name].mean()),
            test_interval=wilson_interval(int(right[name].sum()), len(rows)),
            test_log_loss=log_loss(truth, probabilities),
            p_best=1.0,
            train_seconds=facts["train_seconds"],
            image_seconds=seconds,
            size=sum(f.stat().st_size for f in (place / "model").iterdir()),
        )
    order = sorted(found, key=lambda n: (-found[n].val_accuracy, found[n].val_log_loss, n))
    others = order[1:]
    p_values = holm([mcnemar(right[order[0]], right[name]) for name in others])
    ranked = [found[order[0]], *(replace(found[n], p_best=p) for n, p in zip(others, p_values, strict=True))]
    advice, why = _advice(ranked, {name: np.array(done[name]["val_right"], bool) for name in order})
    parts = {**{name: len(part) for name, part in prepared.split.parts().items()}, "test": len(rows)}
    return Leaderboard(folder, dataset.name, parts, tuple(ranked), advice, why, failed)


def _advice(ranked: Sequence[Standing], right: dict[str, NDArray[np.bool_]]) -> tuple[str, str]:
    """The fastest candidate within a standard error of the best one, if it is much faster."""
    best = ranked[0]
    if len(ranked) == 1:
        return best.name, "no other model was compared"
    as_good = [s for s in ranked if _within_an_error(right[best.name], right[s.name])]
    fastest = min(as_good, key=lambda s: s.image_seconds)
    times = best.image_seconds / fastest.image_seconds
    if times < WORTH:
        return best.name, "best on the validation images" + (
            ", and no comparably good model is much faster" if len(as_good) > 1 else ", by more than one standard error"
        )
    return fastest.name, (
        f"{times:.1f} times as fast as {best.name}, the best model on the validation images, and within one standard "
        f"error of its accuracy ({percent(fastest.val_accuracy)} against {percent(best.val_accuracy)})"
    )


def _within_an_error(best: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether the paired difference of two models is no more than its standard error, by the images they differ on."""
    ahead, behind = int((best & ~other).sum()), int((other & ~best).sum())
    return bool(ahead - behind <= np.sqrt(ahead + behind))
