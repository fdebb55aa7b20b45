"""The images of a run: what a model was trained on, and what it can be evaluated on.

Images are looked up by content in the record of the model's split (`data.split_record`), whatever their path, name or
order: images that the model was trained or validated on are never scored unless that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.bundle import Bundle
from clearsight.console import Console, Silent
from clearsight.data.cached_pixels import CachedPixels, PixelView, cached_pixels
from clearsight.data.content_order import by_content
from clearsight.data.dataset import Dataset, Listing
from clearsight.data.joined import Joined, joined, some_of
from clearsight.data.prepare import prepare
from clearsight.data.scan import Scan, scan
from clearsight.data.sources.builtin import BUILTIN
from clearsight.data.sources.read import PREFIX, recorded_place
from clearsight.data.split_record import SplitRecord, target_digest
from clearsight.data.unreadable import unreadable_by_class, unreadable_words
from clearsight.errors import BundleError, DataError, TargetsError
from clearsight.predictor import Predictor
from clearsight.runs.folder import recorded_data_dir, run_options
from clearsight.runs.load import ModelSource, folder_of, predictor_of
from clearsight.tasks import TaskOptions, list_images, read, task_named
from clearsight.tasks.image_counts import ImageCounts
from clearsight.wording import listed as listed_words

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

WHAT = "the images the model was trained on"


@dataclass(frozen=True)
class KnownImages:
    """The images of a data set as a model sees them, and what its split says of each.

    readable (N,): which could be decoded. part (N,): "train", "val", "test" or "unused" as recorded, "" for an image
    that the record does not have. record: None where the model has none.
    """

    dataset: Dataset
    scanned: Scan
    pixels: CachedPixels
    readable: Mask
    part: NDArray[np.str_]
    record: SplitRecord | None

    def rows(self, *parts: str) -> Indices:
        """Positions of the images of these parts."""
        return np.flatnonzero(np.isin(self.part, parts))

    def names(self, rows: Indices) -> list[str]:
        """What the images at these positions are called."""
        return [self.dataset.source.name(int(i)) for i in rows]

    def say_unreadable(self, console: Console) -> None:
        """Say which files cannot be read."""
        rows = np.flatnonzero(~self.readable)
        if len(rows):
            by_class = unreadable_by_class(self.dataset, rows.tolist())
            console.say(f"error: {unreadable_words(self.names(rows), by_class)}", "error")


@dataclass(frozen=True)
class HeldOut:
    """Images to evaluate a model on, as it sees them, with labels (N,) as it numbers its classes, their rows in the
    data set, and their names. own: they are the test split of its own run, all of it. truth (N,) or (N, T): the targets
    as the model's task evaluates them. counts: of what was given and what is left out.
    """

    predictor: Predictor
    dataset: Dataset
    images: PixelView
    labels: Indices
    rows: Indices
    names: list[str]
    own: bool
    truth: NDArray[Any]
    counts: ImageCounts = field(default_factory=ImageCounts)

    @property
    def groups(self) -> list[str]:
        """The class of each image, or the group it is of, by the data set's own names."""
        return [self.dataset.classes[k] for k in self.dataset.labels[self.rows]]

    def sample(self, most: int, seed: int) -> HeldOut:
        """At most so many of them, drawn at random by seed."""
        return self.at(np.sort(np.random.default_rng(seed).permutation(len(self.rows))[:most]))

    def at(self, some: Indices) -> HeldOut:
        """Those at some positions among them."""
        return replace(
            self, images=replace(self.images, indices=self.images.indices[some]), labels=self.labels[some],
            rows=self.rows[some], names=[self.names[i] for i in some], truth=self.truth[some],
        )  # fmt: skip


