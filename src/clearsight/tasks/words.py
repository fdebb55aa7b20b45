"""The words for a task in messages and reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The words for a task in messages and reports.

    data: what data of the task holds. names: what the names are, one and several. group: what images are spread over.
    score_curve: title of the second learning curve, and its meaning. head_scores: titles of the two scores of heads.
    head_choice: how the best head was chosen. issues: the text on label issues, with {n} of them, {thing} and
    plural {s}; issues_meaning: what they are. recipe: how a model comes about, with {model} and {size} of the images,
    where that is not by training a network or a head. evidence: what faithfulness curves show.
    """

    data: str
    names: tuple[str, str]
    group: str = "range"
    score_curve: tuple[str, str] = ("Negative loss", "the second curve is the negative loss")
    head_scores: tuple[str, str] = ("Explained", "Squared error")
    issues: str = "{n} label{s} may be wrong"
    issues_meaning: str = (
        "Each label is compared with the predictions of models that were not trained on its image. Wrong labels "
        "contradict even confident predictions, whereas correct labels of difficult images do so only as often as "
        "the predicted probabilities imply. The labels were used unchanged in training."
    )
    evidence: str = "probability"
    head_choice: str = "The combination with the lowest squared error, which explains the most variance, was chosen."
    recipe: str = ""
