"""What an attack found: robust accuracy against epsilon, and images made from noise that fool the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clearsight.attacks.curve import AttackCurve
from clearsight.attacks.fooling import Fooling
from clearsight.attacks.single import Attacked
from clearsight.result import Result
from clearsight.wording import count, percent, probability


@dataclass(frozen=True, repr=False)
class AttackReport(Result):
    """Robust accuracy against epsilon, and fooling images; None if not requested. single: a single adversarial image,
    with its predictions before and after; its own prediction is taken as the true class.
    """

    curve: AttackCurve
    fooling: Fooling | None = None
    single: tuple[Attacked, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pixels."""
        fooling, flagged = self.fooling, None
        sure = dict(zip(fooling.classes, fooling.probabilities.tolist(), strict=True)) if fooling else None
        if fooling and fooling.is_ood is not None:
            flagged = dict(zip(fooling.classes, fooling.is_ood.tolist(), strict=True))
        single = {"single": [_numbers(one) for one in self.single]} if self.single else {}
        return {**self.curve.to_dict(), **single, "fooling": sure, "fooling_is_ood": flagged}

    def text(self) -> str:
        """A line for each epsilon, and how many classes were fooled."""
        found, fooling = self.curve, self.fooling
        towards = f", target class {found.target}" if found.target else ""
        lines = [f"{count(found.images, 'image')}, {found.method}, {found.norm} norm{towards}"]
        if self.single:
            before = self.single[0].before
            lines.append(f"  original image   {before.label} {probability(before.probability)}")
            lines += [
                f"  epsilon {one.epsilon:<7g} {one.after.label} {probability(one.after.probability)}"
                + ("" if one.after.label == before.label else "  prediction changed")
                for one in self.single
            ]
        for p in () if self.single else found.points:
            low, high = p.interval
            reached = "" if p.reached is None else f", {percent(p.reached)} predicted as {found.target}"
            lines.append(
                f"  epsilon {p.epsilon:<7g} accuracy {percent(p.accuracy)} ({percent(low)} to {percent(high)}){reached}"
            )
        if found.engine_difference is not None:
            lines.append(
                "  gradients are computed with the PyTorch network; its logits differ by at most "
                f"{found.engine_difference:.1g} from those of the inference engine"
            )
        if fooling:
            fooled = fooling.fooled
            caught = "" if fooling.is_ood is None else f"; flagged as OOD: {fooling.is_ood[fooled].sum()}"
            lines.append(
                f"fooling images with a probability of at least 99 %: for {fooled.sum()} of "
                f"{len(fooling.classes)} classes{caught}"
            )
        return "\n".join(lines)


def _numbers(one: Attacked) -> dict[str, Any]:
    """One attack on one image as plain values."""
    return {
        "epsilon": one.epsilon, "before": one.before.label, "probability_before": one.before.probability,
        "after": one.after.label, "probability_after": one.after.probability, "largest_change": one.largest,
        "length_of_change": one.length,
    }  # fmt: skip
