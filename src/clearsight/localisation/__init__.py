"""Where in an image a class is, by a model that learned class labels alone: boxes, masks, a label for each pixel."""

from clearsight.localisation.detections import Box, Found, Located, Settings
from clearsight.localisation.locate import METHODS, locate
from clearsight.localisation.results import Locations

__all__ = ["METHODS", "Box", "Found", "Located", "Locations", "Settings", "locate"]
