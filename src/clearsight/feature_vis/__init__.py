"""What a network sees: its filters, its maps of an image, what excites its units and classes, what its layers keep."""

from clearsight.feature_vis.class_images import (
    ClassPicture,
    Start,
    class_pictures,
    mean_starts,
    noise_starts,
    unit_pictures,
)
from clearsight.feature_vis.depths import layers_of, named, overview, within_image
from clearsight.feature_vis.filters import Filters, first_filters
from clearsight.feature_vis.gates import BlockGates, ClassGates, class_gates
from clearsight.feature_vis.inversion import Inversion, invert
from clearsight.feature_vis.maps import FeatureMaps, feature_maps
from clearsight.feature_vis.patches import ExcitingPatches, Patch, Peaks, UnitPatches, exciting_patches, search
from clearsight.feature_vis.unit_inputs import Feeder, UnitInputs, checked_node, unit_inputs
from clearsight.feature_vis.visualize import (
    PARTS,
    LayerRow,
    Sample,
    Settings,
    Visualization,
    check,
    layer_rows,
    visualize,
)

__all__ = [
    "PARTS",
    "BlockGates",
    "ClassGates",
    "ClassPicture",
    "ExcitingPatches",
    "FeatureMaps",
    "Feeder",
    "Filters",
    "Inversion",
    "LayerRow",
    "Patch",
    "Peaks",
    "Sample",
    "Settings",
    "Start",
    "UnitInputs",
    "UnitPatches",
    "Visualization",
    "check",
    "checked_node",
    "class_gates",
    "class_pictures",
    "exciting_patches",
    "feature_maps",
    "first_filters",
    "invert",
    "layer_rows",
    "layers_of",
    "mean_starts",
    "named",
    "noise_starts",
    "overview",
    "search",
    "unit_inputs",
    "unit_pictures",
    "visualize",
    "within_image",
]
