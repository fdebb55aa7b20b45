"""Judging a predictor: every number and every mistake as frozen results; nothing is drawn here."""

from clearsight.evaluation.anomaly import AnomalyEvaluation
from clearsight.evaluation.answers import AnswersEvaluation, evaluate_answers
from clearsight.evaluation.classification import ClassScore, Evaluation, Mistake, evaluate
from clearsight.evaluation.labels import LabelsEvaluation
from clearsight.evaluation.limits import OODCheck, check_ood
from clearsight.evaluation.localisation import LocalisationEvaluation, evaluate_boxes
from clearsight.evaluation.numbers import NumbersEvaluation
from clearsight.evaluation.paired import Paired, compare_paired, mean_of
from clearsight.evaluation.views import VIEWS, views_of

__all__ = [
    "VIEWS",
    "AnomalyEvaluation",
    "AnswersEvaluation",
    "ClassScore",
    "Evaluation",
    "LabelsEvaluation",
    "LocalisationEvaluation",
    "Mistake",
    "NumbersEvaluation",
    "OODCheck",
    "Paired",
    "check_ood",
    "compare_paired",
    "evaluate",
    "evaluate_answers",
    "evaluate_boxes",
    "mean_of",
    "views_of",
]
