"""Why a run does not learn: vital signs taken while it trains, verdicts with evidence and cure, gradient checks."""

from clearsight.diagnose.case import Verdict
from clearsight.diagnose.doctor import Diagnosis, cured, diagnose, examine
from clearsight.diagnose.gradient_check import GradientCheck, check_gradients
from clearsight.diagnose.vitals import Vitals

__all__ = ["Diagnosis", "GradientCheck", "Verdict", "Vitals", "check_gradients", "cured", "diagnose", "examine"]
