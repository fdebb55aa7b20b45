"""Evaluating a finished model beyond its task's own metrics; nothing is drawn here."""

from clearsight.evaluation.localisation import LocalisationEvaluation, evaluate_boxes
from clearsight.evaluation.ood import OODCheck, check_ood
from clearsight.evaluation.paired import ModelComparison, Paired, compare_paired, mean_of
from clearsight.evaluation.views import VIEWS, views_of

__all__ = [
    "VIEWS",
    "LocalisationEvaluation",
    "ModelComparison",
    "OODCheck",
    "Paired",
    "check_ood",
    "compare_paired",
    "evaluate_boxes",
    "mean_of",
    "views_of",
]
