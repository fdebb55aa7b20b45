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
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.cached_pixels import PixelView
from clearsight.data.dataset import Files, printable
from clearsight.data.decode import decode, read_header
from clearsight.data.files import image_files, local_path
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import (
    Header,
    PixelFormat,
    Pixels,
    decode_pillow,
    digest,
    from_array,
    levels,
    opened_content,
    pillow_header,
    read_bytes,
    whole_image,
)
from clearsight.errors import DataError, ImageError

Shape = tuple[int, int, int]
"""(C, H, W)"""

THIN = 4
"""Pixels a side up to which a reading of an array's axes gives way to one with larger images."""

ACCEPTED = (
    "a path, a glob pattern, a folder, bytes, an open binary file, a PIL image, an array or tensor, or a list of these"
)
SHAPES = "(H, W), (H, W, C), (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or 4 where they are last"
RANGES = "uint8 (0 to 255), uint16 (0 to 65535) or floats in [0, 1]"


@dataclass(frozen=True)
class ImageInputs:
    """N images and what to call each; a `Source` of a data set too.

    items: a list of paths, contents of files (bytes), PIL images and arrays (C, H, W); or one array (N, C, H, W), a
    view of what was passed; or a `PixelView`. called: the names of a list's items.
    """

    items: Any
    called: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def names(self) -> list[str]:
        """What to call each image: its path, or `#i` by its position."""
        if self.called is not None:
            return list(self.called)
        return [f"#{i}" for i in (self.items.indices if isinstance(self.items, PixelView) else range(len(self)))]

    def name(self, i: int) -> str:
        return self.names[i]

    def single(self) -> ImageInputs:
        """These inputs, if they are one image; DataError otherwise."""
        if len(self) != 1:
            raise DataError("one image is asked for here", found=f"{len(self):,} images", fix="pass one of them")
        return self

    def ready(self, shape: Shape, form: PixelFormat) -> NDArray[Any] | PixelView | None:
        """The images in one piece where they need no decoding: (N, C, H, W) of the network's shape; None elsewhere."""
        if isinstance(self.items, PixelView):
            return self.items
        return self.items if isinstance(self.items, np.ndarray) and fits(self.items, shape, form) else None

    def content(self, i: int) -> bytes | None:
        """The content of image i as a file; None where it is pixels. ImageError for a file that cannot be read."""
        item = self.items[i]
        if isinstance(item, str | os.PathLike):
            try:
                return read_bytes(local_path(item))
            except ImageError as error:
                raise _unread(item, error) from error
        if isinstance(item, Image.Image):
            return opened_content(item)
        return item if isinstance(item, bytes) else None

    def inspect(self, i: int) -> tuple[str, Header, int]:
        """(digest of the content, header, size in bytes) of image i; ImageError for what is not an image."""
        item, content = self.items[i], self.content(i)
        if content is not None:
            return digest(content), read_header(content, self.name(i)), len(content)
        if isinstance(item, Image.Image):
            header = pillow_header(item, self.name(i))
            item = decode_pillow(item, self.name(i), PixelFormat.covering([header]), None)
        else:
            item = levels(item)
            mode, bits = ("L" if len(item) == 1 else "RGB"), 8 * item.dtype.itemsize
            header = Header(item.shape[2], item.shape[1], mode, "array", cast(Any, bits), alpha=len(item) == 4)
        pixels = np.ascontiguousarray(item[0] if len(item) == 1 else item)
        return digest(pixels.tobytes() + str(pixels.shape).encode()), header, pixels.nbytes

    def decode(self, i: int, form: PixelFormat, geometry: Geometry, expected: str = "") -> Pixels:
        """Image i as (C, H, W) at the geometry's size; ImageError for what does not decode, DataError for a file whose
        digest is no longer the one expected.
        """
        item = self.items[i]
        if isinstance(item, str | os.PathLike):
            return Files((local_path(item),)).decode(0, form, geometry, expected)
        content = self.content(i)
        if content is not None:
            return decode(content, self.name(i), form, geometry)
        return self._pixels(i, form, geometry)

    def original(self, i: int, form: PixelFormat) -> Pixels:
        """Image i as (C, H, W) at its own size."""
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
    """Recognise images in any of the forms that the module's text lists, and name them.

    An array is not copied; an iterator is read to its end, and open files are read. Paths are opened later.

    Args:
        images: the images. `ImageInputs` are returned as they are.
        count: number of images, which is that of the labels: it resolves the order of an array's axes.
        shape: (C, H, W) of the network that is to see them.

    Returns:
        The images with their names: paths, the file names of PIL images, and `#i` for all others.

    Raises:
        ImageError: one item is not an image. DataError: the images are not usable as a whole, or could mean several
        things.

    Example:
        >>> as_images([np.zeros((32, 48, 3), np.uint8), Image.new("L", (20, 20))]).names
        ['#0', '#1']
    """
    found = _read(images, count, shape)
    if count is not None and len(found) != count:
        raise _differ(len(found), count)
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
        return ImageInputs(_read_array(array, count, shape, tensor=_is_tensor(images)))
    if array is not None and array.ndim != 1:
        raise DataError(
            "an array of objects holds no list of images", found=f"shape {array.shape}, {array.dtype}",
            expected="one axis, or numbers", fix="write `list(images)`, or `images.astype(np.uint8)` for pixels",
        )  # fmt: skip
    if array is not None:
        return _listed(array.tolist())
    table = hasattr(images, "columns") and hasattr(images, "iloc")
    if table or not isinstance(images, Iterable) or isinstance(images, Mapping | AbstractSet):
        raise DataError(
            "these are not images", found=_described(images), expected=ACCEPTED,
            fix="pass its column of paths or images, such as `frame['image_path']`" if table else None,
        )  # fmt: skip
    return _listed(images)


