"""Explanations of predictions: heatmaps, and measures of their faithfulness."""

from clearsight.explanation.explain import (
    GRADIENT_METHODS,
    METHOD_WORDS,
    METHODS,
    Explanation,
    Settings,
    explain,
    methods_of,
    usual_method,
)
from clearsight.explanation.faithfulness import Faithfulness
from clearsight.explanation.results import Explanations

__all__ = [
    "GRADIENT_METHODS",
    "METHODS",
    "METHOD_WORDS",
    "Explanation",
    "Explanations",
    "Faithfulness",
    "Settings",
    "explain",
    "methods_of",
    "usual_method",
]
