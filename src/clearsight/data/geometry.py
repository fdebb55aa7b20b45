"""How an image of any size meets the network's input size: an explicit choice, recorded in the bundle (rule D6).

squash  the whole image, its two sides scaled separately: nothing is lost, shapes are stretched
pad     the whole image, scaled to fit inside, its border filled with zeros: nothing is lost or stretched
crop    scaled to cover, its centre kept: nothing is stretched, the border of the longer side is lost

Shapes: arrays (H, W, C), uint8 or uint16. Scaling averages over the source (antialiased bicubic).
`exporting.resample` is the same rule as a graph, which a change here must follow.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ResizeMode = Literal["squash", "pad", "crop"]


LARGEST_SIDE = 4096
"""Of the images that a network takes, in pixels."""

OVERSAMPLED = 2
"""Times the working size at which JPEGs are decoded, at least, before they are scaled."""


@dataclass(frozen=True)
class Geometry:
    """Target height and width in pixels, and how to get there."""

    height: int
    width: int
    resize_mode: ResizeMode = "squash"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        return asdict(self)

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Size (width, height) to which an image is scaled before it is padded or cut; at least one pixel a side.

        Args:
            width: width of the image in pixels.
            height: height of the image in pixels.

        Returns:
            Width and height in pixels.
        """
        if self.resize_mode == "squash":
            return self.width, self.height
        pick = min if self.resize_mode == "pad" else max
        factor = pick(self.width / width, self.height / height)
        fitted = round(width * factor), round(height * factor)
        if self.resize_mode == "pad":
            return max(1, min(fitted[0], self.width)), max(1, min(fitted[1], self.height))
        return max(fitted[0], self.width), max(fitted[1], self.height)

    def needed(self, size: tuple[int, int]) -> tuple[int, int]:
        """The smallest size (width, height) at which a JPEG may be decoded; either side may be the long one (EXIF).

        Twice the working size: a JPEG that is decoded at a reduced scale and then scaled by half or less has pixels
        within a level or two of those of the whole image.

        Args:
            size: width and height of the file's image in pixels.

        Returns:
            Width and height in pixels.
        """
        width, height = self.scaled(*size)
        turned = self.scaled(size[1], size[0])
        return OVERSAMPLED * max(width, turned[1]), OVERSAMPLED * max(height, turned[0])

    def apply(self, image: NDArray[Any]) -> NDArray[Any]:
        """Bring (H, W, C) to (self.height, self.width, C), same dtype.

        Args:
            image: array (H, W, C).

        Returns:
            Array (self.height, self.width, C).
        """
        height, width, channels = image.shape
        if (height, width) == (self.height, self.width):
            return image
        if self.resize_mode == "crop":
            return resize(image, self.width, self.height, self._centre(width, height))
        new_width, new_height = self.scaled(width, height)
        image = resize(image, new_width, new_height)
        if self.resize_mode == "squash":
            return image
        framed = np.zeros((self.height, self.width, channels), image.dtype)
        top, left = (self.height - new_height) // 2, (self.width - new_width) // 2
        framed[top : top + new_height, left : left + new_width] = image
        return np.asarray(framed)

    def seen(self, width: int, height: int) -> Box:
        """The part of a (width, height) image that the frame shows, beyond its border where the image is padded.

        Args:
            width: width of the image in pixels.
            height: height of the image in pixels.

        Returns:
            The box in pixels of the image.
        """
        if (height, width) == (self.height, self.width) or self.resize_mode == "squash":
            return 0.0, 0.0, float(width), float(height)
        if self.resize_mode == "crop":
            return self._centre(width, height)
        new_width, new_height = self.scaled(width, height)
        left, top = (self.width - new_width) // 2, (self.height - new_height) // 2
        across, down = width / new_width, height / new_height
        return -left * across, -top * down, (self.width - left) * across, (self.height - top) * down

    def _centre(self, width: int, height: int) -> Box:
        """The part of a (width, height) image that `crop` keeps. It is cut before it is scaled: scaled whole, an image
        of 1 x 60,000 pixels would take gigabytes. Its corner lies on the grid of the scaled pixels."""
        factor = max(self.width / width, self.height / height)
        kept_width, kept_height = min(width, self.width / factor), min(height, self.height / factor)
        left = np.floor((width - kept_width) * factor / 2 + 1e-6) / factor
        top = np.floor((height - kept_height) * factor / 2 + 1e-6) / factor
        return left, top, min(width, left + kept_width), min(height, top + kept_height)


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels, fractions allowed."""


def resize(image: NDArray[Any], width: int, height: int, box: Box | None = None) -> NDArray[Any]:
    """Scale (H, W, C) uint8 or uint16, or the box of it, to (height, width, C) by antialiased bicubic interpolation.

    Width first, then height, 8-bit values rounded between: Pillow's versions differ in which comes first, and pixels
    must not follow from a version, nor differ from those of an exported graph.

    Args:
        image: array (H, W, C), uint8 or uint16.
        width: new width in pixels.
        height: new height in pixels.
        box: part of the image to scale, in pixels; None takes all.

    Returns:
        Array (height, width, C), same dtype.
    """
    whole = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
    if image.shape[:2] == (height, width) and box in (None, whole):
        return image
    left, top, right, bottom = box or whole
    how, rows = Image.Resampling.BICUBIC, image.shape[0]

    def scaled(plane: NDArray[Any]) -> NDArray[Any]:
        wide = Image.fromarray(plane).resize((width, rows), how, (left, 0, right, rows))
        return np.asarray(wide.resize((width, height), how, (0, top, width, bottom)))

    if image.dtype == np.uint8:
        if image.shape[2] == 3:
            return scaled(image)
        return np.stack([scaled(image[:, :, c]) for c in range(image.shape[2])], axis=2)
    deep = [  # Pillow scales 16-bit integers by nearest neighbour only, so go through floats
        scaled(image[:, :, c].astype(np.float32)) for c in range(image.shape[2])
    ]
    return np.asarray(np.clip(np.rint(np.stack(deep, axis=2)), 0, 65535).astype(np.uint16))
