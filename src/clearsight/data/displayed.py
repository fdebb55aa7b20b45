"""Images of any number of channels as pages can show them: which channels become red, green and blue.

A model or data set names the channels in its form (`PixelFormat.shown`); results keep them beside their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.pixel_format import Header, PixelFormat


def displayed(pixels: NDArray[Any], shown: Sequence[int] = ()) -> NDArray[Any]:
    """The channels of an image that pages show.

    Args:
        pixels: an image (C, H, W).
        shown: positions of the channels, as `PixelFormat.shown` has them; empty for the first three, or the first of
            less than three.

    Returns:
        (1, H, W) for gray, or (3, H, W) for red, green and blue.
    """
    chosen = list(shown or PixelFormat(len(pixels), 8).shown)
    return pixels if chosen == list(range(len(pixels))) else pixels[chosen]


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


def displayed_as_rgb(pixels: NDArray[Any], shown: Sequence[int] = ()) -> NDArray[Any]:
    """As `displayed`, gray repeated to three channels.

    Args:
        pixels: an image (C, H, W).
        shown: as for `displayed`.

    Returns:
        (3, H, W).
    """
    found = displayed(pixels, shown)
    return found if len(found) == 3 else np.repeat(found, 3, axis=0)


def shown_of(pixels: NDArray[Any], form: PixelFormat | None) -> tuple[int, ...]:
    """The channels to show of an image that was not decoded for a model.

    Args:
        pixels: an image (C, H, W).
        form: how the model reads images; None if that is not known.

    Returns:
        The model's choice if the image has as many channels, otherwise empty.
    """
    return form.shown if form is not None and form.channels == len(pixels) else ()
