"""What a file may be: an image (`pixels`), or a sound that becomes one (`sound`). Either way (C, H, W) comes out."""

from __future__ import annotations

from clearsight.data.geometry import Geometry
from clearsight.data.pixels import (
    IMAGE_EXTENSIONS,
    Header,
    PixelFormat,
    Pixels,
    decode_image,
    from_array,
    image_header,
)
from clearsight.data.sound import SUFFIX, is_sound, sound_header, spectrogram

EXTENSIONS = IMAGE_EXTENSIONS | {SUFFIX}
"""Names that are looked at in folders."""


def read_header(content: bytes, name: str) -> Header:
    """As `image_header`; of a sound, what its image will be."""
    return sound_header(content, name) if is_sound(content, name) else image_header(content, name)


def decode(content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """As `decode_image`, for sounds too."""
    if is_sound(content, name):
        return from_array(spectrogram(content, name), name, form, geometry)
    return decode_image(content, name, form, geometry)
