"""What a file may be: an image (`pixels`), or a sound that becomes one (`sound`). Either way (C, H, W) comes out."""

from __future__ import annotations

from clearsight.data import pixels
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import Header, PixelFormat, Pixels, from_array
from clearsight.data.sound import SUFFIX, is_sound, sound_header, spectrogram

EXTENSIONS = pixels.EXTENSIONS | {SUFFIX}
"""Names that are looked at in folders."""


def read_header(content: bytes, name: str) -> Header:
    """As `pixels.read_header`; of a sound, what its image will be."""
    return sound_header(content, name) if is_sound(content, name) else pixels.read_header(content, name)


def decode(content: bytes, name: str, form: PixelFormat, geometry: Geometry) -> Pixels:
    """As `pixels.decode`, for sounds too."""
    if is_sound(content, name):
        return from_array(spectrogram(content, name), name, form, geometry)
    return pixels.decode(content, name, form, geometry)