def _unread(path: Any, error: ImageError) -> ImageError:
    """The error of a path in a list, with advice where it is a folder or a pattern."""
    text = os.fsdecode(path)
    several = glob.has_magic(text) or local_path(text).is_dir()
    fix = "pass a folder or a pattern alone, not in a list" if several else error.fix
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
        raise DataError("there are no images", found="nothing in the list", expected=ACCEPTED)
    return ImageInputs(items, tuple(names))


def _item(one: Any, name: str) -> tuple[Any, str]:
    """One image of a list as `ImageInputs` keeps it, and its name."""
    if isinstance(one, str | os.PathLike):
        return one, printable(os.fsdecode(one))
    if isinstance(one, Image.Image):
        file = getattr(one, "filename", "")
        return one, printable(os.fsdecode(file)) if file and isinstance(file, str | os.PathLike) else name
    if isinstance(one, bytes | bytearray | memoryview):
        return _not_empty(bytes(one), name, "bytes"), name
    if _is_one(one):
        content, file = one.read(), getattr(one, "name", "")
        name = printable(file) if file and isinstance(file, str) else name
        if not isinstance(content, bytes):
            raise ImageError(f"{name} is open as text", expected="bytes", fix='open it with mode "rb"')
        return _not_empty(content, name, "an open file"), name
    array = _as_array(one)
    if array is None or array.dtype.kind in "OUST":
        fix = "convert nested lists of numbers with `np.asarray(images, np.uint8)`" if isinstance(one, list) else None
        raise ImageError(f"{name} is not an image", found=_described(one), expected=ACCEPTED, fix=fix)
    return _read_array(array, 1, None, tensor=_is_tensor(one), name=name)[0], name


def _kept(image: Image.Image, name: str) -> Any:
    """A PIL image from an iterator as the content of its file, so that not all need be open at once, or as a copy, as
    the iterator may yield one image again and again at other frames.
    """
    try:
        return opened_content(image) or image.copy()
    except Exception as error:  # Pillow's plug-ins raise many kinds for broken files
        raise ImageError(f"{name} does not decode", found=" ".join(str(error).split())[:120]) from error


def _not_empty(content: bytes, name: str, kind: str) -> bytes:
    if not content:
        fix = "rewind it with `.seek(0)` if it was read before" if kind == "an open file" else None
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


@dataclass(frozen=True)
class _Reading:
    """What an array may mean. images (N, C, H, W): a view of it. axes: orders of its axes that may leave only this
    reading; None says that a list of the gray images does.
    """

    words: str
    images: NDArray[Any]
    axes: tuple[tuple[int, ...], ...] | None = None

    @property
    def pixels(self) -> tuple[Any, ...]:
        """Which numbers of the array are which pixels: equal for readings that are the same images."""
        used = zip(self.images.shape, self.images.strides, strict=True)
        return self.images.shape, tuple(stride for length, stride in used if length > 1)

    def large(self, shape: Shape | None) -> bool:
        height, width = self.images.shape[2:]
        return min(height, width) > THIN or (shape is not None and (height, width) == shape[1:])


