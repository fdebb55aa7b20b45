"""`train DATA --from RUN`: the options, images, split and network of a run for a training that goes on from it.

DATA either holds new images, which join those of the run, or nearly all of the run's images too; then it is the whole
data, and its labels, classes and gaps count. Images are recognised by content, whatever they are called.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.arguments import flag
from clearsight.bundle import Bundle, going_on
from clearsight.console import Console
from clearsight.data.dataset import Dataset, Listing
from clearsight.data.joined import joined, some_of
from clearsight.data.split_record import SplitRecord, class_digest, target_digest
from clearsight.errors import BundleError, ConfigError, DataError
from clearsight.predictor import Predictor
from clearsight.runs.folder import recorded_data_dir, run_options, run_recipe
from clearsight.runs.images import contents_of, latest, listed, own_added_to, own_data
from clearsight.tasks import list_images, read
from clearsight.tasks.reading import AUTO, claiming
from clearsight.train.config import TrainConfig, options_by_name
from clearsight.train.head_search import Candidate
from clearsight.train.operating import wishes_of
from clearsight.train.previous import FIRST_EPOCHS, NETWORK_OPTIONS, SHARE, Previous
from clearsight.train.recipe import Decision, Recipe
from clearsight.train.task_options import task_options
from clearsight.wording import count

NOT_INHERITED = (
    "out", "resume", "from_run", "old_images", "checkpoint_every", "auto_fix", "budget", "device", "leave_out",
    "epochs", "max_steps",
)  # fmt: skip
"""Options that a training does not take over from the run that it continues."""

FREEZE = ("freeze", "freeze_to")
"""Options of which one replaces the other."""

NEARLY_ALL = 0.9
"""Share of the run's images from which on DATA is taken for the whole data."""

KEPT = ("train", "val", "test")


@dataclass(frozen=True)
class Changes:
    """How the data differs from that of the run: images that are new, have another label, or are gone; classes that are
    new or gone; renamed: what others are called now, by their old name, merged ones alike.
    """

    new: int
    relabelled: int
    gone: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: Mapping[str, str]

    def text(self, names: tuple[str, str]) -> str:
        """All of it in one line. names: what to call one of what is predicted, and several."""
        parts = [count(self.new, "new image"), f"{self.relabelled:,} relabelled", f"{self.gone:,} removed"]
        return ", ".join(parts) + "".join(
            f"; {word} {names[len(some) > 1]}: {_some(some)}" for word, some in self._names()
        )

    def _names(self) -> list[tuple[str, list[str]]]:
        moved = [f"{old} -> {new}" for old, new in self.renamed.items() if old != new]
        several = [("new", list(self.added)), ("renamed or merged", moved), ("removed", list(self.removed))]
        return [(word, some) for word, some in several if some]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        moved = {old: new for old, new in self.renamed.items() if old != new}
        return {
            "new": self.new, "relabelled": self.relabelled, "gone": self.gone, "names_added": list(self.added),
            "names_removed": list(self.removed), "names_renamed": moved,
        }  # fmt: skip


@dataclass(frozen=True)
class Continuation:
    """A training that goes on from a run.

    folder: of the run. config: its options, and those that were given. dataset: its images and DATA, or DATA alone,
    each with its known part. predictor: the run's model. previous: what training starts from; None where options ask
    for another network or other pixels.
    """

    folder: Path
    config: TrainConfig
    dataset: Dataset
    predictor: Predictor
    previous: Previous | None
    changes: Changes


