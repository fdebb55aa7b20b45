"""What the page says about the health of the training: verdicts with their evidence, gradients by depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from clearsight.diagnosis import Diagnosis, Verdict
from clearsight.report.components.charts import depth_curve
from clearsight.wording import count, percent, sentence

Card = dict[str, Any]
"""A verdict by the names that the template knows: its evidence as (name, number) pairs, its command empty where no
option fixes it.
"""


@dataclass(frozen=True)
class DoctorSection:
    """The doctor's word on the training."""

    summary: str
    verdicts: tuple[Card, ...]
    facts: tuple[tuple[str, str], ...]
    gradient_chart: Markup | None


def doctor_section(diagnosis: Diagnosis | None) -> DoctorSection | None:
    """Collect the section; None where no network was trained by gradient descent."""
    if diagnosis is None:
        return None
    return DoctorSection(
        summary=_summary(diagnosis),
        verdicts=tuple(map(_card, diagnosis.verdicts)),
        facts=tuple(_facts(diagnosis)),
        gradient_chart=depth_curve("gradients", "Gradient by depth", diagnosis.layers, diagnosis.gradients)
        if len(diagnosis.layers) > 1 and len(diagnosis.gradients) == 2
        else None,
    )


def _summary(diagnosis: Diagnosis) -> str:
    if diagnosis.healthy:
        return (
            f"Activations, gradients, updates, losses and loading times "
            f"were monitored during training. Result: {diagnosis.summary}."
        )
    faults = sum(v.severity == "fault" for v in diagnosis.verdicts)
    warnings = len(diagnosis.verdicts) - faults
    parts = [count(n, thing) for n, thing in ((faults, "fault"), (warnings, "warning")) if n]
    return (
        "Activations, gradients, updates, losses and loading times were monitored during training. "
        f"Result: {' and '.join(parts)}."
    )


def _card(verdict: Verdict) -> Card:
    known = {name: value for name, value in verdict.evidence.items() if _known(value)}
    return {
        "title": sentence(verdict.name.replace("-", " ")).rstrip("."),
        "severity": verdict.severity,
        "words": verdict.words,
        "evidence": [(name.replace("_", " "), _number(value)) for name, value in known.items()],
        "fix": sentence(verdict.fix),
        "command": verdict.command if verdict.options else "",
    }


def _facts(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    facts = diagnosis.facts
    found = [("Steps", f"{facts['steps']:,.0f} ({facts['steps_looked_at']:.0f} examined in detail)")]
    if _known(facts["end_loss"]):
        found.append(
            (
                "Loss",
                f"{_number(facts['end_loss'])} at the end; {_number(facts['loss_of_chance'])} at chance level",
            )
        )
    if _known(facts["update_to_weight"]):
        found.append(
            ("Update-to-weight ratio", f"{_number(facts['update_to_weight'])} per step; about 0.001 is typical")
        )
    if _known(facts["wait_share"]):
        found.append(("Time spent waiting for images", percent(facts["wait_share"])))
    return found


def _known(value: float | None) -> bool:
    return value is not None and value == value and abs(value) != float("inf")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
