"""Which of the images that an evaluation was given were scored, and what became of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clearsight.data.unreadable import unreadable_words


@dataclass(frozen=True)
class ImageCounts:
    """Counts of images.

    given: images of the data. scored: those evaluated. training, validation: those that the model was trained or
    validated on, by content; left out unless `training_included`. own_split: the data is that of the model's own run.
    unreadable: names of images that cannot be decoded. unreadable_classes: their number by class. unlabelled: without
    a target. other_split: outside the test split that the data states. unlisted: in the run's own data, but not in its
    split. missing: test images of the run that are no longer in its data. relabelled: scored images whose target is
    another than in training. overlap_checked: whether the model's training images are known.
    """

    given: int = 0
    scored: int = 0
    training: int = 0
    validation: int = 0
    training_included: bool = False
    own_split: bool = False
    unreadable: tuple[str, ...] = ()
    unreadable_classes: Mapping[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    other_split: int = 0
    unlisted: int = 0
    missing: int = 0
    relabelled: int = 0
    overlap_checked: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "unreadable": list(self.unreadable)}

    def lines(self, thing: str = "image") -> list[str]:
        """A line for each count that is not zero; none where all images were scored. thing: image or sound."""

        def of(n: int, what: str) -> str:
            return f"{n} {thing}{'' if n == 1 else 's'} {what}"

        found = []
        seen = self.training + self.validation
        if seen and (self.training_included or not self.own_split):
            kinds = " and ".join(
                f"{n} {name}" for n, name in ((self.training, "training"), (self.validation, "validation")) if n
            )
            done = "scored as requested, so the scores are too optimistic" if self.training_included else "excluded"
            found.append(f"{kinds} {thing}{'' if seen == 1 else 's'} of this model, recognised by content: {done}")
        if self.unreadable:
            found.append(f"error: {unreadable_words(self.unreadable, self.unreadable_classes, thing)}")
        if self.unlabelled:
            found.append(of(self.unlabelled, "without a label, not scored"))
        if self.other_split:
            found.append(of(self.other_split, "outside the test split of the data, not scored"))
        if self.unlisted:
            found.append(
                of(self.unlisted, "not in the split of this run, not scored; pass the data explicitly to score them")
            )
        if self.missing:
            found.append(of(self.missing, "of the test split can no longer be found"))
        if self.relabelled:
            found.append(of(self.relabelled, "scored with a label that differs from the one in training"))
        if not self.overlap_checked:
            found.append(f"overlap with the training {thing}s could not be checked, because the model has no split.csv")
        return found