def continuation(data: Any, config: TrainConfig, given: Mapping[str, Any], console: Console) -> Continuation:
    """Find out what a training on DATA goes on from.

    config: with `from_run`. given: options that the user gave, by name; those of the run count for all others. Of a
    training that is resumed it is all that config.json says.

    Raises BundleError where the run is not finished, or its images are gone; ConfigError or DataError where it is of
    another task, or where DATA holds some of its images only.
    """
    folder = Path(str(config.run.from_run)).expanduser()
    bundle = _finished(folder)
    config = inherited(folder, given)
    if config.data.task not in (AUTO, bundle.task.name):
        raise ConfigError(
            f"--from {folder}: the run was trained for another task", found=f"--task {config.data.task}",
            expected=bundle.task.name, fix="leave out --task, or --from",
        )  # fmt: skip
    record = bundle.split
    assert record is not None
    listing = list_images(data, data_dir=config.data.data_dir, task=bundle.task.name)
    _require_task(bundle, listing, folder, explicit=run_options(folder).get("task", AUTO) != AUTO)
    _require_no_boxes(bundle, listing, folder)
    listing = bundle.task.joinable(listing, task_options(config))
    contents = contents_of(bundle, listing, console)
    if not _is_whole(folder, record, listing, contents, config.run.old_images):
        own, own_contents = _own(bundle, folder, config, set(contents), console)
        listing, contents = joined([own, listing]), (*own_contents, *contents)
    config = _with_normal(bundle, listing, config)
    dataset = _read(bundle, listing, config, folder)
    part = record.parts_of(contents)
    changes, relabelled = _changes(bundle, record, dataset, part, contents, config.data.other)
    part[(part == "unused") & relabelled] = ""  # they were left out with the old label
    part = np.where(part == "", record.earlier_parts_of(contents), part)
    dataset = replace(dataset, known_part=part)
    config = _with_new_names(config, bundle, dataset, changes.renamed, given, console)
    same = all(name not in given or given[name] == run_options(folder).get(name) for name in NETWORK_OPTIONS)
    if same:
        _require_same_freeze(folder, given)
    previous = _previous(folder, bundle, changes, config) if same else None
    console.say(f"continuing from {folder}: {changes.text(bundle.task.words_used.names)}")
    if previous is None:
        console.say("the options change the network or its input: a new network is trained on the split of the run")
    return Continuation(folder, config, dataset, Predictor(bundle), previous, changes)


def inherited(folder: Path, given: Mapping[str, Any]) -> TrainConfig:
    """The options of a run, but for those of the run itself, and over them those that were given."""
    known = options_by_name()
    replaced = {other for one, other in (FREEZE, FREEZE[::-1]) if given.get(one) is not None}
    left = {*NOT_INHERITED, *replaced}
    then = {name: value for name, value in run_options(folder).items() if name in known and name not in left}
    return TrainConfig.from_options(**{**then, **given})


def _finished(folder: Path) -> Bundle:
    """The model of a finished run that knows its images; BundleError for any other folder."""
    if not (folder / "metrics.json").is_file() or not (folder / "config.json").is_file():
        raise BundleError(
            f"--from {folder} is not a finished run",
            found="no such folder" if not folder.is_dir() else "no metrics.json or no config.json",
            expected="a folder written by `clearsight train`",
            fix=going_on(folder) if folder.is_dir() else None,
        )
    bundle = Bundle.load(folder)
    if bundle.split is None:
        raise BundleError(
            f"--from {folder}: the run has no record of its images", found="no split.csv",
            expected="split.csv, which identifies the images of the run",
            fix="restore it from a backup, or train on all images without --from",
        )  # fmt: skip
    return bundle


def _require_task(bundle: Bundle, listing: Listing, folder: Path, *, explicit: bool) -> None:
    """DataError where the labels of DATA look like another task than that of the run. explicit: --task named that."""
    found = claiming(listing.stated)
    if not explicit and found is not None and found.name != bundle.task.name:
        raise DataError(
            f"{listing.stated.origin} is for a different task than the run {folder}",
            found=f"{found.words_used.data} ({found.name})",
            expected=f"{bundle.task.words_used.data} ({bundle.task.name})",
            fix="pass data labelled for the task of the run, or train without --from",
        )


def _with_normal(bundle: Bundle, listing: Listing, config: TrainConfig) -> TrainConfig:
    """The options with the normal class that the run inferred, where none is given and the data still has it."""
    normal = bundle.task.read_options().normal
    if config.data.normal is None and normal and set(normal) <= set(listing.stated.cells or ()):
        return config.with_options(normal=",".join(normal))
    return config


def _require_same_freeze(folder: Path, given: Mapping[str, Any]) -> None:
    """ConfigError where other layers are to be frozen than in a run whose layers were trained: only published weights
    can be frozen, and those of the run may have changed in any layer.
    """
    asked, then = given.get("freeze"), run_options(folder).get("freeze", "auto")
    if asked in ("lower", "recipe") and asked != then and run_recipe(folder).get("tuned"):
        raise ConfigError(
            f"--freeze {asked} is not available for the run {folder}, whose layers were already trained",
            found=f"--freeze {then} in the run", expected="--freeze none or --freeze all",
            fix="leave out --freeze to train the same layers again, or train without --from",
        )  # fmt: skip


def _require_no_boxes(bundle: Bundle, listing: Listing, folder: Path) -> None:
    """ConfigError for boxes: the background crops of each image depend on all boxes, so crops cannot be added."""
    boxed = [f"the run {folder}"] * ("detection" in bundle.data)
    boxed += [listing.stated.origin] * (listing.boxed is not None)
    if boxed:
        raise ConfigError(
            "--from does not support detectors, which are trained on images with boxes",
            found=f"boxes in {' and in '.join(boxed)}", expected="a run and data with whole images",
            fix="to train a detector on more images, put all boxes in one file and train on it without --from",
        )  # fmt: skip


