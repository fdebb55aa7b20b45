"""The first look at every image: content digest, header, size in bytes; what cannot be opened is set aside by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cache import Progress, threaded
from clearsight.data.dataset import Dataset
from clearsight.data.formats.conversion import check_size
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import FULL_PIXELS, Header, PixelFormat, PixelOptions, quiet_pillow
from clearsight.data.ranks import each_once
from clearsight.data.sound import RULE
from clearsight.errors import DataError, ImageError


@dataclass(frozen=True)
class Scan:
    """Facts of N images before decoding. Where an image could not be opened, its digest is "" and its header None.

    options: what the user states about the pixels.
    """

    digests: tuple[str, ...]
    headers: tuple[Header | None, ...]
    bytes: NDArray[np.int64]
    failed: dict[int, str]
    options: PixelOptions = field(default_factory=PixelOptions)

    def rows(self, chosen: NDArray[np.int64]) -> Scan:
        """The facts of some of the images.

        Args:
            chosen: their positions (n,).

        Returns:
            A new scan, in which the images have the positions 0 to n - 1.
        """
        old = chosen.tolist()
        return Scan(
            tuple(self.digests[i] for i in old), tuple(self.headers[i] for i in old), self.bytes[chosen],
            {new: self.failed[i] for new, i in enumerate(old) if i in self.failed}, self.options,
        )  # fmt: skip

    @property
    def form(self) -> PixelFormat:
        """The pixel format that holds every readable image without loss."""
        return PixelFormat.covering([h for h in self.headers if h is not None], self.options)

    @property
    def short_side(self) -> int:
        """Median length in pixels of the shorter side."""
        return int(np.median([min(h.width, h.height) for h in self.headers if h is not None]))

    @property
    def all_square(self) -> bool:
        """Whether every image is as wide as high, so that squash, pad and crop are the same."""
        return all(h.width == h.height for h in self.headers if h is not None)

    @property
    def sounds(self) -> bool:
        """Whether any of the images is a sound."""
        return self.media != "images"

    @property
    def media(self) -> str:
        """What the files are: images, sounds or both."""
        heard = {h.format == "WAV" for h in self.headers if h is not None}
        return "both" if len(heard) == 2 else "sounds" if heard == {True} else "images"

    @property
    def columns(self) -> tuple[int, int]:
        """Least and largest width of what sounds become, if there are any."""
        widths = [h.width for h in self.headers if h is not None and h.format == "WAV"]
        return min(widths), max(widths)

    def pixel_facts(self) -> dict[str, object]:
        """Counts of what the files hold, and the rules that apply to them, for the record."""
        known, form = [h for h in self.headers if h is not None], self.form
        shown = ", ".join(str(band + 1) for band in form.shown)
        low, high = form.value_range or (0.0, 1.0)
        rules = {
            "transparent pixels are composited over white": any(h.alpha for h in known),
            "all colour spaces are converted to RGB": any(
                h.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV") for h in known
            ),
            "gray images are expanded to 3 channels": form.channels == 3 and any(h.gray for h in known),
            "8-bit images are converted to 16 bits": form.bits == 16 and any(h.bits == 8 for h in known),
            "EXIF orientation is applied": any(h.oriented for h in known),
            "only the first frame of an animation is used": any(h.frames > 1 for h in known),
            f"channels {shown} of {form.channels} are displayed (--bands shows others)": form.channels not in (1, 3),
            f"values from {low:g} to {high:g} are mapped to 16 bits": form.value_range is not None
            or any(h.values for h in known),
            **{h.rule: True for h in known if h.rule},
            f"images above {FULL_PIXELS // 10**6} million pixels are decoded at a reduced scale": any(
                h.width * h.height > FULL_PIXELS for h in known
            ),
            RULE: self.sounds,
        }
        sides = np.array([(h.width, h.height) for h in known])
        return {
            "modes": dict(Counter(h.mode if h.values else f"{h.mode} {h.bits}-bit" for h in known)),
            "formats": dict(Counter(h.format for h in known)),
            "width": [int(sides[:, 0].min()), int(np.median(sides[:, 0])), int(sides[:, 0].max())],
            "height": [int(sides[:, 1].min()), int(np.median(sides[:, 1])), int(sides[:, 1].max())],
            "channels": form.channels,
            "bits": form.bits,
            "rules": [rule for rule, applies in rules.items() if applies],
        }


def scan(dataset: Dataset, progress: Progress | None = None) -> Scan:
    """Read every image's bytes once; DataError when not one of them is an image."""

    def one(i: int) -> tuple[str, Header, int] | str:
        try:
            found = dataset.source.inspect(i)
            check_size(dataset.source.name(i), found[1].width, found[1].height, dataset.pixels.max_pixels)
            return found
        except ImageError as error:
            return str(error)

    def some(rows: NDArray[np.int64]) -> list[tuple[str, Header, int] | str]:
        read = []
        with quiet_pillow():
            for found in threaded(one, rows.tolist()):
                read.append(found)
                if progress:
                    progress(len(read), len(rows))
        return read

    n = len(dataset)
    digests, size, failed = [""] * n, np.zeros(n, dtype=np.int64), {}
    headers: list[Header | None] = [None] * n
    shared: dict[Header, Header] = {}  # thousands of equal headers are one object
    for i, found in enumerate(each_once(n, some)):
        if isinstance(found, str):
            failed[i] = found
        else:
            digests[i], header, size[i] = found
            headers[i] = shared.setdefault(header, header)
    with quiet_pillow():
        for i, why in _broken(dataset, headers):
            failed[i], digests[i], headers[i], size[i] = why, "", None, 0
    if len(failed) == n:
        raise DataError(
            f"no image in {dataset.origin} can be read",
            found=next(iter(failed.values())),
        )
    return Scan(tuple(digests), tuple(headers), size, failed, dataset.pixels)


def _broken(dataset: Dataset, headers: Sequence[Header | None]) -> Iterator[tuple[int, str]]:
    """Images that have other channels than most and do not decode, and why: the number of channels that all images have
    must not depend on the header of a broken file.
    """
    numbers = Counter(h.bands for h in headers if h is not None)
    if set(numbers) <= {1, 3} or len(numbers) == 1:
        return
    usual = numbers.most_common(1)[0][0]
    for i, header in enumerate(headers):
        if header is None or header.bands == usual or {header.bands, usual} <= {1, 3}:
            continue
        low, high = header.values or (0.0, 1.0)
        form = PixelFormat(header.bands, header.bits, (low, max(high, low + 1)), dataset.pixels.max_pixels)
        try:
            dataset.source.decode(i, form, Geometry(32, 32))
        except ImageError as error:
            yield i, str(error)
