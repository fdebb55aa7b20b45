"""The options on which class or label is predicted: where mistakes do not all cost the same, and where classes stand in
a tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clearsight.train.option_field import option


@dataclass(frozen=True)
class DecisionConfig:
    """What decides between classes, or whether a label is given; probabilities stay as they are."""

    costs: str | None = option(
        None,
        "CSV or JSON file of misclassification costs, with a row for each true class "
        "and a column for each predicted class (default: equal costs)",
    )
    min_precision: dict[str, float] = option(
        {},
        "precision to guarantee for a class on new images by predicting it "
        "less often, 0 to 1; may be given several times (default: none)",
        shares=True,
    )
    min_recall: dict[str, float] = option(
        {},
        "recall to guarantee for a class on new images by predicting it "
        "more often, 0 to 1; may be given several times (default: none)",
        shares=True,
    )

    hierarchy: str | None = option(
        None,
        "tree of classes, in which a parent is predicted if no class is probable enough: a CSV file with columns class "
        "and parent, or the word `folders` for nested folders or labels such as animal/dog (default: none)",
    )

    def conflicts(self) -> list[str]:
        """Options that exclude each other, and values out of range."""
        found = []
        if self.costs is not None and (self.min_precision or self.min_recall):
            found.append("--costs cannot be combined with --min-precision or --min-recall: drop one")
        if self.hierarchy is not None and (self.costs is not None or self.min_precision or self.min_recall):
            found.append("--hierarchy cannot be combined with --costs, --min-precision or --min-recall: drop one")
        if twice := sorted(set(self.min_precision) & set(self.min_recall)):
            found.append(f"--min-precision and --min-recall for {twice[0]!r} need two different thresholds: drop one")
        for name, share in [*self.min_precision.items(), *self.min_recall.items()]:
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
                found.append(f"the precision or recall for {name!r} must lie in (0, 1), not {share!r}")
        return found


def with_hierarchy(chosen: dict[str, Any]) -> dict[str, Any]:
    """Options by flat name, where --hierarchy and --task hierarchy stand for each other."""
    task = chosen.get("task", "auto")
    if task == "auto" and chosen.get("hierarchy") is not None:
        return {**chosen, "task": "hierarchy"}
    return {"hierarchy": "folders", **chosen} if task == "hierarchy" else chosen
