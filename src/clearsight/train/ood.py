"""Fit the OOD detector of a trained model: what it remembers of training images, and what is usual for held-out ones.

Held-out images are those that training kept for validation. On frozen features, which no image has shaped, that may be
all of development: each is then scored by what is fitted without its fold, so that the threshold rests on many images.
Copies of some are changed as in training, shifted and brightened a little: they belong as well. By how much such a
change moves an image, less than that counts in every distance.

How well near classes are separated is measured on the user's own data where that is cheap, by leaving classes out of
what is fitted on frozen features. A network from random weights would have to be trained anew; nothing is chosen by the
result, so it is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.bundle import Bundle
from clearsight.data.augment import augment
from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.dataset import Dataset
from clearsight.data.loader import to_float
from clearsight.data.stable_sample import stable_draw, stable_sample
from clearsight.errors import DataError, ImageError
from clearsight.metrics.ranking import auroc
from clearsight.ood.detector import LeftOut, OODDetector, Tails, combined, surprises, threshold_for
from clearsight.ood.pixel_statistics import pixel_statistics
from clearsight.ood.scores import BANK, Bank, Floats, MildChanges
from clearsight.ood.tails import Tail
from clearsight.predictor import ModelOutput, Predictor
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.features import extract, model_output, statistics_of
from clearsight.train.head_search import Targets, fit_softmax
from clearsight.train.strategies.probe import new_probe
from clearsight.wording import count, percent

KNOWN = 2000
"""Held-out images that scores are compared with at most."""

FOLDS = 20
"""Parts in which images that are also remembered are held out in turn. Each is compared with 5 % fewer images than new
ones will be, which makes the threshold a little too high; with ten parts, 3.2 % of test images were flagged on two sets
instead of 5 %, with twenty 3.5 %.
"""

ROUNDS = 5
"""Groups of classes left out in turn."""

COPIES, COPIED_VALUES = 8000, 2e7
"""Changed copies at most, and their pixel values: 132 colour images at 224 pixels."""

AUGMENTED = ("augmented", "augmented again")
LIGHT = {"darker": -1.0, "brighter": 1.0}
SHIFTS = {"down": (-1, 0), "up": (1, 0), "right": (0, -1), "left": (0, 1)}
_KINDS = (*AUGMENTED, *SHIFTS, *LIGHT)
"""How copies are changed: as in training, where that changes images; moved; with a little more or less light."""

SHIFT, BRIGHTNESS = 1 / 56, 0.15
"""Pixels that copies are moved by, as a share of the side, one at least and two from 28 pixels on; and share of the
light at most, half of it at least."""

OTHERS = 1000
"""Images of no class at most."""


@dataclass(frozen=True)
class _Part:
    """Images as the detector sees them: features (N, D), pixel statistics (N, S), labels (N,), and logits (N, K)."""

    features: Floats
    statistics: Floats
    labels: NDArray[np.int64]
    logits: NDArray[np.floating] | None = None

    def of(self, mask: NDArray[np.bool_] | NDArray[np.int64]) -> _Part:
        logits = None if self.logits is None else self.logits[mask]
        return _Part(self.features[mask], self.statistics[mask], self.labels[mask], logits)

    def scores(self, bank: Bank) -> dict[str, Floats]:
        """Every score (N,) by name."""
        return bank.scores(self.logits, self.features, self.statistics)


@dataclass(frozen=True)
class _Images:
    """Images, or changed copies of images, by their rows (N,) in the data set, in ascending order. kinds (N,): how each
    is changed, "" where it is not.
    """

    rows: NDArray[np.int64]
    part: _Part
    kinds: NDArray[np.str_]

    def of(self, rows: NDArray[np.int64]) -> _Part:
        """Those of some rows."""
        return self.part.of(np.isin(self.rows, rows))


@dataclass(frozen=True)
class _Material:
    """What a detector is fitted to.

    remembered, held_out: rows, sorted. plain: both, as they are. copies: changed copies of some of either. shaped: the
    features were learned from the remembered images, changed as in training; their copies are remembered as well. other
    (O, D): features of images of no class.
    """

    remembered: NDArray[np.int64]
    held_out: NDArray[np.int64]
    plain: _Images
    copies: _Images
    shaped: bool
    other: Floats | None = None

    def bank(self, rows: NDArray[np.int64], asked: NDArray[np.int64] | None = None) -> Bank:
        """The bank of some of the remembered images, for scores of `asked`, whose copies say nothing to it."""
        seen, copies = self.plain.of(rows), self.copies.of(rows)
        features, labels = seen.features, seen.labels
        if self.shaped:
            features, labels = _joined(features, copies.features), _joined(labels, copies.labels)
        statistics = _joined(seen.statistics, copies.statistics)
        known = rows if self.shaped else np.setdiff1d(self.plain.rows, () if asked is None else asked)
        return Bank.fit(features, labels, statistics, self.other, changes=self._changes(known), copies=self.shaped)

    def _changes(self, rows: NDArray[np.int64]) -> MildChanges:
        """What mild changes do to some images; training changes images by far more."""
        mine = np.isin(self.copies.rows, rows) & (self.copies.kinds != AUGMENTED[0])
        before = self.plain.part.of(np.searchsorted(self.plain.rows, self.copies.rows[mine]))
        after = self.copies.part.of(mine)
        return MildChanges(before.features, after.features, before.statistics, after.statistics)


def fit_ood_detector(
    context: TrainContext, result: TrainResult, bundle: Bundle, other: Dataset | None = None
) -> OODDetector | None:
    """The OOD detector of a trained model; None for one class, or where no image was kept from training, and for a
    detector of anomalies, whose answer that is.

    other: images that belong to no class, where the data has some. A quarter of them is not fitted to, and says how
    many like them are flagged.
    """
    data, choice = context.data, result.task.training.ood
    if choice is None or context.classes < 2 or len(data.split.train) < 2 or not len(data.split.val):
        return None
    predictor = Predictor(bundle, device=context.device)
    with_logits = choice == "scores"
    material = _material(context, result, predictor, with_logits)
    exposed = None
    if other is not None:
        fitted_to, exposed = _exposed(context, predictor, other)
        material = replace(material, other=fitted_to.features)
    plain, changed, kinds, sources = _held_out_scores(material, context.config.run.seed)
    tails: Tails = {name: tuple(Tail.fit(s[name]) for s in (plain, changed) if len(s[name])) for name in plain}
    reference = combined(surprises(plain, tails))
    added = combined(surprises(changed, tails)) - reference[sources]
    mild = np.unique(kinds[kinds != AUGMENTED[0]])  # training changes images by far more than what this promises
    threshold, false_alarms = threshold_for(reference, {str(kind): added[kinds == kind] for kind in mild})
    left_out = LeftOut({}, (), "there are too few classes to leave some out")
    if with_logits:
        left_out = _left_out(context, material)
    if left_out.auroc:
        context.note(
            "OOD detection",
            "all scores combined",
            "left-out classes are only one kind of unknown image, so the score is not chosen by them; AUROC for "
            f"separating left-out classes from known ones: {left_out.auroc['combined']:.3f}; individual scores: "
            + ", ".join(f"{name} {value:.3f}" for name, value in left_out.auroc.items() if name != "combined"),
        )
    bank = material.bank(material.remembered)
    detector = OODDetector(bank, tails, np.sort(reference), threshold, false_alarms, left_out)
    if exposed is not None:
        _, flagged, _ = detector.detect(exposed.logits, exposed.features, exposed.statistics)
        words = f"{int(flagged.sum())} of {len(flagged)} held-out images of {context.config.data.other}"
        context.note("other", f"{percent(flagged.mean())} flagged as unknown", words)
    return detector


def _exposed(context: TrainContext, predictor: Predictor, other: Dataset) -> tuple[ModelOutput, ModelOutput]:
    """The model's output for images that belong to no class: for those to fit to, and for the others."""
    rows = np.random.default_rng(context.config.run.seed).permutation(len(other))[:OTHERS]
    decoded = []
    for row in rows.tolist():
        with contextlib.suppress(ImageError):  # the audit reports those of known classes alone
            decoded.append(to_float(other.source.decode(row, context.data.form, context.data.geometry)).numpy())
    if len(decoded) < 4:
        raise DataError(
            f"--other {context.config.data.other} has too few images",
            found=count(len(decoded), "readable image"),
            expected="4 or more",
        )
    output, aside = predictor.forward(np.stack(decoded)), np.arange(len(decoded)) % 4 == 0
    parts = ("logits", "features", "statistics")
    fitted_to, kept = (ModelOutput(*(getattr(output, name)[mask] for name in parts)) for mask in (~aside, aside))
    return fitted_to, kept


