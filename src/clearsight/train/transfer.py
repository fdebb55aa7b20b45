"""A classifier from a pretrained network: a head on its frozen features first, then, if asked, its layers too.

    frozen   a head on features of several depths, chosen by cross-validation
    lower    the lower blocks stay frozen and run once per image; the blocks above are trained on their cached outputs
    none     every layer is trained, deeper ones at smaller rates

Training starts from the head that was fitted on frozen features. What it gives is kept, alone or beside what there was,
only where the validation images say so.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.belief.temperature import fit_temperature
from clearsight.config import TrainConfig, seconds
from clearsight.metrics import accuracy, log_loss, softmax
from clearsight.models.cut import cut
from clearsight.models.network import Ensemble, Probe, headless, tap_points
from clearsight.models.pretrained import load_backbone
from clearsight.models.published import weight_facts
from clearsight.train.features import Stacked, extract, outputs
from clearsight.train.job import Job, Outcome
from clearsight.train.loop import Examples, Trained, Training, logits_of
from clearsight.train.probe import Candidate, ProbeResult, Targets, choose_head, fit_softmax
from clearsight.train.recipe import Recipe

MANY = 1000
"""Training images from which a network's own layers are worth training, rather than a head alone."""

LAYER_DECAY = 0.6
"""Rate of a stage as a share of the next deeper one's, when every layer is trained."""

SHARE_OF_LOWER = 0.25
"""Part of the budget that training the blocks above the cut gets, when every layer may be trained after it."""