def _read(bundle: Bundle, listing: Listing, config: TrainConfig, folder: Path) -> Dataset:
    """The data set, read for the task of the run."""
    try:
        return read(listing, task=bundle.task.name, options=task_options(config))
    except DataError as error:
        raise DataError(
            f"the data does not fit the run {folder}, which requires {bundle.task.words_used.data}: {error.happened}",
            found=error.found, expected=error.expected, fix=error.fix,
        ) from error  # fmt: skip


def _is_whole(folder: Path, record: SplitRecord, listing: Listing, contents: Sequence[str], asked: bool | None) -> bool:
    """Whether DATA is the whole data, not images to add; ConfigError where that is not plain and was not stated."""
    if asked is not None:
        return not asked
    all_known = sum(record.count(part) for part in KEPT)
    found = len({content for content, part in zip(contents, record.parts_of(contents), strict=True) if part in KEPT})
    if 0 < found < NEARLY_ALL * all_known:
        command = shlex.join(["clearsight", "train", listing.stated.origin, "--from", str(folder)])
        raise ConfigError(
            f"it is unclear whether {listing.stated.origin} adds images to those of the run or replaces them",
            found=f"{found:,} of the run's {count(all_known, 'image')} in it",
            expected="none of them, or nearly all",
            fix=f"use `{command} --old-images` to add its images to those of the run, or `{command} --no-old-images` "
            "to leave out the images of the run that it does not contain",
        )
    return found > 0


def _own(
    bundle: Bundle, folder: Path, config: TrainConfig, others: set[str], console: Console
) -> tuple[Listing, tuple[str, ...]]:
    """The images of the run that are not among others, and their contents; BundleError where some are gone."""
    record = bundle.split
    assert record is not None
    way_out = "restore them, or pass all images as DATA with --no-old-images"
    try:
        named, earlier = own_data(bundle), own_added_to(bundle)
    except BundleError as error:
        images = count(sum(record.count(name) for name in KEPT), "image")
        raise BundleError(
            f"the {images} of the run {folder} cannot be found", found=error.found, expected=error.expected,
            fix=way_out,
        ) from error  # fmt: skip
    where = next(filter(None, (recorded_data_dir(folder, one) for one in (*earlier, named))), None)
    listing = listed(bundle, named, where, earlier, task_options(config))
    listing, contents = latest(listing, contents_of(bundle, listing, console))
    part = record.parts_of(contents)
    known = part != ""  # those that it left out too, so that they stay left out
    missing = sum(record.count(name) for name in KEPT) - len(
        {content for content, name in zip(record.contents, record.parts, strict=True) if name in KEPT and content}
        & (set(contents) | others)
    )
    if missing > 0:
        raise BundleError(
            f"{count(missing, 'image')} of the run {folder} {'is' if missing == 1 else 'are'} missing or changed",
            found=f"{count(len(set(contents) - {''}), 'image')} in {named}",
            expected="all images that the run used", fix=way_out,
        )  # fmt: skip
    kept = known & ~np.isin(np.array(contents), list(others))
    if config.data.other is not None and listing.stated.cells is not None:  # images of no class are not recorded
        kept |= np.array(listing.stated.cells) == config.data.other
    rows = np.flatnonzero(kept)
    return some_of(listing, rows), tuple(contents[i] for i in rows.tolist())