def _material(context: TrainContext, result: TrainResult, predictor: Predictor, with_logits: bool) -> _Material:
    """Features, pixel statistics and logits of the images to remember, of held-out ones, and of changed copies."""
    data, split, draw = context.data, context.data.split, np.random.default_rng(context.config.run.seed)
    frozen = context.recipe.kind != "scratch" and not result.tuned
    advance = context.console.stage("fitting the OOD detector", "steps")
    remembered = np.sort(draw.permutation(split.development if frozen else split.train)[:BANK])
    held_out = np.sort(draw.permutation(np.unique(result.validation_indices) if frozen else split.val)[:KNOWN])
    rows = np.union1d(remembered, held_out)
    features = _features(context, result, predictor.bundle, rows)
    advance(1, 3)
    logits = None
    if with_logits:
        logits = np.full((len(rows), result.logits.shape[1]), np.nan)  # of images only remembered they are not asked
        logits[np.searchsorted(rows, held_out)] = _logits(result, predictor, context, held_out)
    part = _Part(features, statistics_of(data.pixels, rows), data.labels[rows], logits)
    plain = _Images(rows, part, np.full(len(rows), ""))
    policy = result.training.augmentation.augment if result.training else None
    kinds = _KINDS if policy and policy != "none" else _KINDS[len(AUGMENTED) :]
    most = int(min(COPIES, COPIED_VALUES / np.prod(data.pixels.array.shape[1:])))
    light: Floats | None = None
    if frozen:  # each copy of a large image takes its time: one kind each
        seed, contents = context.config.run.seed, data.pixels.contents
        sources = stable_sample(contents, held_out, most, seed)
        draws = [stable_draw(contents[i], seed) for i in sources.tolist()]
        chosen = np.array([one.integers(0, len(kinds)) for one in draws], np.int64)
        light = np.array([one.uniform(BRIGHTNESS / 2, BRIGHTNESS) for one in draws], np.float32)
    else:
        each = max(8, most // len(kinds) // 3)
        some = [draw.permutation(held_out)[:each], draw.permutation(remembered)[: 2 * each]]
        sources = np.repeat(np.sort(np.concatenate(some)), len(kinds))
        chosen = np.tile(np.arange(len(kinds)), len(sources) // len(kinds))
    changed = [
        _changed(
            to_float(data.pixels.array[sources[i : i + 256]]), [kinds[k] for k in chosen[i : i + 256]], policy, i,
            None if light is None else light[i : i + 256],
        )
        for i in range(0, len(sources), 256)
    ]  # fmt: skip
    advance(2, 3)
    parts = [(_stored if frozen else _in_one_batch)(predictor, images) for images in changed]
    statistics, found, logits = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("statistics", "features", "logits")
    )
    copies = _Part(found, statistics, data.labels[sources], logits if with_logits else None)
    advance(3, 3)
    groups = {**dict.fromkeys(AUGMENTED, "augmented"), **dict.fromkeys(SHIFTS, "shifted")}
    named = np.array([groups.get(kind, kind) for kind in kinds])
    return _Material(remembered, held_out, plain, _Images(sources, copies, named[chosen]), shaped=not frozen)


def _stored(predictor: Predictor, images: Floats) -> ModelOutput:
    """What the predictor makes of images (N, C, H, W), from the store where features of them are there."""
    return model_output(predictor, CachedPixels(images, {}, ""), np.arange(len(images)))


def _in_one_batch(predictor: Predictor, images: Floats) -> ModelOutput:
    """What the predictor makes of images (N, C, H, W), in one batch: small networks lose their time between batches."""
    with torch.inference_mode():
        logits, features = predictor.network.with_features(torch.from_numpy(images))
    return ModelOutput(logits.numpy(), features.numpy(), pixel_statistics(images))


def _changed(
    images: torch.Tensor, kinds: Sequence[str], policy: str | None, seed: int, light: Floats | None = None
) -> Floats:
    """Copies of images (N, C, H, W), each changed in the way of `_KINDS` that is named for it. light (N,): by how much
    those with more or less light are changed; None to draw it by the seed.
    """
    draw, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    changed, names = np.array(images.numpy()), np.array(kinds)
    augmented = np.isin(names, AUGMENTED)
    if augmented.any():
        changed[augmented] = augment(images[torch.from_numpy(augmented)], policy or "none", generator).numpy()
    height, width = images.shape[2:]
    by = max(1 if max(height, width) < 28 else 2, round(SHIFT * max(height, width)))
    for name, (down, right) in SHIFTS.items():
        chosen = names == name
        wide = np.pad(changed[chosen], ((0, 0), (0, 0), (by, by), (by, by)), mode="edge")
        top, left = by * (1 + down), by * (1 + right)
        changed[chosen] = wide[:, :, top : top + height, left : left + width]
    for name, sign in LIGHT.items():
        chosen = names == name
        drawn = draw.uniform(BRIGHTNESS / 2, BRIGHTNESS, int(chosen.sum())) if light is None else light[chosen]
        changed[chosen] *= 1 + sign * drawn.astype(np.float32)[:, None, None, None]
    return np.asarray(changed.clip(0, 1), np.float32)


def _held_out_scores(
    material: _Material, seed: int
) -> tuple[dict[str, Floats], dict[str, Floats], NDArray[np.str_], NDArray[np.int64]]:
    """Every score of the V held-out images, and of their W changed copies, by banks without the image's own fold; how
    each copy is changed (W,), and the position of its original among the V (W,).
    """
    remembered, held_out = material.remembered, material.held_out
    folds = [held_out]
    if np.isin(remembered, held_out).any():
        everyone = np.union1d(remembered, held_out)
        number = np.random.default_rng(seed).permutation(len(everyone)) % min(FOLDS, len(everyone))
        folds = [everyone[number == k] for k in range(number.max() + 1)]
    parts: list[tuple[dict[str, Floats], dict[str, Floats]]] = []
    done = 0
    kinds: list[NDArray[np.str_]] = []
    sources: list[NDArray[np.int64]] = []
    for fold in folds:
        asked = np.intersect1d(fold, held_out)
        if not len(asked):
            continue
        bank = material.bank(np.setdiff1d(remembered, fold), asked=fold)
        parts.append((material.plain.of(asked).scores(bank), material.copies.of(asked).scores(bank)))
        copied = np.isin(material.copies.rows, asked)
        kinds.append(material.copies.kinds[copied])
        sources.append(done + np.searchsorted(asked, material.copies.rows[copied]))
        done += len(asked)
    names = parts[0][0]
    plain, changed = ({name: np.concatenate([p[k][name] for p in parts]) for name in names} for k in (0, 1))
    return plain, changed, np.concatenate(kinds), np.concatenate(sources)


def _features(context: TrainContext, result: TrainResult, bundle: Bundle, rows: NDArray[np.int64]) -> Floats:
    """Features below the head (N, D): for a head on a frozen backbone those in the cache, which it was chosen on."""
    split, levels = context.data.split, bundle.network.feature_levels
    if levels and not result.tuned and not bundle.network.uses_tta:
        everyone = np.sort(np.concatenate([split.train, split.val]))
        bare = new_probe(
            replace(context.recipe, model=bundle.network.spec["name"]), context.data
        )  # a classical recipe names both
        parts = extract(bare, context.data.pixels, everyone, device=context.device)
        places = np.searchsorted(everyone, rows)
        return np.concatenate([parts[i][places] for i in levels.chosen], axis=1)
    predictor = Predictor(bundle, device=context.device)
    return predictor.embed(
        context.data.pixels.view(rows), context.console.stage("extracting features for OOD detection")
    )


def _logits(
    result: TrainResult, predictor: Predictor, context: TrainContext, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Logits of held-out images by weights that had not seen them (N, K)."""
    order = np.argsort(result.validation_indices)
    places = np.searchsorted(result.validation_indices, rows, sorter=order).clip(max=len(order) - 1)
    if (result.validation_indices[order[places]] == rows).all():
        own: NDArray[np.float64] = result.logits[order[places]]
        return own
    return np.asarray(predictor.logits(context.data.pixels.view(rows)), np.float64)


def _joined(first: NDArray[np.generic], second: NDArray[np.generic]) -> NDArray:  # type: ignore[type-arg]
    return np.concatenate([first, second])


def _left_out(context: TrainContext, material: _Material) -> LeftOut:
    """Leave groups of classes out of what is fitted on frozen features, and see how high their images score."""
    if material.shaped:
        return LeftOut({}, (), "this would require retraining the network with some classes left out")
    names = context.data.dataset.classes
    rounds: list[dict[str, float]] = []
    left: list[tuple[str, ...]] = []
    advance = context.console.stage("leaving classes out", "rounds")
    groups = _groups(context.classes, ROUNDS, context.config.run.seed)
    for number, group in enumerate(groups):
        advance(number, len(groups))
        found = _without(material, group)
        if found is not None:
            rounds.append(found)
            left.append(tuple(names[c] for c in group))
    advance(len(groups), len(groups))
    if not rounds:
        return LeftOut({}, (), "too few images remain when classes are left out")
    scores = [name for name in rounds[0] if all(name in r for r in rounds)]
    auroc_of = {name: float(np.mean([r[name] for r in rounds])) for name in scores}
    return LeftOut(auroc_of, tuple(left), "fitting heads without these classes")


def _groups(classes: int, rounds: int, seed: int) -> list[list[int]]:
    """Classes to leave out in each round: a fifth of them, and one at least."""
    order = np.random.default_rng(seed).permutation(classes)
    size = max(1, classes // 5)
    rounds = min(rounds, classes // size)
    return [sorted(int(c) for c in order[i * size : (i + 1) * size]) for i in range(rounds)]


def _without(material: _Material, group: Sequence[int]) -> dict[str, float] | None:
    """AUROC of every score, images of a group of classes against known ones, where nothing was fitted to the former."""
    labels = material.plain.part.labels
    remembered, rows = np.isin(material.plain.rows, material.remembered), material.plain.rows
    gone = np.isin(labels, group)
    test = ~gone & (np.arange(len(rows)) % 4 == 0)
    fit = remembered & ~gone & ~test
    classes = np.unique(labels[fit])
    if min(test.sum(), gone.sum()) < 2 or fit.sum() < 4 or not len(classes):
        return None
    seen, known, unknown = (material.plain.part.of(mask) for mask in (fit, test, gone))
    head = None
    if known.logits is not None and len(classes) > 1:
        targets = Targets(np.searchsorted(classes, seen.labels), np.ones(len(seen.labels), np.float32), len(classes))
        _, head = fit_softmax([seen.features], np.arange(len(seen.labels)), targets, 1e-2)
    known, unknown = (replace(p, logits=_headed(head, p.features) if head else None) for p in (known, unknown))
    bank = material.bank(rows[fit], asked=rows[~fit])
    scores = [part.scores(bank) for part in (known, unknown)]
    tails = {name: (Tail.fit(values),) for name, values in scores[0].items()}
    found = {name: auroc(*(s[name] for s in scores)) for name in scores[0]}
    return {"combined": auroc(*(combined(surprises(s, tails)) for s in scores)), **found}


def _headed(head: torch.nn.Module, features: Floats) -> NDArray[np.float64]:
    with torch.inference_mode():
        logits: torch.Tensor = head(torch.from_numpy(np.ascontiguousarray(features)))
    return np.asarray(logits.double().numpy())
