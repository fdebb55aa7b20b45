"""What the page says about the recipe: how the classifier was made, why so, and how training went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from clearsight.models.base import ModelNetwork
from clearsight.models.classical import CLASSIFIERS, DESCRIPTORS
from clearsight.report.components.charts import Curve, interval_bar, learning_curve, range_curve
from clearsight.report.components.search_chart import search_curve
from clearsight.report.preview import Preview, preview
from clearsight.tasks.task import Words
from clearsight.train.ensembling import BOTH
from clearsight.train.fit import Fitted
from clearsight.train.halving import Trial
from clearsight.train.head_search import Candidate
from clearsight.train.observer import Epoch
from clearsight.train.range_test import RangeTest
from clearsight.wording import count, duration, percent, sentence

CANDIDATES = 12
"""Candidates shown at once; the others are folded away."""

QUESTIONS = {
    "network": "Which network is used?",
    "resize mode": "How are images resized to the input size of the network?",
    "epochs": "For how many epochs is the network trained?",
    "stop": "When does training stop?",
    "head": "Which features and which head are used?",
    "scores of the folds": "How much do the scores differ between heads fitted on different folds?",
    "scores of the networks of the folds": "How much do the scores differ between networks trained on different folds?",
    "detector": "How are anomalies detected?",
    "threshold": "Above which score is an image considered an anomaly?",
    "network and size": "Which combination of network and input size is used?",
    "depth of training": "Which layers are trained?",
    "training layers": "Are layers of the network trained?",
    "more time": "How is more time used?",
    "fine-tuning": "Are the pretrained layers fine-tuned?",
}


Row = dict[str, Any]
"""What a row of the page shows, by the names that the template knows."""


@dataclass(frozen=True)
class RecipeSection:
    """How the classifier was made and why so. choices: decisions, as question, answer and reason. candidates: heads.
    trials: networks, sizes and ways of training that were compared. search_chart: accuracy over the head's setting.
    """

    summary: str
    choices: tuple[Row, ...]
    trials: tuple[Row, ...]
    candidates: tuple[Row, ...]
    candidates_folded: tuple[Row, ...]
    search_chart: Markup | None
    loss_chart: Markup | None
    accuracy_chart: Markup | None
    range_chart: Markup | None
    curve_words: str
    preview: Preview | None
    loss_name: str
    words: Words


def recipe_section(fitted: Fitted, seed: int) -> RecipeSection:
    """Collect the section; it has charts where a network was trained by gradient descent.

    seed: decides the preview, which is there where training changed its images.
    """
    ranked = sorted(fitted.candidates, key=lambda c: (-c.accuracy, c.log_loss))
    rows = [_candidate(i + 1, c) for i, c in enumerate(ranked)]
    words = fitted.bundle.task.words_used
    loss_name = f"Loss ({fitted.training.optimization.loss if fitted.training else 'cross-entropy'})"
    titles = loss_name, words.score_curve[0]
    loss_chart, accuracy_chart = _charts(fitted.history, titles) if fitted.history else (None, None)
    return RecipeSection(
        summary=_summary(fitted),
        choices=tuple(
            {
                "question": QUESTIONS.get(d.what, sentence(d.what).rstrip(".")),
                "answer": d.choice,
                "reason": sentence(d.why),
            }
            for d in fitted.decisions
        ),
        trials=tuple(_trial(trial) for trial in fitted.trials),
        candidates=tuple(rows[:CANDIDATES]),
        candidates_folded=tuple(rows[CANDIDATES:]),
        search_chart=search_curve("head-search", fitted.candidates),
        loss_chart=loss_chart,
        accuracy_chart=accuracy_chart,
        range_chart=_range_chart(fitted.range_test),
        curve_words=_curve_words(fitted) if fitted.history else "",
        preview=preview(fitted, seed),
        loss_name=loss_name,
        words=words,
    )


def _summary(fitted: Fitted) -> str:
    name, side = fitted.recipe.model, fitted.recipe.img_size
    size = f"{side}\u00a0×\u00a0{side} pixels"
    if own := fitted.bundle.task.words_used.recipe:
        return own.format(size=size, model=name)
    if fitted.recipe.kind == "scratch":
        return f"A network ({name}) was trained from scratch on these images only, scaled to {size}."
    if fitted.recipe.kind == "classical":
        descriptor, _, classifier = name.partition("+")
        chosen = ", ".join(f"{key} {value}" for key, value in fitted.recipe.model_args.items())
        settings = f" ({chosen})" if chosen else ""
        return (
            f"Each image was scaled to {size} and converted to features: {DESCRIPTORS[descriptor]}{settings}. "
            f"A classifier was then fitted to these features: {CLASSIFIERS[classifier]}. No layers were trained."
        )
    words = (
        f"A network ({name}) pretrained on ImageNet (a million photos of everyday objects) computes features "
        f"of each image, scaled to {size}. Only the head, which maps features to predictions, "
        f"was selected and fitted on these images."
    )
    if fitted.tuned:
        cut = next((d.choice for d in fitted.decisions if d.what == "frozen"), None)
        kept = {d.what for d in fitted.decisions if d.choice.startswith("kept")}
        upper, everything = "training the upper blocks" in kept, "training all layers" in kept
        part = (
            "all weights of the network were" if everything or not upper else f"the weights, except those {cut}, were"
        )
        words += f" Then {part} fine-tuned on these images."
    members = fitted.bundle.network.member_networks
    return f"{words} {_members(members, beside=any(d.choice == BOTH for d in fitted.decisions))}" if members else words


def _members(members: Sequence[ModelNetwork], *, beside: bool) -> str:
    """What an ensemble consists of. beside: what training gave, beside what there was before."""
    trained = members[-1].member_networks if beside else members
    who = f"{len(trained)} fine-tuned networks, each trained without one fold of the images"
    if not trained:
        who = "the fine-tuned network"
    before = "the network before fine-tuning and " if beside else ""
    return f"The model is an ensemble of {before}{who}. The predicted probabilities are averaged."


def _charts(history: Sequence[Epoch], titles: tuple[str, str]) -> tuple[Markup, Markup]:
    epochs = [e.epoch for e in history]
    best = _best(history).epoch
    loss = (
        Curve("training", "train", [e.train_loss for e in history]),
        Curve("validation", "val", [e.val_loss for e in history]),
    )
    right = (
        Curve("training", "train", [e.train_accuracy for e in history]),
        Curve("validation", "val", [e.val_accuracy for e in history]),
    )
    return (
        learning_curve("loss", titles[0], epochs, loss, best, shares=False),
        learning_curve("accuracy", titles[1], epochs, right, best, shares=True),
    )


def _range_chart(test: RangeTest | None) -> Markup | None:
    if test is None:
        return None
    return range_curve("range-test", "Learning rate range test", test.rates, test.losses, test.suggestion)


def _best(history: Sequence[Epoch]) -> Epoch:
    return min(history, key=lambda e: e.val_loss)


def _curve_words(fitted: Fitted) -> str:
    history = fitted.history
    best = _best(history).epoch
    if fitted.recipe.kind == "probe" and not fitted.tuned:
        return (
            "These curves show a fine-tuning run that was discarded because the validation score did not improve. "
            f"Its best epoch was {best}."
        )
    return (
        f"Training took {count(history[-1].epoch, 'epoch')} (passes over the training images) and "
        f"{duration(history[-1].seconds)}. The weights of epoch {best}, with the lowest validation loss, were kept."
    )


def _trial(trial: Trial) -> Row:
    low, high = trial.interval
    return {
        "name": trial.name,
        "images": f"{trial.images:,}",
        "work": f"{trial.work / 1e9:.1f}",
        "accuracy": percent(trial.accuracy),
        "interval": f"{percent(low)} to {percent(high)}",
        "bar": interval_bar(trial.accuracy, trial.interval),
        "log_loss": f"{trial.log_loss:.3f}",
    }


def _candidate(rank: int, candidate: Candidate) -> Row:
    setting = ", ".join(f"{k} {v:g}" for k, v in candidate.setting.items() if not k.startswith("temperature"))
    return {
        "rank": rank,
        "features": candidate.features,
        "head": candidate.head,
        "setting": setting,
        "accuracy": percent(candidate.accuracy),
        "log_loss": f"{candidate.log_loss:.3f}",
    }
