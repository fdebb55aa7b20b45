"""How robust predictions are: accuracy under changes that keep the class, and the sensitivity test beside it.

report = measure_robustness(predictor, images, labels)
report.rows["rotation"][4].accuracy, report.fails["rotation"]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.console import Console, Silent
from clearsight.data.cached_pixels import PixelView
from clearsight.data.displayed import displayed
from clearsight.data.loader import to_float
from clearsight.data.pixels import digest
from clearsight.data.stable_sample import stable_draw
from clearsight.errors import ConfigError, did_you_mean
from clearsight.evaluation.corruptions import CORRUPTIONS
from clearsight.evaluation.image_changes import CHANGES, painted_out, turned
from clearsight.metrics import wilson_interval
from clearsight.predictor import Images, Predictor
from clearsight.result import Result
from clearsight.train.features import derived_logits
from clearsight.wording import count, percent

Floats = NDArray[np.float32]

COMBINED = "smaller + rotation + darker + noise"
"""Changes that are also made together."""

KNOWN = {**CHANGES, **CORRUPTIONS}
"""All changes by name."""

LOST = 0.1
"""Loss of accuracy from which a model fails at a step."""

EXAMPLES = 5

VERSION = 2
"""Raise when a change gives other pixels for the same image."""

MILD = ("smaller", "larger", "rotation", "darker", "blur", "noise")
"""Changes whose first step a person hardly notices."""


@dataclass(frozen=True)
class ChangeResult:
    """Accuracy at a step, and consistency, the share of unchanged predictions; with 95 % intervals. confusion: the most
    common new mistake, as (true class, prediction, images). images: their number; those whose class a rotation changes
    do not count. flagged: the share flagged as out of distribution; None without a detector.
    """

    amount: float
    accuracy: float
    interval: tuple[float, float]
    consistency: float
    consistency_interval: tuple[float, float]
    confusion: tuple[str, str, int] | None
    images: int
    flagged: float | None = None


@dataclass(frozen=True)
class Cluster:
    """Images of a class with similar features: their number, accuracy, and some of their names."""

    label: str
    images: int
    accuracy: float
    interval: tuple[float, float]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Sensitivity:
    """An edit that changes the class, and the share of images whose prediction changed as it should, with its
    interval."""

    edit: str
    images: int
    changed: float
    interval: tuple[float, float]


@dataclass(frozen=True, repr=False)
class RobustnessReport(Result):
    """Accuracy under changes of the image.

    rows: for each change its five steps, of the short version those up to the first at which it fails; "a + b" is
    several changes at once, each at that step. fails: the first step, from 1, at which more than LOST of the accuracy
    is lost; None if it passes all steps. examples: for each change the
    channels of an image that pages show, unchanged and at every step, with the answers. name: of the model. run: whose
    own test split was measured; `save` also puts the verdicts into its report.
    """

    images: int
    accuracy: float
    interval: tuple[float, float]
    rows: dict[str, tuple[ChangeResult, ...]]
    fails: dict[str, int | None]
    clusters: tuple[Cluster, ...]
    sensitivity: tuple[Sensitivity, ...]
    examples: dict[str, tuple[tuple[Floats, str], ...]]
    name: str = "a model"
    run: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pixels."""
        return {
            "images": self.images, "accuracy": self.accuracy, "interval": list(self.interval), "fails": self.fails,
            "changes": {name: [asdict(s) for s in steps] for name, steps in self.rows.items()},
            "clusters": [asdict(c) for c in self.clusters], "sensitivity": [asdict(s) for s in self.sensitivity],
            "mean_corruption_error": self.mean_corruption_error,
        }  # fmt: skip

    @property
    def mean_corruption_error(self) -> float | None:
        """The mean error over the 15 corruptions of ImageNet-C and their severities; None unless all were measured.

        It is not divided by the errors of AlexNet, as the published mCE is: those are known for ImageNet only.
        """
        if not all(len(self.rows.get(name, ())) == 5 for name in CORRUPTIONS):
            return None
        return float(np.mean([[1 - s.accuracy for s in self.rows[name]] for name in CORRUPTIONS]))

    def text(self) -> str:
        """A line for each change: accuracy at its five steps, and the step at which the model fails."""
        width = max(len(name) for name in ("accuracy at step", *self.rows))
        lines = [f"accuracy {percent(self.accuracy)} on {count(self.images, 'unchanged image')}\n"]
        lines.append(f"  {'accuracy at step':<{width}}      1      2      3      4      5  fails at")
        for name, steps in self.rows.items():
            shares = " ".join(f"{percent(s.accuracy):>7}" for s in steps) + " " * 8 * (5 - len(steps))
            fails, worst = self.fails[name], steps[-1].confusion
            text = (
                f"; most frequent mistake at step {len(steps)}: {worst[0]} predicted as {worst[1]}"
                if worst and worst[2] > 2
                else ""
            )
            verdict = "never" if fails is None else f"step {fails}{self._circumstances(name, steps[fails - 1])}{text}"
            lines.append(f"  {name:<{width}} {shares}  {verdict}")
        if self.mean_corruption_error is not None:
            lines.append(f"\n  mean corruption error {percent(self.mean_corruption_error)}")
        if self.sensitivity:
            lines.append("\n  share of images whose prediction changes when the object is changed (higher is better):")
        lines += [f"  {s.edit}: {percent(s.changed)} of {count(s.images, 'image')}" for s in self.sensitivity]
        return "\n".join(lines)

    def _circumstances(self, name: str, step: ChangeResult) -> str:
        """The amount of a change at a step, and whether so few images may give such an accuracy by chance."""
        parts = [f"{KNOWN[name].quantity}: {step.amount:g}"] if name in KNOWN else []
        if step.interval[1] >= self.interval[0]:
            parts.append(f"within the sampling error of {count(self.images, 'image')}")
        return f" ({'; '.join(parts)})" if parts else ""


