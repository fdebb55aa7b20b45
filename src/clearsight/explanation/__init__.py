"""Why an image got its answer: heatmaps, and what says whether to believe them."""

from clearsight.explanation.explain import GRADIENT_METHODS, METHODS, Explanation, Settings, explain, methods_of
from clearsight.explanation.faithfulness import Faithfulness

__all__ = ["GRADIENT_METHODS", "METHODS", "Explanation", "Faithfulness", "Settings", "explain", "methods_of"]