def held_out(
    model: ModelSource,
    data: Any = None,
    *,
    include_training: bool = False,
    console: Console | None = None,
    data_dir: str | None = None,
    check: Callable[[Predictor], None] | None = None,
) -> HeldOut:
    """The images to evaluate a model on; see `evaluate` for which. DataError where none is left, BundleError where the
    images of the model's own test split are gone or not recorded.

    check: raises an error for a model that the images are not needed for, before they are read.
    """
    console = console or Silent()
    predictor = predictor_of(model)
    if check is not None:
        check(predictor)
    bundle = predictor.bundle
    known = known_images(bundle, model, data, console=console, data_dir=data_dir)
    dataset, part = known.dataset, known.part
    if data is None and known.record is None:
        raise BundleError("the model has no record of its test split", fix="pass the images to evaluate: RUN DATA")
    truth = bundle.task.aligned(dataset)
    labels = truth if bundle.task.needs_classes else dataset.labels
    usable = known.readable & (dataset.labels >= 0)
    stated = np.ones(len(dataset), bool)
    if data is None:
        stated = np.isin(part, ("train", "val", "test"))
    elif "test" in dataset.splits_given:
        stated = dataset.given == "test"
    trained, validated = (usable & stated & (part == name) for name in ("train", "val"))
    scored = usable & stated
    if not include_training:
        scored &= ~trained & ~validated
    found = known.pixels.contents
    rows = np.array(sorted(np.flatnonzero(scored).tolist(), key=lambda i: (found[i], i)), np.int64)  # as in training
    record = known.record
    missing = 0
    if data is None and record is not None:
        missing = record.count("test") - len({found[i] for i in np.flatnonzero(part == "test")})
    counts = ImageCounts(
        given=len(dataset),
        scored=len(rows),
        training=int(trained.sum()),
        validation=int(validated.sum()),
        training_included=include_training,
        own_split=data is None,
        unreadable=tuple(known.names(np.flatnonzero(~known.readable))),
        unreadable_classes=unreadable_by_class(dataset, np.flatnonzero(~known.readable).tolist()),
        unlabelled=int((known.readable & (dataset.labels < 0)).sum()),
        unlisted=int((usable & (part == "")).sum()) if data is None else 0,
        other_split=int((usable & ~stated).sum()) if data is not None else 0,
        missing=missing,
        relabelled=sum(record.changed(found[i], target_digest(dataset, i)) for i in rows.tolist()) if record else 0,
        overlap_checked=record is not None,
    )
    if not len(rows):
        raise _nothing_left(bundle, dataset, counts, own=data is None)
    for line in counts.lines(bundle.thing):
        console.say(f"data: {line}")
    own = record is not None and not missing and set(part[rows]) == {"test"} and len(rows) >= record.count("test")
    return HeldOut(
        predictor, dataset, known.pixels.view(rows), labels[rows], rows, known.names(rows), own, truth[rows], counts
    )


def _nothing_left(bundle: Bundle, dataset: Dataset, counts: ImageCounts, own: bool) -> DataError | BundleError:
    """Why there is nothing to evaluate a model on."""
    if own:
        return BundleError(
            "the data no longer contains the images the model was trained on",
            found=f"different images in {dataset.origin}",
            fix="to use the images as they are now, pass the data explicitly: RUN DATA",
        )  # fmt: skip
    return DataError(
        f"no {bundle.thing}s are left to evaluate",
        found=f"{counts.given} {bundle.thing}{'s' * (counts.given != 1)}; "
        + ("; ".join(counts.lines(bundle.thing)) or "none in the test split"),
        expected=f"labelled {bundle.thing}s that were not used in training",
        fix="pass other data" + (", or add --include-training" if counts.training or counts.validation else ""),
    )


def known_images(
    bundle: Bundle,
    model: ModelSource,
    data: Any = None,
    *,
    console: Console,
    data_dir: str | None = None,
    dataset: Dataset | None = None,
) -> KnownImages:
    """The images of the data that is named, or for None of those the model was trained on, looked up in its split.

    dataset: the data, where it was read already. What the user does not name is found by what the run says, which may
    come from someone else. Images of this machine that the run's maker did not have are not in its record: they have
    no part, and callers leave them alone.
    """
    where, given = data_dir, dataset
    if dataset is None:
        named, earlier = (own_data(bundle), own_added_to(bundle)) if data is None else (data, ())
        folder = folder_of(model)
        if where is None and folder is not None:
            where = next(filter(None, (recorded_data_dir(folder, one) for one in (*earlier, named))), None)
        dataset = as_learned(bundle, named, where, earlier, console=console)
    scanned = scan(dataset, console.stage("inspecting the files"))
    pixels, rows = all_pixels(bundle, dataset, scanned, console)
    readable = np.zeros(len(dataset), bool)
    readable[rows] = True
    record = bundle.split or _rebuilt(bundle, model, dataset, scanned, console)
    part = np.full(len(dataset), "", "<U6") if record is None else record.parts_of(pixels.contents)
    if record is not None and (data is not None or given is not None):  # of others, what an earlier run learned from
        before = record.earlier_parts_of(pixels.contents)
        part = np.where(np.isin(before, ("train", "val")), before, part)
    return KnownImages(dataset, scanned, pixels, readable, part, record)