def measure_robustness(
    predictor: Predictor,
    images: Images,
    labels: NDArray[np.integer],
    *,
    names: Sequence[str] | None = None,
    changes: Sequence[str] | None = None,
    turns: Sequence[tuple[int, float, int]] = (),
    short: bool = False,
    seed: int = 0,
    console: Console | None = None,
) -> RobustnessReport:
    """Measure accuracy under graded changes of images with known classes.

    Args:
        predictor: the model.
        images: images in any form.
        labels: true class indices (N,).
        names: names of the images; None for those of the inputs.
        changes: names of `CHANGES` or `CORRUPTIONS`, or several joined by +; "corruptions" for all of the latter; None
            for each of `CHANGES`, and some mild ones together.
        turns: (class, degrees, class) for classes that become another when rotated counter-clockwise, such as a 6 that
            becomes a 9. Under a rotation by so many degrees images of the first class do not count.
        short: stop each change at the first step at which the model fails.
        seed: random seed.
        console: shows progress; None for none.

    Returns:
        Accuracy and consistency for each change and step.

    Raises:
        ConfigError: a change is unknown or given twice, an angle is not finite, or there are no images.
    """
    console = console or Silent()
    parts = _parts([*CHANGES, COMBINED] if changes is None else changes)
    if wrong := next((degrees for _, degrees, _ in turns if not math.isfinite(degrees)), None):
        raise ConfigError(f"invalid rotation angle {wrong}", expected="a finite number of degrees, such as 180 or -90")
    inputs = predictor.inputs(images)
    called = list(inputs.names if names is None else names)
    if not called:
        raise ConfigError("there are no images")
    x = torch.from_numpy(np.concatenate(list(predictor.pixels(inputs))))
    truth = np.asarray(labels, np.int64)
    classes, n, task = predictor.classes, len(x), predictor.bundle.task
    predictor.prepare(5 * n * len(parts))
    before = _decided(predictor, x)
    right = int((before == truth).sum())
    advance = console.stage("changing images", "steps")
    rows: dict[str, tuple[ChangeResult, ...]] = {}
    examples: dict[str, tuple[tuple[Floats, str], ...]] = {}
    shown = int(np.flatnonzero(before == truth)[0]) if right else 0
    for number, (name, words) in enumerate(parts.items()):
        found = []
        strip = [(x[shown].numpy(), classes[before[shown]])]
        for step in range(5):
            moved = _changed(x, words, step, seed).numpy()
            output = predictor.forward(moved)
            after, ood = task.decided(task.decode(output.logits)), predictor.ood(output)
            valid = _same_class(words, step, truth, turns)
            amount = KNOWN[words[0]].steps[step] if len(words) == 1 else step + 1
            flagged = None if ood is None else ood.flagged
            found.append(_standing(amount, before, after, truth, valid, flagged, classes))
            strip.append((displayed(moved[shown], predictor.bundle.form.shown), classes[after[shown]]))
            advance(5 * number + step + 1, 5 * len(parts))
            if short and found[-1].accuracy < right / n - LOST:
                break
        rows[name], examples[name] = tuple(found), tuple(strip)
    fails = {
        name: next((i + 1 for i, s in enumerate(steps) if s.accuracy < right / n - LOST), None)
        for name, steps in rows.items()
    }
    return RobustnessReport(
        images=n, accuracy=right / n, interval=wilson_interval(right, n), rows=rows, fails=fails,
        clusters=_clusters(predictor, x, before, truth, called, seed),
        sensitivity=_sensitivity(predictor, x, before, truth, turns, console), examples=examples,
    )  # fmt: skip


