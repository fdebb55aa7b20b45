"""What a trained model knows of its limits: the outlier score that tells strange images best, and prediction sets.

Which score is best is measured on the user's own data by leaving classes out: what is fitted without them should find
their images strange. On frozen features a head is fitted anew for each group of classes; a network that was trained
from random weights is trained anew, on fewer images and for fewer epochs, so its figures are on the low side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.bundle import Bundle
from clearsight.calibration.temperature import fit_temperature
from clearsight.console import Silent
from clearsight.data.loader import to_float
from clearsight.metrics.ranking import auroc
from clearsight.models.network import Network
from clearsight.ood.detector import LeftOut, OODDetector
from clearsight.ood.scores import BANK, OF_LOGITS, SCORES, Bank, Floats, pooled
from clearsight.predictor import Predictor
from clearsight.tasks import Classification
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.features import extract
from clearsight.train.head_search import Targets, fit_softmax
from clearsight.train.loop import Examples
from clearsight.train.strategies.from_scratch import new_network
from clearsight.train.strategies.probe import new_probe

KNOWN = 2000
"""Validation images that scores are compared on at most."""

ROUNDS = 5
"""Groups of classes left out in turn where only a head is fitted anew."""

RETRAINED = 2
"""Groups where a network is trained anew."""

SHARE = 0.12
"""Work of one such training as a share of the model's own."""

MOST = 20_000
"""Images, over all epochs, that one such training sees at most."""

FOOLED = 0.03
"""By how much another score must beat `joint`, which noise does not fool, beyond a standard error of the rounds."""


@dataclass(frozen=True)
class _Part:
    """Images as every score sees them: features (N, D), coarse pixels (N, P), labels (N,), and, where there is a head,
    logits (N, K).
    """

    features: Floats
    pixels: Floats
    labels: NDArray[np.int64]
    logits: NDArray[np.float64] | None = None

    def of(self, mask: NDArray[np.bool_]) -> _Part:
        return _Part(
            self.features[mask],
            self.pixels[mask],
            self.labels[mask],
            None if self.logits is None else self.logits[mask],
        )


def fit_ood_detector(job: TrainContext, outcome: TrainResult, bundle: Bundle) -> OODDetector | None:
    """The limits of a trained model; None for one class, or where no image was kept from training, and for a detector
    of anomalies, whose answer that is.
    """
    data = job.data
    choice = outcome.task.training.ood
    if choice is None:
        return None
    if job.classes < 2 or len(data.split.train) < 2 or not len(data.split.val):
        return None
    draw = np.random.default_rng(job.config.run.seed)
    train = np.sort(draw.permutation(data.split.train)[:BANK])
    val = np.sort(draw.permutation(data.split.val)[:KNOWN])
    features = _features(job, outcome, bundle, np.concatenate([train, val]))
    seen = _Part(features[: len(train)], _coarse(job, train), data.labels[train])
    held = _Part(features[len(train) :], _coarse(job, val), data.labels[val])
    bank = Bank.fit(seen.features, seen.pixels, seen.labels, held.features, held.pixels)
    if choice == "joint":
        known = np.sort(bank.score("joint", np.zeros((1, 1)), held.features, held.pixels, 1.0))
        none = LeftOut({}, (), "there are no classes to leave out")
        return OODDetector(bank, "joint", known, none)
    left_out, rounds = _left_out(job, outcome, seen, held)
    score = _chosen(rounds)
    logits = _logits(outcome, bundle, job, val)
    known = np.sort(bank.score(score, logits, held.features, held.pixels, bundle.temperature))
    if left_out.auroc:
        job.note(
            "outliers",
            f"score {score}",
            f"tells images of classes left out from known ones with AUROC {left_out.auroc[score]:.3f}; "
            + ", ".join(f"{name} {value:.3f}" for name, value in left_out.auroc.items() if name != score),
        )
    return OODDetector(bank, score, known, left_out)


def _chosen(rounds: Sequence[dict[str, float]]) -> str:
    """The score with the best mean AUROC, and `joint` unless another is clearly better: of few rounds none is."""
    names = [name for name in SCORES if all(name in r for r in rounds)]
    if len(rounds) < 2 or "joint" not in names:
        return "joint"
    best = max(names, key=lambda name: np.mean([r[name] for r in rounds]))
    gains = np.array([r[best] - r["joint"] for r in rounds])
    error = float(gains.std(ddof=1)) / len(gains) ** 0.5
    return best if float(gains.mean()) > FOOLED + error else "joint"