def own_images(bundle: Bundle, model: ModelSource, *, console: Console, data_dir: str | None = None) -> KnownImages:
    """The images that a model was trained on, as `known_images`; BundleError where they are not known or gone."""
    known = known_images(bundle, model, console=console, data_dir=data_dir)
    if not len(known.rows("train", "val")):
        raise BundleError(
            "the data no longer contains the images the model was trained on",
            found=f"different images in {known.dataset.origin}" if known.record else "no record of the model's split",
            fix="to use the images as they are now, pass the data explicitly: RUN DATA",
        )
    return known


def _rebuilt(
    bundle: Bundle, model: ModelSource, dataset: Dataset, scanned: Scan, console: Console
) -> SplitRecord | None:
    """The split of a run that has no `split.csv`, drawn again by its recorded options; None where that does not give
    the split whose digest the model carries.
    """
    folder = folder_of(model)
    if folder is None or dataset.origin != bundle.data.get("origin"):
        return None
    options = run_options(folder)
    chosen = {key: options[key] for key in ("seed", "test_fraction", "folds") if key in options}
    progress = console.stage("reading pixels")
    for data, found in ((dataset, scanned), by_content(dataset, scanned, bundle.geometry, progress=progress)):
        try:
            prepared = prepare(data, found, bundle.geometry, **chosen, progress=progress)
        except DataError:  # what lies there now cannot be split
            continue
        record = SplitRecord.of(prepared)
        if bundle.data.get("split") == record.digest:
            return record
    return None


def seen_by(predictor: Predictor, held: HeldOut, console: Console) -> tuple[PixelView, Mask]:
    """The same images as another model sees them, and which of them (N,) it was trained or validated on."""
    known = known_images(predictor.bundle, predictor, console=console, dataset=held.dataset)
    return known.pixels.view(held.rows), np.isin(known.part[held.rows], ("train", "val"))


def training_images(
    predictor: Predictor,
    model: ModelSource,
    data: Any = None,
    *,
    console: Console | None = None,
    data_dir: str | None = None,
) -> tuple[PixelView, Indices, list[str], list[str]]:
    """The images a model was trained and validated on, as it sees them, with their labels, their names, and what they
    show in words; or other data, less the model's test images and the test split that the data states. BundleError
    where a model's own images are not known, gone or changed.
    """
    console, bundle = console or Silent(), predictor.bundle
    if data is None:
        known = own_images(bundle, model, console=console, data_dir=data_dir)
        rows = known.rows("train", "val")
    else:
        known = known_images(bundle, model, data, console=console, data_dir=data_dir)
        rows = np.flatnonzero(known.readable & (known.part != "test") & (known.dataset.given != "test"))
        known.say_unreadable(console)
    dataset = known.dataset
    labels = bundle.task.aligned(dataset) if bundle.task.needs_classes else dataset.labels
    return known.pixels.view(rows), labels[rows], known.names(rows), [dataset.words(int(i)) for i in rows]


@dataclass(frozen=True)
class Development:
    """The training and the validation images of a model's own run, as it sees them. truth: of the latter the labels
    (N,), or the targets (N, T) where it is not one class per image.
    """

    train: PixelView
    val: PixelView
    truth: NDArray[Any]


def development(model: ModelSource, *, console: Console | None = None, data_dir: str | None = None) -> Development:
    """What a model was trained and validated on; BundleError where the images are gone or changed."""
    bundle = predictor_of(model).bundle
    known = own_images(bundle, model, console=console or Silent(), data_dir=data_dir)
    val = known.rows("val")
    return Development(
        known.pixels.view(known.rows("train")), known.pixels.view(val), bundle.task.aligned(known.dataset)[val]
    )