def _parts(names: Sequence[str]) -> dict[str, list[str]]:
    """The changes that are made together, by the name of each row."""
    chosen = [name for word in names for name in (CORRUPTIONS if word == "corruptions" else [word])]
    parts = {name: [word.strip() for word in name.split("+")] for name in chosen}
    for word in (w for words in parts.values() for w in words):
        if word not in KNOWN:
            expected = f"{', '.join(CHANGES)}, corruptions, or one of these: {', '.join(CORRUPTIONS)}"
            raise ConfigError(f"unknown change {word!r}", expected=expected, fix=did_you_mean(word, KNOWN))
    if not parts:
        raise ConfigError(
            "the list of changes is empty", expected=", ".join(CHANGES), fix="omit the list to test all changes"
        )
    if doubled := next((name for name, words in parts.items() if len(set(words)) < len(words)), None):
        raise ConfigError(f"{doubled!r} contains a change twice", fix="list each change once")
    return parts


@dataclass(frozen=True)
class Retained:
    """What mild changes leave of the accuracy: images predicted rightly as they are, and how many of these still are,
    on average over so many changes, and under each of them by name.
    """

    right_before: int
    right_after: float
    changes: int
    each: tuple[tuple[str, int], ...] = ()


def retained(predictor: Predictor, images: Images, labels: NDArray[np.integer], seed: int = 0) -> Retained:
    """A short measurement: the share of correct predictions that the first step of each mild change keeps.

    If images are identified by content, each is changed by random numbers of its own, and outputs that the store holds
    from a model with the same features are read from there.

    Args:
        predictor: the model.
        images: images in any form.
        labels: true class indices (N,).
        seed: random seed.

    Returns:
        Number of correct predictions, and how many of them are kept.
    """
    if isinstance(images, PixelView) and images.digests and predictor.network.feature_levels is not None:
        return _retained_known(predictor, images, labels, seed)
    x = torch.from_numpy(np.concatenate(list(predictor.pixels(predictor.inputs(images)))))
    predictor.prepare(len(MILD) * len(x))
    right = _decided(predictor, x) == labels
    kept = [int((_decided(predictor, _changed(x, [name], 0, seed)) == labels)[right].sum()) for name in MILD]
    return Retained(int(right.sum()), float(np.mean(kept)), len(MILD), tuple(zip(MILD, kept, strict=True)))


def _retained_known(predictor: Predictor, images: PixelView, labels: NDArray[np.integer], seed: int) -> Retained:
    n, names = len(images), ("", *MILD)
    digests = [images.digests[i] for i in images.indices.tolist()]

    def changed(places: NDArray[np.int64]) -> Floats:
        """Of the images unchanged, then by the first change, and so on."""
        found = []
        for number, i in zip(*divmod(places, n), strict=True):
            x = to_float(images.array[images.indices[i : i + 1]])
            own = int(stable_draw(digests[i], seed).integers(2**31))
            found.append(_changed(x, [names[number]], 0, own) if number else x)
        return torch.cat(found).numpy()

    keys = [
        one if not name else digest(f"{one} {name} 0 {seed} {VERSION}".encode()) for name in names for one in digests
    ]
    logits = derived_logits(predictor, changed, (len(keys), *images.shape[1:]), keys)
    task = predictor.bundle.task
    right = (task.decided(task.decode(logits)) == np.tile(labels, len(names))).reshape(len(names), n)
    kept = (right[1:] & right[0]).sum(1)
    each = tuple(zip(MILD, kept.tolist(), strict=True))
    return Retained(int(right[0].sum()), float(kept.mean()), len(MILD), each)


def _decided(predictor: Predictor, x: torch.Tensor) -> NDArray[np.int64]:
    """The class predicted for each image (N,), at the operating point of the model."""
    task = predictor.bundle.task
    return task.decided(task.decode(predictor.logits(x.numpy())))


def _all_turned(x: torch.Tensor, degrees: float) -> torch.Tensor:
    return turned(x, torch.full((len(x),), degrees))


