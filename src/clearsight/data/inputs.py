"""Images in whatever form a user has them: `as_images` is the one place where that form is recognised.

    a path, a glob pattern, a folder      image files; a pattern and a folder are expanded, in sorted order
    bytes, an open binary file            the content of an image file
    a PIL image of any mode               as the file it was opened from, or its pixels by the same rules as a file's
    an array (H, W), (H, W, C)            one image
    an array (N, H, W), (N, H, W, C), (N, C, H, W)    N images
    a tensor (H, W), (C, H, W), (H, W, C)   one image: three axes are never a batch, as in PyTorch
    a tensor (N, C, H, W), (N, H, W, C)   N images
    a list, tuple, iterator, pandas Series or object array of these    one image each, sizes may differ
    a PixelView                           images as the network sees them, still in the cache

C is 1 (gray), 3 (RGB) or 4 (RGBA, laid over white); 4 only where channels are last. Pixels are uint8, uint16, or floats
in [0, 1]; floats that are all multiples of 1/255 are the 8-bit image that they come from.

Axes are never guessed. Where the shape has several readings, one is taken only if it alone is possible: it alone gives
the number of images asked for (that of the labels, or one for an item of a list), or it alone has images with sides
above `THIN` pixels or of the network's size. An array (N, C, H, W) of exactly the network's shape is always read so.
Otherwise the error names each reading and how to write it.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.axes import Shape, differ, read_array
from clearsight.data.cached_pixels import PixelView
from clearsight.data.dataset import Files, printable
from clearsight.data.decode import decode, read_header
from clearsight.data.files import image_files, local_path
from clearsight.data.geometry import Geometry
from clearsight.data.packed import PackedImage
from clearsight.data.pixels import (
    Header,
    PixelFormat,
    Pixels,
    decode_pillow,
    digest,
    from_array,
    header_of,
    levels,
    opened_content,
    read_bytes,
    whole_image,
)
from clearsight.errors import DataError, ImageError

ACCEPTED = (
    "a path, a glob pattern, a folder, bytes, an open binary file, a PIL image, an array or tensor, or a list of these"
)


@dataclass(frozen=True)
class ImageInputs:
    """N images with their names; also a `Source` of a data set.

    items: a list of paths, file contents (bytes), PIL images and arrays (C, H, W); or one array (N, C, H, W), a view of
    the array passed; or a `PixelView`. called: names of the items of a list.
    """

    items: Any
    called: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def names(self) -> list[str]:
        """The names of the images.

        Returns:
            The path of each image, or `#i` by its position.
        """
        if self.called is not None:
            return list(self.called)
        return [f"#{i}" for i in (self.items.indices if isinstance(self.items, PixelView) else range(len(self)))]

    def name(self, i: int) -> str:
        """The name of an image.

        Args:
            i: position of the image.

        Returns:
            Its path, or `#i` by its position.
        """
        return self.names[i]

    def single(self) -> ImageInputs:
        """Require a single image.

        Returns:
            These inputs.

        Raises:
            DataError: there are none or several.
        """
        if len(self) != 1:
            raise DataError("exactly one image is needed", found=f"{len(self):,} images", fix="pass a single image")
        return self

    def at(self, i: int) -> ImageInputs:
        """One of the images of a list, under its name.

        Args:
            i: position of the image.

        Returns:
            Inputs of one image.
        """
        return ImageInputs([self.items[i]], (self.names[i],))

    def ready(self, shape: Shape, form: PixelFormat) -> NDArray[Any] | PixelView | None:
        """The images in one array, if they need no decoding.

        Args:
            shape: (C, H, W) of the network.
            form: channels and bits that the network takes.

        Returns:
            Images (N, C, H, W); None if they must be decoded or resized.
        """
        if isinstance(self.items, PixelView):
            return self.items
        return self.items if isinstance(self.items, np.ndarray) and fits(self.items, shape, form) else None

    def content(self, i: int) -> bytes | None:
        """The content of an image file.

        Args:
            i: position of the image.

        Returns:
            The bytes; None for an image given as pixels.

        Raises:
            ImageError: the file cannot be read.
        """
        item = self.items[i]
        if isinstance(item, str | os.PathLike):
            try:
                return read_bytes(local_path(item))
            except ImageError as error:
                raise _unread(item, error) from error
        if isinstance(item, Image.Image):
            return opened_content(item)
        if isinstance(item, PackedImage):
            return item.content()
        return item if isinstance(item, bytes) else None

    def inspect(self, i: int) -> tuple[str, Header, int]:
        """Digest and header of an image.

        Args:
            i: position of the image.

        Returns:
            Digest of the content, header, and size in bytes.

        Raises:
            ImageError: it is not an image.
        """
        item, content = self.items[i], self.content(i)
        if content is not None:
            return digest(content), read_header(content, self.name(i)), len(content)
        if isinstance(item, Image.Image):
            header = header_of(item, b"", self.name(i))
            item = decode_pillow(item, self.name(i), PixelFormat.covering([header]), None)
        else:
            item = levels(item)
            mode, bits = {1: "L", 3: "RGB", 4: "RGB"}.get(len(item), f"{len(item)} channels"), 8 * item.dtype.itemsize
            header = Header(
                item.shape[2], item.shape[1], mode, "array", cast(Any, bits), alpha=len(item) == 4,
                channels=0 if len(item) == 4 else len(item),
            )  # fmt: skip
        pixels = np.ascontiguousarray(item[0] if len(item) == 1 else item)
        return digest(pixels.tobytes() + str(pixels.shape).encode()), header, pixels.nbytes

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        """Decode an image.

        Args:
            i: position of the image.
            form: channels and bits of the result.
            geometry: size of the result, and how the image is resized to it.
            expected: digest that a file must have; "" accepts any.

        Returns:
            Pixels (C, H, W).

        Raises:
            ImageError: the image does not decode.
            DataError: the digest of the file differs from the one expected.
        """
        item = self.items[i]
        if isinstance(item, str | os.PathLike):
            return Files((local_path(item),)).decode(0, form, geometry, expected)
        content = self.content(i)
        if content is not None:
            return decode(content, self.name(i), form, geometry)
        return self._pixels(i, form, geometry)

    def original(self, i: int, form: PixelFormat) -> Pixels:
        """Decode an image at its own size.

        Args:
            i: position of the image.
            form: channels and bits of the result.

        Returns:
            Pixels (C, H, W).
        """
        if isinstance(self.items, PixelView):
            return np.asarray(self.items[i : i + 1][0])
        content = self.content(i)
        return self._pixels(i, form, None) if content is None else whole_image(content, self.name(i), form)

    def _pixels(self, i: int, form: PixelFormat, geometry: Geometry | None) -> Pixels:
        item = self.items[i]
        if isinstance(item, Image.Image):
            return decode_pillow(item, self.name(i), form, geometry)
        return from_array(levels(item), self.name(i), form, geometry or Geometry(*item.shape[1:]))


def as_images(images: Any, *, count: int | None = None, shape: Shape | None = None) -> ImageInputs:
    """Recognise images in any of the forms listed at the top of this module, and name them.

    An array is not copied; an iterator is read to its end, and open files are read. Paths are opened later.

    Args:
        images: the images; `ImageInputs` are returned as they are.
        count: number of images, if known, such as that of the labels; it resolves the order of an array's axes.
        shape: (C, H, W) of the network that will process them.

    Returns:
        The images with their names: paths, file names of PIL images, and `#i` for all others.

    Raises:
        ImageError: one item is not an image.
        DataError: the images are not usable as a whole, or their axes are ambiguous.

    Example:
        >>> as_images([np.zeros((32, 48, 3), np.uint8), Image.new("L", (20, 20))]).names
        ['#0', '#1']
    """
    found = _read(images, count, shape)
    if count is not None and len(found) != count:
        raise differ(len(found), count)
    return found


def _read(images: Any, count: int | None, shape: Shape | None) -> ImageInputs:
    if isinstance(images, ImageInputs):
        return images
    if isinstance(images, PixelView):
        return ImageInputs(images)
    if isinstance(images, str | os.PathLike):
        return _listed(image_files(images))
    if _is_one(images):
        return _listed([images])
    array = _as_array(images)
    if array is not None and array.dtype.kind not in "OUST":
        return ImageInputs(read_array(array, count, shape, tensor=_is_tensor(images)))
    if array is not None and array.ndim != 1:
        raise DataError(
            "an array of this type cannot be read as images", found=f"shape {array.shape}, {array.dtype}",
            expected="a one-dimensional array, or an array of a numeric type",
            fix="write `list(images)`, or `images.astype(np.uint8)` if the elements are pixels",
        )  # fmt: skip
    if array is not None:
        return _listed(array.tolist())
    table = hasattr(images, "columns") and hasattr(images, "iloc")
    if table or not isinstance(images, Iterable) or isinstance(images, Mapping | AbstractSet):
        raise DataError(
            "the input cannot be read as images", found=_described(images), expected=ACCEPTED,
            fix="pass the column of paths or images, such as `frame['image_path']`" if table else None,
        )  # fmt: skip
    return _listed(images)


def _unread(path: Any, error: ImageError) -> ImageError:
    """The error of a path in a list, with advice where it is a folder or a pattern."""
    text = os.fsdecode(path)
    several = glob.has_magic(text) or local_path(text).is_dir()
    fix = "pass a folder or a pattern by itself, not in a list" if several else error.fix
    return ImageError(error.happened, found=error.found, expected=error.expected, fix=fix)


def _is_one(thing: Any) -> bool:
    """Whether this is one image by its type."""
    if isinstance(thing, str | os.PathLike | bytes | bytearray | memoryview | Image.Image):
        return True
    return callable(getattr(thing, "read", None)) and not hasattr(thing, "__array__")


def _listed(images: Iterable[Any]) -> ImageInputs:
    """Images one by one, each of any form."""
    items, names = [], []
    for i, one in enumerate(images):
        item, name = _item(one, f"#{i}")
        if isinstance(images, Iterator) and isinstance(item, Image.Image):
            item = _kept(item, name)
        items.append(item)
        names.append(name)
    if not items:
        raise DataError("there are no images", found="an empty list", expected=ACCEPTED)
    return ImageInputs(items, tuple(names))


def _item(one: Any, name: str) -> tuple[Any, str]:
    """One image of a list as `ImageInputs` keeps it, and its name."""
    if isinstance(one, str | os.PathLike):
        return one, printable(os.fsdecode(one))
    if isinstance(one, PackedImage):
        return one, one.name
    if isinstance(one, Image.Image):
        file = getattr(one, "filename", "")
        return one, printable(os.fsdecode(file)) if file and isinstance(file, str | os.PathLike) else name
    if isinstance(one, bytes | bytearray | memoryview):
        return _not_empty(bytes(one), name, "bytes"), name
    if _is_one(one):
        content, file = one.read(), getattr(one, "name", "")
        name = printable(file) if file and isinstance(file, str) else name
        if not isinstance(content, bytes):
            raise ImageError(f"{name} is open in text mode", expected="bytes", fix='open it with mode "rb"')
        return _not_empty(content, name, "an open file"), name
    array = _as_array(one)
    if array is None or array.dtype.kind in "OUST":
        fix = "convert nested lists of numbers with `np.asarray(images, np.uint8)`" if isinstance(one, list) else None
        raise ImageError(f"{name} is not an image", found=_described(one), expected=ACCEPTED, fix=fix)
    return read_array(array, 1, None, tensor=_is_tensor(one), name=name)[0], name


def _kept(image: Image.Image, name: str) -> Any:
    """A PIL image from an iterator as the content of its file, so that not all need be open at once, or as a copy, as
    the iterator may yield one image again and again at other frames.
    """
    try:
        return opened_content(image) or image.copy()
    except Exception as error:  # Pillow's plug-ins raise many kinds for broken files
        raise ImageError(f"{name} cannot be decoded", found=" ".join(str(error).split())[:120]) from error


def _not_empty(content: bytes, name: str, kind: str) -> bytes:
    if not content:
        fix = "if the file has already been read, rewind it with `.seek(0)`" if kind == "an open file" else None
        raise ImageError(f"{name} is empty", found=f"{kind} without content", expected="an image", fix=fix)
    return content


def _is_tensor(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.Tensor)


def _as_array(thing: Any) -> NDArray[Any] | None:
    """An array, a tensor, or what converts itself to an array, as an array without a copy; None for anything else."""
    if isinstance(thing, np.ndarray):
        return thing
    if _is_tensor(thing):
        try:
            thing = thing.detach().cpu()
            return np.asarray((thing.float() if str(thing.dtype) == "torch.bfloat16" else thing).numpy())
        except (TypeError, RuntimeError) as error:
            raise DataError("this tensor cannot be read", found=str(error)[:120], expected="a dense tensor") from error
    table = hasattr(thing, "columns") and hasattr(thing, "iloc")
    if not hasattr(thing, "__array__") or isinstance(thing, type | np.generic) or table:
        return None
    return np.asarray(thing)


def fits(array: NDArray[Any], shape: Shape, form: PixelFormat) -> bool:
    """Whether images can be passed to the network as they are.

    Args:
        array: images (..., C, H, W).
        shape: (C, H, W) of the network.
        form: channels and bits that the network takes.

    Returns:
        True if the shape is the network's and the type has no more bits than it takes.
    """
    kinds = (np.uint8, np.float32, np.float64) + ((np.uint16,) if form.bits == 16 else ())
    return array.shape[-3:] == shape and array.dtype in kinds


def _described(thing: Any) -> str:
    """A thing in a few words."""
    text = " ".join(repr(thing).split())
    return f"{text[:60]}{'...' * (len(text) > 60)} ({type(thing).__name__})"