def _changes(
    bundle: Bundle,
    record: SplitRecord,
    dataset: Dataset,
    part: NDArray[np.str_],
    contents: Sequence[str],
    other: str | None,
) -> tuple[Changes, NDArray[np.bool_]]:
    """What is new, relabelled and gone, and what became of the run's names; and which images of the run (N,) have
    another label.

    part (N,): of each image in the run.
    """
    named, readable = dataset.labels >= 0, np.array([bool(content) for content in contents])
    if other in dataset.classes:
        named = named & (dataset.labels != dataset.classes.index(other))
    old, now = bundle.task.names, [name for name in dataset.names if name != other]
    renamed = {name: name for name in old if name in now}
    then = _names_then(record, old) if dataset.values is None else {}
    shown = {contents[i]: dataset.classes[dataset.labels[i]] for i in np.flatnonzero(named).tolist()}
    for name in set(old) - set(now):
        mine = [content for content, was in then.items() if was == name]
        there = Counter(shown[content] for content in mine if content in shown).most_common(1)
        if there and there[0][1] > len(mine) / 2:  # fewer are labels that were corrected
            renamed[name] = there[0][0]

    def changed(i: int) -> bool:
        name = renamed.get(then.get(contents[i], ""))
        if name is not None:
            return name != dataset.words(i)
        return record.changed(contents[i], target_digest(dataset, i))

    relabelled = np.zeros(len(contents), bool)
    relabelled[part != ""] = [changed(i) for i in np.flatnonzero(part != "").tolist()]
    known = np.isin(part, KEPT)
    return Changes(
        new=int(((part == "") & named & readable).sum()) + int(((part == "unused") & relabelled & named).sum()),
        relabelled=int((known & relabelled).sum()),
        gone=sum(record.count(name) for name in KEPT) - len({contents[i] for i in np.flatnonzero(known).tolist()}),
        added=tuple(name for name in now if name not in renamed.values()),
        removed=tuple(name for name in old if name not in renamed),
        renamed=dict(sorted(renamed.items(), key=lambda pair: old.index(pair[0]))),
    ), relabelled


def _names_then(record: SplitRecord, names: Sequence[str]) -> dict[str, str]:
    """The class that each content had in the run."""
    name_of = {class_digest(name): name for name in names}
    return {
        content: name_of[target]
        for content, target in zip(record.contents, record.targets, strict=True)
        if content and target in name_of
    }


def _with_new_names(
    config: TrainConfig, bundle: Bundle, dataset: Dataset, renamed: Mapping[str, str], given: Mapping[str, Any],
    console: Console,
) -> TrainConfig:  # fmt: skip
    """The options about single classes with the names of now, and those of the run without classes that are gone.

    Raises ConfigError where the run's file of costs has other names than the data.
    """
    gone, changed = set(bundle.task.names) - set(renamed), {}
    for option in ("min_precision", "min_recall"):
        shares: Mapping[str, float] = getattr(config.decision, option)
        dropped = [name for name in shares if name in gone and option not in given]
        if dropped:
            words = bundle.task.words_used.names[len(dropped) > 1]
            console.say(f"{flag(option)} of the run is not used for the removed {words} {_some(dropped)}")
        kept: dict[str, float] = {}
        for name in shares:
            if name not in dropped:  # of several that were merged the largest share
                now = renamed.get(name, name)
                kept[now] = max(shares[name], kept.get(now, 0.0))
        changed[option] = kept
    costs = config.decision.costs
    if costs is not None and "costs" not in given:
        unknown = sorted(wishes_of(config).names - set(dataset.names))
        if unknown:
            raise ConfigError(
                f"--costs {costs} of the run does not fit the classes of the data", found=_some(unknown),
                expected=", ".join(dataset.names[:8]), fix="add --costs FILE with the costs of the current classes",
            )  # fmt: skip
    return config.with_options(**changed)


def _previous(folder: Path, bundle: Bundle, changes: Changes, config: TrainConfig) -> Previous:
    """What training starts from; BundleError where config.json does not say how the run was made."""
    about, record = run_recipe(folder), bundle.split
    assert record is not None
    try:
        made = about["decisions"]
        choice = next((d["choice"] for d in made if d["what"] == "head"), None)
        candidates = [
            Candidate(**{**c, "parts": tuple(c["parts"]), "views": tuple(c["views"])}) for c in about["candidates"]
        ]
        training = about.get("training") or {}
        why = changes.text(bundle.task.words_used.names)
        recipe = Recipe(
            about["kind"], about["model"], about["model_args"], bundle.geometry.height,
            (
                Decision("continued from", str(folder), why),
                Decision("network", about["model"], "same as in the continued run"),
            ),
        )  # fmt: skip
        epochs = training.get("epochs")
        tuned = bool(about["tuned"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{folder / 'config.json'} does not record how the run was trained", found=f"no {error}",
            fix="restore it from a backup, or train without --from",
        ) from error  # fmt: skip
    again = run_options(folder).get("from_run") is not None  # whose epochs are a share already
    further = max(1, (epochs or FIRST_EPOCHS) // (1 if again else SHARE))
    return Previous(
        name=str(folder), network=bundle.network, task=bundle.task,
        renamed=changes.renamed, images=record.count("train") + record.count("val"), recipe=recipe, form=bundle.form,
        geometry=bundle.geometry, tuned=tuned, head=next((c for c in candidates if c.words() == choice), None),
        epochs=further, record=record,
    )  # fmt: skip


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