def _changed(x: torch.Tensor, words: Sequence[str], step: int, seed: int) -> torch.Tensor:
    for word, change in KNOWN.items():
        if word in words:
            generator = torch.Generator().manual_seed(_seed_of(word, step, seed))
            parts = [change.function(part, change.steps[step], generator) for part in torch.split(x, 256)]
            x = torch.cat(parts)
    return x


def _seed_of(word: str, step: int, seed: int) -> int:
    """A seed of its own for every change and step."""
    return int(np.random.default_rng([seed, step, *word.encode()]).integers(2**31))


def _standing(
    amount: float,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    truth: NDArray[np.int64],
    valid: NDArray[np.bool_],
    flagged: NDArray[np.bool_] | None,
    classes: Sequence[str],
) -> ChangeResult:
    """The result of a step on images that keep their class (N,), or on all if none does."""
    valid = valid if valid.any() else ~valid
    before, after, truth = before[valid], after[valid], truth[valid]
    n, right, same = len(truth), int((after == truth).sum()), int((after == before).sum())
    new = (after != truth) & (before == truth)
    confusion = None
    if new.any():
        pairs, counts = np.unique(np.stack([truth[new], after[new]]), axis=1, return_counts=True)
        true, predicted = pairs[:, counts.argmax()]
        confusion = (classes[true], classes[predicted], int(counts.max()))
    return ChangeResult(
        amount, right / n, wilson_interval(right, n), same / n, wilson_interval(same, n), confusion, n,
        None if flagged is None else float(flagged[valid].mean()),
    )  # fmt: skip


def _same_class(
    words: Sequence[str], step: int, truth: NDArray[np.int64], turns: Sequence[tuple[int, float, int]]
) -> NDArray[np.bool_]:
    """Images (N,) that keep their class: not those that a declared turn makes another one, to the left or right."""
    valid = np.ones(len(truth), bool)
    if "rotation" in words:
        amount = KNOWN["rotation"].steps[step]
        for start, degrees, _ in turns:
            if any(abs((sign * amount - degrees + 180) % 360 - 180) < 1e-6 for sign in (1, -1)):
                valid &= truth != start
    return valid


def _clusters(
    predictor: Predictor,
    x: torch.Tensor,
    before: NDArray[np.int64],
    truth: NDArray[np.int64],
    names: Sequence[str],
    seed: int,
) -> tuple[Cluster, ...]:
    """Each class with 20 images or more in two to four groups by its features, worst first."""
    from sklearn.cluster import KMeans

    features = predictor.embed(x.numpy())
    found = []
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        if len(members) < 20:
            continue
        groups = KMeans(min(4, len(members) // 10), n_init=4, random_state=seed).fit_predict(features[members])
        for group in np.unique(groups):
            some = members[groups == group]
            right = int((before[some] == truth[some]).sum())
            some_names = tuple(names[i] for i in some[:EXAMPLES])
            interval = wilson_interval(right, len(some))
            found.append(Cluster(predictor.classes[label], len(some), right / len(some), interval, some_names))
    return tuple(sorted(found, key=lambda c: (c.accuracy, -c.images)))


def _sensitivity(
    predictor: Predictor,
    x: torch.Tensor,
    before: NDArray[np.int64],
    truth: NDArray[np.int64],
    turns: Sequence[tuple[int, float, int]],
    console: Console,
) -> tuple[Sensitivity, ...]:
    """Of images answered rightly: does the answer change where the class does?"""

    def tried(
        edit: str, rows: NDArray[np.int64], made: Callable[[torch.Tensor], torch.Tensor], goal: int | None
    ) -> None:
        if not len(rows):
            console.say(f"{edit}: skipped, because none of the images for this test is predicted correctly")
            return
        edited = made(x[torch.from_numpy(rows)])
        predicted = _decided(predictor, edited)
        if goal is not None:
            changed = int((predicted == goal).sum())
        else:
            gone = predicted != truth[rows]
            if predictor.bundle.ood_detector is not None:
                gone |= predictor.detect_ood(edited.numpy())[1]  # flagged as OOD counts as a change
            changed = int(gone.sum())
        found.append(Sensitivity(edit, len(rows), changed / len(rows), wilson_interval(changed, len(rows))))

    found: list[Sensitivity] = []
    right = np.flatnonzero(before == truth)
    tried("object removed (prediction changed)", right, painted_out, None)
    for start, degrees, end in turns:
        name = f"{predictor.classes[start]} rotated by {degrees:g} degrees (predicted as {predictor.classes[end]})"
        tried(name, right[truth[right] == start], partial(_all_turned, degrees=degrees), end)
    return tuple(found)
