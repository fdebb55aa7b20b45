"""Judging a predictor: every number and every mistake as frozen results; nothing is drawn here."""

from clearsight.evaluation.classification import ClassScore, Evaluation, Mistake, evaluate

__all__ = ["ClassScore", "Evaluation", "Mistake", "evaluate"]