def _coarse(job: TrainContext, rows: NDArray[np.int64]) -> Floats:
    pixels = job.data.pixels.array
    return np.concatenate([pooled(to_float(pixels[rows[i : i + 256]]).numpy()) for i in range(0, len(rows), 256)])


def _features(job: TrainContext, outcome: TrainResult, bundle: Bundle, rows: NDArray[np.int64]) -> Floats:
    """Features below the head (N, D): for a head on a frozen backbone those in the cache, which it was chosen on."""
    split, levels = job.data.split, bundle.network.feature_levels
    if levels and not outcome.tuned and not bundle.network.uses_tta:
        everyone = np.sort(np.concatenate([split.train, split.val]))
        bare = new_probe(replace(job.recipe, model=bundle.network.spec["name"]))  # a classical recipe names both
        parts = extract(bare, job.data.pixels, everyone, device=job.device)
        places = np.searchsorted(everyone, rows)
        return np.concatenate([parts[i][places] for i in levels.chosen], axis=1)
    predictor = Predictor(bundle, device=job.device)
    return predictor.embed(job.data.pixels.view(rows), job.console.stage("features of known images"))


def _logits(outcome: TrainResult, bundle: Bundle, job: TrainContext, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logits of validation images by weights that had not seen them (N, K)."""
    order = np.argsort(outcome.judged)
    places = np.searchsorted(outcome.judged, rows, sorter=order).clip(max=len(order) - 1)
    if (outcome.judged[order[places]] == rows).all():
        own: NDArray[np.float64] = outcome.logits[order[places]]
        return own
    found = Predictor(bundle, device=job.device).logits(job.data.pixels.view(rows))
    return np.asarray(found, np.float64)


def _left_out(
    job: TrainContext, outcome: TrainResult, seen: _Part, held: _Part
) -> tuple[LeftOut, Sequence[dict[str, float]]]:
    """Leave groups of classes out and see which score finds their images strange; and the AUROC of each round."""
    names, how = job.data.dataset.classes, outcome.training
    retrain = job.recipe.kind == "scratch"
    if retrain and (job.classes < 3 or how is None):
        return LeftOut({}, (), "two classes: without one of them there is nothing to train"), ()
    groups = _groups(job.classes, RETRAINED if retrain else ROUNDS, job.config.run.seed)
    rounds: list[dict[str, float]] = []
    left: list[tuple[str, ...]] = []
    advance = job.console.stage("leaving classes out", "rounds")
    for number, group in enumerate(groups):
        advance(number, len(groups))
        without = _retrained if retrain else _refitted
        parts = without(job, outcome, seen, held, group)
        if parts is not None:
            rounds.append(_scored(*parts))
            left.append(tuple(names[c] for c in group))
    advance(len(groups), len(groups))
    scores = [name for name in SCORES if rounds and all(name in r for r in rounds)]
    why = "smaller trainings without these classes" if retrain else "heads fitted without these classes"
    auroc = {name: float(np.mean([r[name] for r in rounds])) for name in scores}
    return LeftOut(auroc, tuple(left), why if left else "too few images are left without a class"), rounds


def _groups(classes: int, rounds: int, seed: int) -> list[list[int]]:
    """Classes to leave out in each round: a fifth of them, and one at least."""
    order = np.random.default_rng(seed).permutation(classes)
    size = max(1, classes // 5)
    rounds = min(rounds, classes // size)
    return [sorted(int(c) for c in order[i * size : (i + 1) * size]) for i in range(rounds)]


def _refitted(
    job: TrainContext, outcome: TrainResult, seen: _Part, held: _Part, group: Sequence[int]
) -> tuple[_Part, _Part, _Part] | None:
    """Training, known and strange images with the logits of a softmax head that does not know some classes."""
    gone_seen, gone_held = np.isin(seen.labels, group), np.isin(held.labels, group)
    left = np.setdiff1d(np.unique(seen.labels), group)
    train, known = seen.of(~gone_seen), held.of(~gone_held)
    strange = held.of(gone_held)
    if len(train.labels) < 2 or not len(known.labels) or not len(strange.labels) or not len(left):
        return None
    if len(left) < 2:
        return train, known, strange
    number = np.searchsorted(left, train.labels)
    targets = Targets(number, np.ones(len(number), np.float32), len(left))
    _, head = fit_softmax([train.features], np.arange(len(number)), targets, 1e-2)
    with_logits = [replace(p, logits=_headed(head, p.features)) for p in (known, strange)]
    return train, with_logits[0], with_logits[1]


def _headed(head: torch.nn.Module, features: Floats) -> NDArray[np.float64]:
    with torch.inference_mode():
        logits: torch.Tensor = head(torch.from_numpy(np.ascontiguousarray(features)))
    return np.asarray(logits.double().numpy())


def _retrained(
    job: TrainContext, outcome: TrainResult, seen: _Part, held: _Part, group: Sequence[int]
) -> tuple[_Part, _Part, _Part] | None:
    """The same by a network of the same kind, trained anew without some classes."""
    data, how = job.data, outcome.training
    assert how is not None
    left = np.setdiff1d(np.arange(job.classes), group)
    keep = [rows[~np.isin(data.labels[rows], group)] for rows in (data.split.train, data.split.val)]
    gone = data.split.val[np.isin(data.labels[data.split.val], group)][:KNOWN]
    if not len(keep[0]) or not len(keep[1]) or not len(gone):
        return None
    draw = np.random.default_rng(job.config.run.seed)
    views = min(MOST, int(SHARE * how.optimization.epochs * len(data.split.train)))
    train = np.sort(draw.permutation(keep[0])[: max(how.optimization.batch_size, views // 4)])
    known = np.sort(draw.permutation(keep[1])[:KNOWN])
    number = np.searchsorted(left, data.labels).clip(max=len(left) - 1)
    some = Classification(tuple(str(k) for k in left))
    examples = Examples(data.pixels.array, number, data.weights, train, known, some)
    network = new_network(job.recipe, data, job.config.run.seed, outputs=len(left))
    groups = [{"params": list(network.parameters()), "lr": job.rate(fine_tuning=False)}]
    short = how.with_options(epochs=max(2, round(views / len(train))))
    quiet = replace(job, console=Silent(), on_epoch=None, watch=None, folder=None)
    quiet.train(network, short, groups, "leaving classes out", examples)
    rows = [np.sort(draw.permutation(train)[:BANK]), known, gone]
    parts = []
    for chosen in rows:
        logits, features = _answers(network, job, chosen)
        parts.append(_Part(features, _coarse(job, chosen), data.labels[chosen], logits))
    return parts[0], parts[1], parts[2]


def _answers(network: Network, job: TrainContext, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], Floats]:
    """Logits (N, K) and features (N, D) of some images."""
    pixels, found = job.data.pixels.array, []
    network.eval().cpu()
    with torch.inference_mode():
        for i in range(0, len(rows), 128):
            found.append(network.with_features(to_float(pixels[rows[i : i + 128]])))
    logits, features = (torch.cat(part).numpy() for part in zip(*found, strict=True))
    return logits.astype(np.float64), features


def _scored(train: _Part, known: _Part, strange: _Part) -> dict[str, float]:
    """AUROC of every score, of strange images against known ones."""
    half = np.arange(len(known.labels)) % 2 == 0  # one half gives the ranks of `joint`, the other is compared
    ranks, judged = (known.of(half), known.of(~half)) if len(known.labels) > 1 else (known, known)
    bank = Bank.fit(train.features, train.pixels, train.labels, ranks.features, ranks.pixels)
    temperature = 1.0
    if known.logits is not None:
        left = np.unique(train.labels)
        temperature = fit_temperature(known.logits, np.searchsorted(left, known.labels).clip(max=len(left) - 1))
    found = {}
    for name in SCORES:
        if name in OF_LOGITS and known.logits is None:
            continue
        values = [
            bank.score(name, np.zeros((1, 1)) if p.logits is None else p.logits, p.features, p.pixels, temperature)
            for p in (judged, strange)
        ]
        found[name] = auroc(*values)
    return found
