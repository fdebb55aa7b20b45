"""Evaluating a finished model beyond its task's own metrics; nothing is drawn here."""

from clearsight.evaluation.localisation import LocalisationEvaluation, evaluate_boxes
from clearsight.evaluation.ood import OODCheck, check_ood
from clearsight.evaluation.paired import ModelComparison, Paired, compare_paired, mean_of
from clearsight.evaluation.tta import AUGMENTATIONS, tta_functions

__all__ = [
    "AUGMENTATIONS",
    "LocalisationEvaluation",
    "ModelComparison",
    "OODCheck",
    "Paired",
    "check_ood",
    "compare_paired",
    "evaluate_boxes",
    "mean_of",
    "tta_functions",
]
