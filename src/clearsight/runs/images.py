"""The images of a run: what a model was trained on, and what it can be evaluated on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.bundle import Bundle
from clearsight.console import Console, Silent
from clearsight.data.cache import CachedPixels, PixelView, cached_pixels, pixel_key
from clearsight.data.dataset import Dataset
from clearsight.data.prepare import Prepared, prepare
from clearsight.data.scan import Scan, scan
from clearsight.data.sources.read import recorded_place
from clearsight.data.targets import IN_MEMORY
from clearsight.errors import BundleError
from clearsight.predictor import Predictor
from clearsight.runs.folder import recorded_data_dir, run_options
from clearsight.runs.load import load
from clearsight.tasks import read


@dataclass(frozen=True)
class HeldOut:
    """Images a model was not trained on, as it sees them, with labels (N,) as it numbers its classes, their rows in
    the data set, and their names. own: they are the test split of its own run. truth (N,) or (N, T): the targets as the
    model's task evaluates them.
    """

    predictor: Predictor
    dataset: Dataset
    images: PixelView
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    names: list[str]
    own: bool
    truth: NDArray[Any]

    @property
    def groups(self) -> list[str]:
        """The class of each image, or the group it is of, by the data set's own names."""
        return [self.dataset.classes[k] for k in self.dataset.labels[self.rows]]

    def sample(self, most: int, seed: int) -> HeldOut:
        """At most so many of them, drawn at random by seed."""
        some = np.sort(np.random.default_rng(seed).permutation(len(self.rows))[:most])
        images = PixelView(self.images.array, self.images.indices[some])
        return replace(
            self, images=images, labels=self.labels[some], rows=self.rows[some], names=[self.names[i] for i in some],
            truth=self.truth[some],
        )  # fmt: skip


def held_out(
    model: str | Path | Predictor, data: Any = None, *, console: Console | None = None, data_dir: str | None = None
) -> HeldOut:
    """The images to judge a model by; see `evaluate` for which."""
    console = console or Silent()
    predictor = model if isinstance(model, Predictor) else load(model)
    bundle = predictor.bundle
    dataset, scanned, options = _named_or_own(bundle, model, data, data_dir, console)
    own = dataset.origin == bundle.data.get("origin") and dataset.names == bundle.classes
    if own:
        prepared = as_trained(bundle, options, dataset, scanned, console)
        changed = prepared.pixels.key != bundle.data.get("fingerprint")
        own = not (changed and dataset.origin == IN_MEMORY)  # other arrays, which have no name to tell them by
    if own:
        if changed:
            console.say(
                "data: the images are no longer those the model was trained on, so some of this test may be known to it"
            )
        pixels, rows, labels = prepared.pixels, prepared.split.test, prepared.labels
    else:
        pixels, rows, labels = _other_images(bundle, dataset, scanned, console)
    names = [dataset.source.name(int(i)) for i in rows]
    truth = bundle.task.aligned(dataset)[rows]
    return HeldOut(predictor, dataset, pixels.view(rows), labels[rows], rows, names, own, truth)


def knows(predictor: Predictor, held: HeldOut) -> bool:
    """Whether another model was trained on some of these images: on the same data, and not on the split that keeps them
    for the test.
    """
    mine, theirs = (b.data for b in (held.predictor.bundle, predictor.bundle))
    if theirs.get("origin") != held.dataset.origin or held.dataset.origin == IN_MEMORY:
        return False
    if held.own:
        return bool(theirs.get("split") != mine.get("split"))
    return not (held.dataset.given == "test").any()


def as_seen_by(predictor: Predictor, held: HeldOut, console: Console) -> PixelView:
    """The same images as another model sees them; it is said where it `knows` some."""
    bundle = predictor.bundle
    scanned = scan(held.dataset, console.stage("looking at the files"))
    if knows(predictor, held):
        console.say("data: the other model was trained on another split of these images, and knows some of them")
    pixels, _ = all_pixels(bundle, held.dataset, scanned, console)
    return pixels.view(held.rows)


def training_images(
    predictor: Predictor,
    model: str | Path | Predictor,
    data: Any = None,
    *,
    console: Console | None = None,
    data_dir: str | None = None,
) -> tuple[PixelView, NDArray[np.int64], list[str], list[str]]:
    """The images a model was trained and validated on, as it sees them, with their labels, their names, and what they
    show in words; or other data, less the test split it states. BundleError where a model's own images are not known,
    gone or changed.
    """
    console, bundle = console or Silent(), predictor.bundle
    dataset, scanned, options = _named_or_own(bundle, model, data, data_dir, console)
    if dataset.origin == bundle.data.get("origin") and dataset.names == bundle.classes:
        prepared = as_trained(bundle, options, dataset, scanned, console)
        pixels, rows, labels = prepared.pixels, np.sort(prepared.split.development), prepared.labels
    else:
        labels = _as_numbered(bundle, dataset)
        pixels, rows = all_pixels(bundle, dataset, scanned, console)
        rows = rows[dataset.given[rows] != "test"]
    names = [dataset.source.name(int(i)) for i in rows]
    return pixels.view(rows), labels[rows], names, [dataset.words(int(i)) for i in rows]