def _readings(array: NDArray[Any]) -> list[_Reading]:
    """All that the shape of an array of 2 to 4 axes may mean."""
    found: list[tuple[str, NDArray[Any], tuple[tuple[int, ...], ...] | None]] = []
    if array.ndim == 2:
        found.append(("", array[None, None], None))
    if array.ndim == 3:
        found.append(("", array[:, None], None))
        if array.shape[2] in (1, 3, 4):
            found.append((", channels last", array.transpose(2, 0, 1)[None], ((0, 1, 2), (2, 0, 1))))
        if array.shape[0] == 3:  # of one channel it is the batch of one gray image above
            found.append((", channels first", array[None], ((0, 1, 2), (1, 2, 0))))
    if array.ndim == 4:
        if array.shape[1] in (1, 3):
            found.append((", channels first", array, ((0, 2, 3, 1),)))
        if array.shape[3] in (1, 3, 4):
            found.append((", channels last", array.transpose(0, 3, 1, 2), ((0, 3, 1, 2),)))
    kinds = {1: "gray", 3: "RGB", 4: "RGBA"}
    return [
        _Reading(
            f"{len(images)} {kinds[images.shape[1]]} image{'s' * (len(images) != 1)} of height {images.shape[2]} and "
            f"width {images.shape[3]}{layout}", images, axes,
        )
        for layout, images, axes in found
    ]  # fmt: skip


def _possible(array: NDArray[Any], count: int | None, shape: Shape | None, tensor: bool) -> list[_Reading]:
    """The readings of an array that nothing rules out."""
    if shape is not None and array.ndim == 4 and array.shape[1:] == shape:
        return _readings(array)[:1]
    found = _readings(array)
    if tensor and array.ndim == 3 and count is None and len(array) != 1:
        found = found[1:]  # three axes of a tensor are one image
    if count is not None:
        found = [reading for reading in found if len(reading.images) == count]
    found = [reading for reading in found if reading.large(shape)] or found
    return list({reading.pixels: reading for reading in reversed(found)}.values())[::-1]


def _read_array(
    array: NDArray[Any], count: int | None, shape: Shape | None, *, tensor: bool, name: str = ""
) -> NDArray[Any]:
    """An array of numbers as (N, C, H, W). name: of the one image that it must be."""
    if array.ndim in (2, 3, 4) and not array.size:
        nothing = "images" if not len(array) else "pixels"
        raise DataError(f"there are no {nothing}", found=f"an array of shape {array.shape}")
    if array.ndim == 3 and array.shape[2] == 2 and count is None and not name and not tensor:
        raise DataError(
            "an array can be read in 2 ways", found=f"shape {array.shape}, {array.dtype}",
            fix=f"write `PIL.Image.fromarray(images, 'LA')` for 1 gray image of height {len(array)} and width "
            f"{array.shape[1]}, with alpha, or `list(images)` for {len(array)} gray image{'s' * (len(array) != 1)} of "
            f"height {array.shape[1]} and width 2",
        )  # fmt: skip
    found = _possible(array, count, shape, tensor)
    if array.ndim == 3 and len(array) == count and not name:
        found = [reading for reading in found if reading.axes is None]  # the first axis counts the images
    if not found:
        _raise_unreadable(array, count, tensor, name)
    if len(found) > 1:
        ways = [f"`{_written(array, reading, shape, tensor)}`" for reading in found]
        raise (ImageError if name else DataError)(
            f"{name or ('a tensor' if tensor else 'an array')} can be read in {len(found)} ways",
            found=f"shape {array.shape}, {array.dtype}: " + ", or ".join(reading.words for reading in found),
            fix="write " + ", or ".join(f"{way} for {r.words}" for way, r in zip(ways, found, strict=True)),
        )
    _check_values(array, name, len(found[0].images), tensor)
    return found[0].images


def _written(array: NDArray[Any], reading: _Reading, shape: Shape | None, tensor: bool) -> str:
    """An expression with `images` that has this reading alone."""
    if reading.axes is None:
        return "list(images)"
    turn = "permute" if tensor else "transpose"
    for axes in reading.axes:
        turned = array.transpose(axes) if array.ndim == 4 else array.transpose(axes)[None]
        again = _possible(turned, None, shape, tensor)
        same = len(again) == 1 and again[0].images.shape == reading.images.shape
        if same and again[0].images.strides[1:] == reading.images.strides[1:]:
            text = "images" if axes == tuple(range(array.ndim)) else f"images.{turn}{axes}"
            return text if array.ndim == 4 else f"{text}[None]"
    first = reading.words.endswith("first")
    if reading.images.shape[1] == 1:
        plane = "images[:, 0]" if first else "images[..., 0]"
        return f"list({plane})" if array.ndim == 4 else plane
    one = "one" if array.ndim == 4 else "images"
    picture = f"PIL.Image.fromarray({one}{f'.{turn}(1, 2, 0)' * first}{'.numpy()' * tensor})"
    return f"[{picture} for one in images]" if array.ndim == 4 else picture