@dataclass(frozen=True)
class _Frozen:
    """The probe with its head, the features it stands on, and what the head was chosen from."""

    probe: Probe
    result: ProbeResult
    parts: list[NDArray[np.float32]]
    rows: NDArray[np.int64]
    outcome: Outcome

    def positions(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of some images among the rows of the features."""
        return np.searchsorted(self.rows, images)


def transfer(job: Job) -> Outcome:
    """Fit a head on frozen features; train layers where options or budget ask for it."""
    frozen = _frozen(job)
    how, budget = job.config.model.freeze, job.config.run.budget
    if how == "all" or (how == "auto" and budget is None):
        idle = [name for name, value in vars(job.config.train).items() if value != getattr(TrainConfig(), name)]
        if idle:
            options = ", ".join("--" + name.replace("_", "-") for name in idle)
            why = "the network's weights stay as they are; --budget or --freeze none trains them"
            job.note("without effect", options, why)
        return replace(frozen.outcome, decisions=tuple(job.notes))
    _say_recipe(job, frozen)
    best = frozen.outcome
    left = seconds(budget) if budget else None
    if how in ("lower", "auto") and frozen.probe.taps:
        share = left * SHARE_OF_LOWER if left and how == "auto" else left
        best = _better(job, best, _train_upper(job, frozen, share), "the upper blocks", forced=how == "lower")
        left = left - share if left and share else left
    if how in ("none", "auto"):
        best = _better(job, best, _train_all(job, frozen, left), "all layers", forced=how == "none")
    return replace(best, decisions=tuple(job.notes))


def _frozen(job: Job) -> _Frozen:
    """Choose a head on frozen features by cross-validation."""
    data, split = job.data, job.data.split
    probe = new_probe(job.recipe)
    rows = np.sort(np.concatenate([split.train, split.val]))
    began = time.perf_counter()
    parts = extract(probe, data.pixels, rows, device=job.device, progress=job.console.stage("features"))
    speed = len(rows) / (time.perf_counter() - began)

    def mirror() -> list[NDArray[np.float32]]:
        advance = job.console.stage("features of mirror images")
        return extract(probe, data.pixels, rows, device=job.device, mirrored=True, progress=advance)

    result = choose_head(
        parts,
        feature_sets(probe),
        Targets(data.labels[rows], data.weights[rows], job.classes),
        [(np.searchsorted(rows, a), np.searchsorted(rows, b)) for a, b in split.folds],
        np.searchsorted(rows, split.development),
        mirrored=mirror if job.config.run.budget and job.config.train.augment != "none" else None,
        seed=job.config.run.seed,
        progress=job.console.stage("choosing the head", "candidates"),
    )
    probe.set_head(result.chosen.parts, result.head_spec, result.head)
    equals = sum(c.accuracy == result.chosen.accuracy for c in result.candidates)
    tie = f", and of the {equals} that share it the lowest log loss" if equals > 1 else ""
    job.note(
        "head",
        result.chosen.words(),
        f"highest validation accuracy, {result.chosen.accuracy:.1%}, of {len(result.candidates)} candidates{tie}; "
        f"the best on the last features alone reached {_best_of(result, 'last features').accuracy:.1%}",
    )
    outcome = Outcome(
        network=probe,
        temperature=result.temperature,
        judged=rows[result.judged],
        logits=result.logits,
        history=(),
        candidates=result.candidates,
        decisions=(),
        images_per_second=speed,
    )
    return _Frozen(probe, result, parts, rows, outcome)


def _say_recipe(job: Job, frozen: _Frozen) -> None:
    """Where the data stands in the table of transfer recipes: little or more of it, similar to the source or not.

    Similar: the features that ImageNet was told apart by, the last ones, do as well here as any depth, within one
    standard error.
    """
    last, best = _best_of(frozen.result, "last features"), frozen.result.chosen
    error = (best.accuracy * (1 - best.accuracy) / max(1, len(frozen.outcome.judged))) ** 0.5
    similar, many = last.accuracy >= best.accuracy - error, len(job.data.split.train) >= MANY
    advice = {
        (False, True): "a linear head on the last features",
        (False, False): "a head on the depths that validate best",
        (True, True): "training from the top down",
        (True, False): "training every layer",
    }[many, similar]
    job.note(
        "transfer",
        f"{'more' if many else 'little'} data, {'similar to' if similar else 'different from'} the source, for which "
        f"the usual advice is {advice}",
        f"{len(job.data.split.train):,} training images ({MANY:,} count as more); the last features reach "
        f"{last.accuracy:.1%}, the best depths {best.accuracy:.1%}, one standard error is {error:.1%}",
    )


def _train_upper(job: Job, frozen: _Frozen, budget: float | None) -> Outcome | None:
    """Train the blocks above the cut on cached outputs of those below, which run once per image and view."""
    data, split = job.data, job.data.split
    probe = copy.deepcopy(frozen.probe)
    place = _place_of_cut(job, frozen)
    at = probe.taps[place]
    lower, upper = cut(probe, at)
    views = (False, True) if job.config.train.augment != "none" else (False,)
    maps = [
        outputs(
            lower, f"maps at {at}", data.pixels, frozen.rows, device=job.device, mirrored=mirrored,
            progress=job.console.stage("lower blocks" + (", mirrored" if mirrored else "")),
        )[0]
        for mirrored in views
    ]  # fmt: skip
    parts = [i for i in frozen.result.chosen.parts if i >= place] or [len(probe.taps)]
    spec, head = _softmax_head(job, frozen, parts)
    upper.chosen, upper.head = [i - place for i in parts], head
    n = len(frozen.rows)
    examples = Examples(
        pixels=Stacked(maps),  # type: ignore[arg-type]
        labels=np.tile(data.labels[frozen.rows], len(views)),
        weights=np.tile(data.weights[frozen.rows], len(views)),
        train=np.concatenate([frozen.positions(split.train) + k * n for k in range(len(views))]),
        val=frozen.positions(split.val),
        classes=job.classes,
    )
    how = job.training(upper, batch=32, fine_tuning=True, shape=maps[0].shape[1:])
    how = replace(how, augment="none", mixup=0.0, cutmix=0.0)  # these are maps, not images
    groups = [{"params": [p for p in upper.parameters() if p.requires_grad], "lr": job.rate(fine_tuning=True)}]
    unwatched = replace(job, watch=None)  # the doctor knows pixels and whole networks
    trained = _trained(unwatched, upper, how, groups, "training the upper blocks", budget, examples)
    if trained is None:
        return None
    probe.set_head(parts, spec, upper.head)
    job.note(
        "frozen", f"up to {at}", f"depth {place + 1} of {len(probe.taps)}: features from there on do best on their own"
    )
    return _judged(job, frozen, probe.eval(), *trained)


def _train_all(job: Job, frozen: _Frozen, budget: float | None) -> Outcome | None:
    """Train every layer, deeper ones at smaller rates."""
    probe = copy.deepcopy(frozen.probe)
    spec, head = _softmax_head(job, frozen, list(frozen.result.chosen.parts))
    probe.set_head(frozen.result.chosen.parts, spec, head)
    how = job.training(probe, batch=32, fine_tuning=True, shape=job.data.pixels.array.shape[1:])
    groups = layer_groups(probe, job.rate(fine_tuning=True))
    trained = _trained(job, probe, how, groups, "fine-tuning", budget, None)
    return None if trained is None else _judged(job, frozen, probe, *trained)


def _trained(
    job: Job,
    network: torch.nn.Module,
    how: Training,
    groups: list[dict[str, Any]],
    title: str,
    budget: float | None,
    examples: Examples | None,
) -> tuple[Trained, Training] | None:
    """Train for the epochs asked for, or for those the budget allows; None where it allows none."""
    epochs = job.config.train.epochs
    if epochs is None and budget is not None:
        each = job.decided(f"seconds of {title}", lambda: job.epoch_seconds(network, how, groups, examples))
        epochs = min(30, int(budget // each))
        if epochs < 1:
            job.note(title, "left out", f"one epoch would take {each:.0f} s and {budget:.0f} s of the budget are left")
            return None
        job.note(f"epochs of {title}", str(epochs), f"one takes {each:.1f} s here, and {budget:.0f} s may be spent")
    how = replace(how, epochs=epochs or 5)
    return job.train(network, how, groups, title, examples), how


def _judged(job: Job, frozen: _Frozen, probe: Probe, trained: Trained, how: Training) -> Outcome:
    """The trained network's own belief on the validation images."""
    data, split = job.data, job.data.split
    logits = logits_of(probe, data.pixels.array, split.val, how.batch_size, "cpu").double().numpy()
    return Outcome(
        network=probe,
        temperature=fit_temperature(logits, data.labels[split.val]),
        judged=split.val,
        logits=logits,
        history=trained.history,
        candidates=frozen.outcome.candidates,
        decisions=(),
        images_per_second=trained.images_per_second,
        tuned=True,
        training=how,
    )


def _better(job: Job, before: Outcome, after: Outcome | None, what: str, *, forced: bool) -> Outcome:
    """Of what there was, what training made of it, and both together, the one that does best on the validation images:
    accuracy, and of equals the lower calibrated log loss. forced: what training made of it, however it does.
    """
    if after is None:
        return before
    choices = {"not kept": before, "kept": after, "kept, beside what there was": _together(job, before, after)}
    scores = {word: _score(job, outcome) for word, outcome in choices.items()}
    best = max(scores, key=lambda word: scores[word])
    word = "kept" if forced else best
    old, new, both = (f"{score[0]:.1%}" for score in scores.values())
    job.note(
        f"training {what}",
        word,
        f"validation accuracy {new} against {old} before, and {both} when both answer, which costs their time "
        f"together, on {len(job.data.split.val)} images" + (", as --freeze asks" if word != best else ""),
    )
    chosen = choices[word]
    return replace(chosen, history=chosen.history or after.history, training=after.training)


def _together(job: Job, before: Outcome, after: Outcome) -> Outcome:
    """An ensemble of both, every member with the same say, judged on the validation images."""
    members: list[torch.nn.Module] = []
    temperatures: list[float] = []
    belief = np.zeros((len(job.data.split.val), job.classes))
    for outcome in (before, after):
        network, logits = outcome.network, _val_logits(job, outcome)
        if isinstance(network, Ensemble):
            members += network.members
            temperatures += network.spec["temperatures"]
            belief += len(network.members) * softmax(logits, 1.0)
        else:
            members.append(network)
            temperatures.append(outcome.temperature)
            belief += softmax(logits, outcome.temperature)
    together = np.log(np.maximum(belief / len(members), 1e-30))
    return replace(
        after,
        network=Ensemble.of(members, temperatures),
        temperature=fit_temperature(together, job.data.labels[job.data.split.val]),
        judged=job.data.split.val,
        logits=together,
    )


def _val_logits(job: Job, outcome: Outcome) -> NDArray[np.float64]:
    """Logits of the validation images, in the order of the split."""
    row_of = {int(image): i for i, image in enumerate(outcome.judged)}
    return outcome.logits[[row_of[int(i)] for i in job.data.split.val]]


def _score(job: Job, outcome: Outcome) -> tuple[float, float]:
    """Accuracy and minus the calibrated log loss on the validation images."""
    logits, target = _val_logits(job, outcome), job.data.labels[job.data.split.val]
    return accuracy(target, logits.argmax(1)), -log_loss(target, softmax(logits, outcome.temperature))


def _softmax_head(job: Job, frozen: _Frozen, parts: list[int]) -> tuple[dict[str, Any], torch.nn.Module]:
    """A softmax head on some parts of the features of the training images: where training layers starts from."""
    softmaxes = [c for c in frozen.result.candidates if c.head == "softmax"]
    best = min(softmaxes, key=lambda c: (c.features != frozen.result.chosen.features, c.log_loss))
    return fit_softmax(
        [frozen.parts[i] for i in parts],
        frozen.positions(job.data.split.train),
        Targets(job.data.labels[frozen.rows], job.data.weights[frozen.rows], job.classes),
        best.setting["L2"],
    )


def _place_of_cut(job: Job, frozen: _Frozen) -> int:
    """Number of the tap behind which training begins: the depth whose features do best on their own, the last left out.

    Below it the network's general features are as good as they get; above it they turn to what ImageNet asked.
    """
    taps = len(frozen.probe.taps)
    data, split = job.data, job.data.split
    result = choose_head(
        frozen.parts,
        {str(i): (i,) for i in range(taps)},
        Targets(data.labels[frozen.rows], data.weights[frozen.rows], job.classes),
        [(frozen.positions(split.folds[0][0]), frozen.positions(split.folds[0][1]))],
        frozen.positions(split.development),
        kernels=False,
        progress=job.console.stage("looking for the cut", "candidates"),
    )
    best = [max(c.accuracy for c in result.candidates if c.features == str(i)) for i in range(taps)]
    return int(np.argmax(best[:-1])) if taps > 1 else 0


def layer_groups(probe: Probe, rate: float, decay: float = LAYER_DECAY) -> list[dict[str, Any]]:
    """Parameter groups from the input to the head: each stage learns `decay` times as fast as the next deeper one."""
    stages: list[list[torch.nn.Parameter]] = [[]]
    waiting = list(probe.taps)
    inside = False
    for name, parameter in probe.backbone.named_parameters():
        mine = bool(waiting) and name.startswith(waiting[0] + ".")
        if inside and not mine:  # the tapped stage is over
            waiting.pop(0)
            stages.append([])
            mine = bool(waiting) and name.startswith(waiting[0] + ".")
        inside = mine
        stages[-1].append(parameter)
    stages.append(list(probe.head.parameters()))
    filled = [stage for stage in stages if stage]
    return [{"params": stage, "lr": rate * decay ** (len(filled) - 1 - k)} for k, stage in enumerate(filled)]


def new_probe(recipe: Recipe) -> Probe:
    """The pretrained backbone, tapped at the ends of its stages, still without a head."""
    facts = weight_facts(recipe.model)
    body = headless(recipe.model, len(facts.mean), recipe.img_size, recipe.knobs)
    taps = tap_points(body)
    probe = Probe(
        {
            "kind": "probe",
            "name": recipe.model,
            "img_size": recipe.img_size,
            "knobs": recipe.knobs,
            "input": {"mean": list(facts.mean), "std": list(facts.std), "mode": "fixed"},
            "taps": taps,
            "parts": [len(taps)],
            "head": None,
        }
    )
    load_backbone(probe)
    return probe.eval()


def feature_sets(probe: Probe) -> dict[str, tuple[int, ...]]:
    """The joins of parts worth trying: the last features, all depths, the later stages without the last."""
    n = len(probe.taps)
    sets: dict[str, tuple[int, ...]] = {"last features": (n,)}
    if n >= 2:
        sets["all depths"] = tuple(range(n + 1))
        sets["later stages"] = tuple(range(n // 2 - 1 if n > 2 else 0, n))
    return sets


def _best_of(result: ProbeResult, features: str) -> Candidate:
    """The best candidate on one set of features."""
    return max((c for c in result.candidates if c.features == features), key=lambda c: c.accuracy)
