"""Images of any number of channels as pages can show them: which channels become red, green and blue.

The choice is made once, where the form of a data set or model is fixed, and holds for all images of so many channels
that this process shows. It has no influence on anything but pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.pixel_format import Header, PixelFormat

_SHOWN: dict[int, tuple[int, ...]] = {}
"""By number of channels."""


def show_bands(form: PixelFormat) -> None:
    """Show the channels that a form names from now on, in images of as many channels.

    Args:
        form: of a data set or model.
    """
    if form.channels not in (1, 3) or form.bands:
        _SHOWN[form.channels] = form.shown


def displayed(pixels: NDArray[Any]) -> NDArray[Any]:
    """The channels of an image that pages show.

    Args:
        pixels: an image (C, H, W).

    Returns:
        (1, H, W) for gray, or (3, H, W) for red, green and blue.
    """
    channels = len(pixels)
    if channels in (1, 3) and channels not in _SHOWN:
        return pixels
    return pixels[list(_SHOWN.get(channels, PixelFormat(channels, 8).shown))]


def displayed_form(header: Header) -> PixelFormat:
    """The form in which an image is decoded to be shown; `displayed` then picks its channels.

    Args:
        header: of the image.

    Returns:
        A form of 8 bits; RGB for gray and RGB images.
    """
    low, high = header.values or (0.0, 0.0)
    span = (low, high) if high > low else None
    return PixelFormat(3 if header.bands in (1, 3) else header.bands, 8, span)


def displayed_as_rgb(pixels: NDArray[Any]) -> NDArray[Any]:
    """As `displayed`, gray repeated to three channels.

    Args:
        pixels: an image (C, H, W).

    Returns:
        (3, H, W).
    """
    shown = displayed(pixels)
    return shown if len(shown) == 3 else np.repeat(shown, 3, axis=0)
