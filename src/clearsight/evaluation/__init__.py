"""Judging a predictor: every number and every mistake as frozen results; nothing is drawn here."""

from clearsight.evaluation.classification import ClassScore, Evaluation, Mistake, evaluate
from clearsight.evaluation.limits import LimitsCheck, check_limits
from clearsight.evaluation.paired import Paired, compare_paired, mean_of
from clearsight.evaluation.views import VIEWS, views_of

__all__ = [
    "VIEWS",
    "ClassScore",
    "Evaluation",
    "LimitsCheck",
    "Mistake",
    "Paired",
    "check_limits",
    "compare_paired",
    "evaluate",
    "mean_of",
    "views_of",
]
