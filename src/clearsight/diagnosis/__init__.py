"""Why a run does not learn: vital signs taken while it trains, verdicts with evidence and cure, gradient checks."""

from clearsight.diagnosis.case import Verdict
from clearsight.diagnosis.doctor import Diagnosis, cured, diagnose, examine
from clearsight.diagnosis.gradient_check import GradientCheck, check_gradients
from clearsight.diagnosis.layer_gradients import (
    GradientReport,
    ModuleCheck,
    check_layers,
    check_losses,
    examine_gradients,
    examine_model_gradients,
)
from clearsight.diagnosis.vitals import Vitals

__all__ = [
    "Diagnosis",
    "GradientCheck",
    "GradientReport",
    "ModuleCheck",
    "Verdict",
    "Vitals",
    "check_gradients",
    "check_layers",
    "check_losses",
    "cured",
    "diagnose",
    "examine",
    "examine_gradients",
    "examine_model_gradients",
]
