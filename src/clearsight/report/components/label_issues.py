"""Label issues as cards, for the report of a run and for the result itself."""

from __future__ import annotations

from clearsight.report.components.pieces import CARDS
from clearsight.tasks.sections import Card, Cards
from clearsight.train.label_issues import LabelIssue, LabelIssues
from clearsight.wording import probability


def issue_cards(issues: LabelIssues) -> Cards:
    """The first issues, the least probable label first."""
    return Cards(tuple(map(_card, issues.found[:CARDS])), none="No label issues found.")


def _card(issue: LabelIssue) -> Card:
    return Card(
        issue.index,
        issue.image,
        (
            ("labelled", issue.label),
            ("suggested", issue.suggested),
            (
                f"probabilities {probability(issue.probability_of_label)} and "
                f"{probability(issue.probability_of_suggested)}",
                "",
            ),
        ),
    )