def _raise_unreadable(array: NDArray[Any], count: int | None, tensor: bool, name: str) -> NoReturn:
    """The error for an array that has no reading."""
    if not name and count is not None and array.ndim in (3, 4) and _readings(array):
        raise _differ(len(array), count)
    fix, transpose = None, "permute" if tensor else "transpose"
    if array.ndim == 4 and array.shape[1] == 4:
        fix = f"put channels last: `images.{transpose}(0, 2, 3, 1)`"
    elif name and array.ndim == 4:
        fix = "pass the images of a batch one by one, or the batch alone, not in a list"
    elif tensor and array.ndim == 3:
        fix = "write `images[:, None]` for gray images (N, H, W)" + (
            ", `images.permute(1, 2, 0)` for one RGBA image (4, H, W)" if len(array) == 4 else ""
        )
    elif array.ndim in (1, 2):
        fix = "give rows of pixels their shape: `images.reshape(N, H, W)`"
    raise (ImageError if name else DataError)(
        f"{name} is not an image" if name else "an array holds no images",
        found=f"shape {array.shape}, {array.dtype}",
        expected=f"{'(H, W), (H, W, C) or (C, H, W)' if name else SHAPES}; {RANGES}",
        fix=fix,
    )


def _differ(images: int, count: int) -> DataError:
    return DataError("images and labels differ in number", found=f"{images} and {count}")


def _check_values(array: NDArray[Any], name: str, images: int, tensor: bool) -> None:
    """DataError, or ImageError for one image of a list, unless the numbers state what black and white are."""
    error, kind, bits = (ImageError if name else DataError), array.dtype.kind, 8 * array.dtype.itemsize
    if kind == "u" and bits <= 16:
        if bits == 16 and not name and 0 < array.max() <= 255:
            eight = f"images.{'to(torch' if tensor else 'astype(np'}.uint8)"
            raise DataError(
                "16-bit pixels are as small as 8-bit ones", found=f"at most {array.max()}, where white is 65535",
                fix=f"write `{eight}` if white is 255, or `list(images)`, or `[images]` for one, if they are that dark",
            )  # fmt: skip
        return
    typed = "images.to(torch.{})".format if tensor else "images.astype(np.{})".format
    of = f"{name}: " if name else ""
    if kind == "b":
        raise error(
            f"{of}a mask of True and False has no brightness", found=array.dtype, expected=RANGES,
            fix=f"write `{typed('uint8')} * 255` if True is white",
        )  # fmt: skip
    if kind in "iu":
        low, high = int(array.min()), int(array.max())
        limits = [(name, white) for name, white in (("uint8", 255), ("uint16", 65535)) if high <= white]
        ways = [f"`{typed(name)}` if they are 0 to {white}" for name, white in limits] if low >= 0 else []
        ways += [f"`images / WHITE` with the value of white, such as `images / {max(high, 1)}`"] if low >= 0 else []
        raise error(
            f"{of}pixels of type {array.dtype} do not state which value is white",
            found=f"{array.dtype} from {low} to {high}", expected=RANGES,
            fix="write " + ", or ".join(ways) if ways else "shift and scale them to floats in [0, 1]",
        )  # fmt: skip
    if kind != "f" or bits > 64:
        raise error(f"{of}numbers of this type are not pixels", found=array.dtype, expected=RANGES)
    low, high = array.min(), array.max()
    if low >= 0 and high <= 1:
        return
    if not (np.isfinite(low) and np.isfinite(high)):
        rows = array if images == len(array) else array[None]
        invalid = [i for i in range(len(rows)) if not np.isfinite(rows[i]).all()]
        raise error(
            f"{of}{len(invalid)} of {images} images hold NaN or infinite values",
            found=f"the first at index {invalid[0]}", fix="replace or leave out these images",
        )  # fmt: skip
    raise error(
        f"{of}floating-point images leave the range of pixels", found=f"{low:g} to {high:g}", expected="[0, 1]",
        fix=f"write `images / 255`, or `{typed('uint8')}`, if they are 0 to 255" if low >= 0 else
        "pass the pixels as they are: the model scales and normalises them itself",
    )  # fmt: skip


def fits(array: NDArray[Any], shape: Shape, form: PixelFormat) -> bool:
    """Whether images (..., C, H, W) reach the network as they are: of its shape, and not of more bits than it takes."""
    kinds = (np.uint8, np.float32, np.float64) + ((np.uint16,) if form.bits == 16 else ())
    return array.shape[-3:] == shape and array.dtype in kinds


def _described(thing: Any) -> str:
    """A thing in a few words."""
    text = " ".join(repr(thing).split())
    return f"{text[:60]}{'...' * (len(text) > 60)} ({type(thing).__name__})"
