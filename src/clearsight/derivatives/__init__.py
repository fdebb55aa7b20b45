"""What derivatives say of a network: the loss around its weights, its largest curvature, how its gradients change from
input to input, and backpropagation through a convolution by hand.

They measure; `report` draws.
"""

from clearsight.derivatives.curvature import Curvature, Rates, largest_curvature, stable_curvature
from clearsight.derivatives.gradient_correlation import GradientCorrelation, correlation_between, gradient_correlation
from clearsight.derivatives.landscape import Landscape, Landscapes, Plane, survey
from clearsight.derivatives.objective import Objective
from clearsight.derivatives.slices import filter_normalised, line, plane

__all__ = [
    "Curvature",
    "GradientCorrelation",
    "Landscape",
    "Landscapes",
    "Objective",
    "Plane",
    "Rates",
    "correlation_between",
    "filter_normalised",
    "gradient_correlation",
    "largest_curvature",
    "line",
    "plane",
    "stable_curvature",
    "survey",
]
