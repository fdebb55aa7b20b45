"""Images in larger files: members of tar shards, and images copied out of Parquet files into one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import changed
from clearsight.data.decode import decode, read_header
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import Header, PixelFormat, Pixels, digest
from clearsight.errors import ImageError


@dataclass(frozen=True)
class Packed:
    """N images in files that hold many.

    files: paths of these. file (N,): which of them an image is in. start, size (N,): its place there, in bytes. names
    (N,): of the images.
    """

    files: tuple[Path, ...]
    file: NDArray[np.int64]
    start: NDArray[np.int64]
    size: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """The name of an image.

        Args:
            i: position of the image.

        Returns:
            Its name in the file that it is in.
        """
        return self.names[i]

    def content(self, i: int) -> bytes:
        """The bytes of an image file.

        Args:
            i: position of the image.

        Returns:
            Its content.

        Raises:
            ImageError: it is empty, or the file that it is in is shorter than it was.
        """
        path, size = self.files[int(self.file[i])], int(self.size[i])
        try:
            with path.open("rb") as stream:
                stream.seek(int(self.start[i]))
                content = stream.read(size)
        except OSError as error:
            raise ImageError(f"{self.names[i]} cannot be read from {path}", found=error.strerror) from error
        if len(content) != size:
            raise ImageError(f"{self.names[i]} cannot be read from {path}", found="a truncated file")
        if not content:
            raise ImageError(f"{self.names[i]} is empty", found="0 bytes", expected="an image")
        return content

    def inspect(self, i: int) -> tuple[str, Header, int]:
        """Digest and header of an image, without decoding its pixels.

        Args:
            i: position of the image.

        Returns:
            Digest of the content, header, and size in bytes.
        """
        content = self.content(i)
        return digest(content), read_header(content, self.name(i)), len(content)

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        """Decode an image.

        Args:
            i: position of the image.
            form: channels and bits of the result.
            geometry: size of the result, and how the image is resized to it.
            expected: digest that the content must have; "" accepts any.

        Returns:
            Pixels (C, H, W).

        Raises:
            DataError: the digest differs from the one expected.
        """
        content = self.content(i)
        if expected and digest(content) != expected:
            raise changed(self.name(i), "different content")
        return decode(content, self.name(i), form, geometry)


@dataclass(frozen=True)
class PackedImage:
    """One of the images of `source`, at position `i`."""

    source: Packed
    i: int

    @property
    def name(self) -> str:
        """Its name.

        Returns:
            As `Packed.name`.
        """
        return self.source.name(self.i)

    def content(self) -> bytes:
        """The bytes of the image file.

        Returns:
            As `Packed.content`.
        """
        return self.source.content(self.i)
