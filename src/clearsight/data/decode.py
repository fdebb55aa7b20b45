"""What a file may be: an image (`pixels`), or a sound that becomes one (`sound`). Either way (C, H, W) comes out."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.data.formats.limits import TRAINING, Limits
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
from clearsight.data.sound import SUFFIX, check_length, is_sound, sound_header, spectrogram
from clearsight.errors import ImageError

EXTENSIONS = IMAGE_EXTENSIONS | {SUFFIX}
"""Names that are looked at in folders."""


def read_header(content: bytes, name: str) -> Header:
    """As `image_header`, whatever the number of pixels; of a sound, what its image will be."""
    return sound_header(content, name) if is_sound(content, name) else image_header(content, name, None)


def decode(
    content: bytes, name: str, form: PixelFormat, geometry: Geometry, max_pixels: int | None = None,
    limits: Limits = TRAINING,
) -> Pixels:  # fmt: skip
    """As `decode_image`, for sounds too, whose pixels are those of the spectrogram."""
    if not is_sound(content, name):
        return decode_image(content, name, form, geometry, max_pixels, limits)
    header, max_pixels = sound_header(content, name), max_pixels or form.max_pixels
    if header.width * header.height > max_pixels:
        raise ImageError(
            f"{name} is too long to decode",
            found=f"a spectrogram of {header.width * header.height / 1e6:.2g} million pixels",
            expected=f"at most {max_pixels / 1e6:.4g} million",
            fix="split it into shorter files",
        )
    return from_array(spectrogram(content, name), name, form, geometry)


@dataclass(frozen=True)
class DecodeRule:
    """How a model receives a file. media: what it was trained on: images, sounds or both. columns: least and largest
    width of the spectrograms it was trained on, where a sound of very different length is refused.
    """

    form: PixelFormat
    geometry: Geometry
    media: str = "both"
    columns: tuple[int, int] | None = None

    def decode(self, content: bytes, name: str, max_pixels: int | None = None, limits: Limits = TRAINING) -> Pixels:
        """Pixels (C, H, W) of a file; ImageError if it is neither image nor sound, is of the kind that the model was
        not trained on, is a sound of a very different length, or has more parts than the limits allow.
        """
        sound = is_sound(content, name)
        if self.media == ("images" if sound else "sounds"):
            raise ImageError(
                f"the model was trained on {self.media}",
                found=f"{name}, which is {'a sound' if sound else 'not a sound'}",
                expected="images" if sound else "WAV files",
            )  # fmt: skip
        if sound and self.columns and self.geometry.resize_mode == "squash":
            check_length(content, name, self.columns)
        return decode(content, name, self.form, self.geometry, max_pixels, limits)
