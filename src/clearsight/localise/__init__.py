"""Where in an image a class is, by a model that learned class labels alone: boxes, masks, a label for each pixel."""

from clearsight.localise.found import Box, Found, Located, Settings
from clearsight.localise.locate import METHODS, locate

__all__ = ["METHODS", "Box", "Found", "Located", "Settings", "locate"]