@dataclass(frozen=True)
class Development:
    """The training and the validation images of a model's own run, as it sees them. truth: of the latter the labels
    (N,), or the targets (N, T) where it is not one class per image.
    """

    train: PixelView
    val: PixelView
    truth: NDArray[Any]


def development(
    model: str | Path | Predictor, *, console: Console | None = None, data_dir: str | None = None
) -> Development:
    """What a model was trained and validated on; BundleError where the images are gone or changed."""
    console = console or Silent()
    bundle = model.bundle if isinstance(model, Predictor) else load(model).bundle
    dataset, scanned, options = _named_or_own(bundle, model, None, data_dir, console)
    data = as_trained(bundle, options, dataset, scanned, console)
    val = data.split.folds[0][1]
    return Development(
        data.pixels.view(data.split.folds[0][0]), data.pixels.view(val), bundle.task.aligned(dataset)[val]
    )


def as_learned(bundle: Bundle, data: Any, data_dir: str | None) -> Dataset:
    """A data set whose targets are read as a model learned them."""
    return read(data, data_dir=data_dir, task=bundle.task.name, options=bundle.task.read_options())


def own_data(bundle: Bundle) -> str:
    """What a model was trained on; BundleError where it does not say, or the images are gone."""
    origin = bundle.data.get("origin")
    if not origin:
        raise BundleError("this model does not say what it was trained on", fix="name the data")
    return recorded_place(origin, "the images this model was trained on")


def _named_or_own(
    bundle: Bundle, model: str | Path | Predictor, data: Any, data_dir: str | None, console: Console
) -> tuple[Dataset, Scan, dict[str, Any]]:
    """The data that is named, or for None what the model was trained on; and the options of the model's run.

    What the user does not name is found by what the run says, which may come from someone else: BundleError unless it
    is as the model's maker had it.
    """
    options = {} if isinstance(model, Predictor) else run_options(Path(model))
    named = own_data(bundle) if data is None else data
    recorded = None if data_dir or isinstance(model, Predictor) else recorded_data_dir(Path(model), named)
    dataset = as_learned(bundle, named, data_dir or recorded)
    scanned = scan(dataset, console.stage("looking at the files"))
    if data is None or recorded:
        require_unchanged(bundle, dataset, scanned)
    return dataset, scanned, options


def require_unchanged(bundle: Bundle, dataset: Dataset, scanned: Scan) -> None:
    """BundleError unless the content of all images is that from which the model was trained. No pixel is decoded.

    A run names a place on some machine. Without this, one that comes from someone else could name any folder of this
    machine, and have its images shown by pages and servers; so it only reaches images that its maker had already.
    """
    if pixel_key(scanned.digests, scanned.form, bundle.geometry) != bundle.data.get("fingerprint"):
        raise BundleError(
            "the images are no longer those the model was trained on",
            found=f"others in {dataset.origin}",
            fix="name the data to use what lies there now: RUN DATA",
        )


def as_trained(bundle: Bundle, options: dict[str, Any], dataset: Dataset, scanned: Scan, console: Console) -> Prepared:
    """The data of a model's own run, split as it was then. options: those of the run."""
    chosen = {key: options[key] for key in ("seed", "test_fraction", "folds") if key in options}
    return prepare(dataset, scanned, bundle.geometry, **chosen, progress=console.stage("reading pixels"))


def all_pixels(
    bundle: Bundle, dataset: Dataset, scanned: Scan, console: Console
) -> tuple[CachedPixels, NDArray[np.int64]]:
    """The pixels of a data set as a model wants them, and the positions of the images that can be read."""
    pixels = cached_pixels(
        dataset.source, scanned.digests, bundle.form, bundle.geometry, skip=frozenset(scanned.failed),
        progress=console.stage("reading pixels"),
    )  # fmt: skip
    usable = np.ones(len(dataset), bool)
    usable[[*scanned.failed, *pixels.failed]] = False
    return pixels, np.flatnonzero(usable)


def _other_images(
    bundle: Bundle, dataset: Dataset, scanned: Scan, console: Console
) -> tuple[CachedPixels, NDArray[np.int64], NDArray[np.int64]]:
    """Pixels, the rows to judge by, and labels as the model numbers its classes, of a data set of any origin."""
    labels = _as_numbered(bundle, dataset)
    pixels, rows = all_pixels(bundle, dataset, scanned, console)
    if "test" in dataset.splits_given:
        rows = rows[dataset.given[rows] == "test"]
        console.say(f"judging the test split that the data states: {len(rows)} of {len(dataset)} images")
    return pixels, rows, labels


def _as_numbered(bundle: Bundle, dataset: Dataset) -> NDArray[np.int64]:
    """The labels of a data set as the model numbers its classes; DataError for a class it does not know."""
    if not bundle.task.needs_classes:
        return dataset.labels
    return bundle.task.aligned(dataset)