def as_learned(
    bundle: Bundle, data: Any, data_dir: str | None, added_to: Sequence[str] = (), *, console: Console
) -> Dataset:
    """A data set whose targets are read as a model learned them. added_to: other data that it is added to."""
    listing = data if isinstance(data, Dataset) else listed(bundle, data, data_dir, added_to)
    if added_to and not isinstance(listing, Dataset):
        listing, _ = latest(listing, contents_of(bundle, listing, console))
    try:
        read_as = read(listing, task=bundle.task.name, options=bundle.task.read_options())
    except TargetsError as error:
        one, several = bundle.task.words_used.names
        names = bundle.task.names
        raise DataError(
            f"the targets of {listing.name} are of another kind than those of the model",
            found=error.found,
            expected=f"the {one if len(names) == 1 else several} {listed_words(list(map(repr, names)), 5)}, which the "
            "model predicts",
            fix=f"pass data with {several}, or a model that was trained on such data",
        ) from error
    return replace(read_as, pixels=bundle.form.options)


def latest(listing: Listing, contents: Sequence[str]) -> tuple[Listing, tuple[str, ...]]:
    """Joined images without those that a later one of the lists contains too: its label counts, as in training.

    contents: digests of the images, "" where they cannot be read. Returns the images and their contents.
    """
    if not isinstance(listing.source, Joined):
        return listing, tuple(contents)
    sizes = [len(one) for one in listing.source.sources]
    numbers = np.repeat(np.arange(len(sizes)), sizes).tolist()
    last = dict(zip(contents, numbers, strict=True))
    rows = [
        i for i, (content, k) in enumerate(zip(contents, numbers, strict=True)) if not content or last[content] == k
    ]
    return some_of(listing, np.array(rows, np.int64)), tuple(contents[i] for i in rows)


def contents_of(bundle: Bundle, listing: Listing, console: Console) -> tuple[str, ...]:
    """Digests of the pixels of images as a model sees them; "" where they cannot be read."""
    n = len(listing.source)
    bare = Dataset(
        listing.name, listing.source, np.full(n, -1), (), listing.given, listing.stated.origin,
        task_named(bundle.task.name), pixels=bundle.form.options,
    )  # fmt: skip
    scanned = scan(bare, console.stage("inspecting the files"))
    return all_pixels(bundle, bare, scanned, console)[0].contents


def listed(
    bundle: Bundle, data: Any, data_dir: str | None, added_to: Sequence[str] = (), options: TaskOptions | None = None
) -> Listing:
    """The images of a data set, behind those of other data that it is added to. options: what is stated about the
    targets; by default what the model learned by.
    """
    options = options or bundle.task.read_options()
    own = (bundle.data.get("origin"), *added_to)
    found = []
    for one in (*added_to, data):
        named = isinstance(one, str) and one in own and one in BUILTIN  # whatever lies under that name here
        listing = list_images(f"{PREFIX}{one}" if named else one, data_dir=data_dir, task=bundle.task.name)
        found.append(bundle.task.joinable(listing, options))
    return joined(found)


def own_added_to(bundle: Bundle) -> tuple[str, ...]:
    """The earlier data that a model was trained on, where its run added images to that of another; BundleError as of
    `own_data`.
    """
    recorded = bundle.data.get("added_to", [])
    return tuple(recorded_place(one, WHAT) for one in (recorded if isinstance(recorded, list) else [recorded]))


def own_data(bundle: Bundle) -> str:
    """What a model was trained on; BundleError where it does not say, or the images are gone."""
    origin = bundle.data.get("origin")
    if not origin:
        raise BundleError("the model has no record of its training data", fix="pass the data explicitly: RUN DATA")
    return recorded_place(origin, WHAT)


def all_pixels(bundle: Bundle, dataset: Dataset, scanned: Scan, console: Console) -> tuple[CachedPixels, Indices]:
    """The pixels of a data set as a model wants them, and the positions of the images that can be read."""
    pixels = cached_pixels(
        dataset.source, scanned.digests, bundle.form, bundle.geometry, skip=frozenset(scanned.failed),
        progress=console.stage("reading pixels"),
    )  # fmt: skip
    usable = np.ones(len(dataset), bool)
    usable[[*scanned.failed, *pixels.failed]] = False
    return pixels, np.flatnonzero(usable)
