"""What derivatives say of a network: the loss around its weights, its largest curvature, how its gradients change from
input to input, and backpropagation through a convolution by hand.

They measure; `report` draws.
"""

from clearsight.derivatives.curvature import Curvature, Rates, largest_curvature, stable_curvature
from clearsight.derivatives.gradient_correlation import Shattered, shattered, shattered_between
from clearsight.derivatives.landscape import Landscape, Plane, survey
from clearsight.derivatives.objective import Objective
from clearsight.derivatives.slices import filter_normalised, line, plane

__all__ = [
    "Curvature",
    "Landscape",
    "Objective",
    "Plane",
    "Rates",
    "Shattered",
    "filter_normalised",
    "largest_curvature",
    "line",
    "plane",
    "shattered",
    "shattered_between",
    "stable_curvature",
    "survey",
]
