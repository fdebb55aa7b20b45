"""The images in an archive, in WebDataset's shards, in Parquet files and at URLs, without labels: to be predicted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clearsight.data.axes import Shape
from clearsight.data.dataset import printable
from clearsight.data.decode import EXTENSIONS
from clearsight.data.files import image_files
from clearsight.data.inputs import ImageInputs, as_images
from clearsight.data.packed import Packed, PackedImage
from clearsight.data.sources.parquet import ENDINGS as PARQUET
from clearsight.data.sources.parquet import shard_images
from clearsight.data.sources.places import archived, exists, fetched, is_file, local, naming, opened, url_in_archive
from clearsight.data.sources.remote import file_path, images, is_url, without_query
from clearsight.data.sources.selection import selected
from clearsight.data.sources.webdataset import is_tar, labelled_beside, packed_shards, shards_of
from clearsight.errors import DataError, ImageError


def as_inputs(images: Any, *, count: int | None = None, shape: Shape | None = None) -> ImageInputs:
    """Images in any form that `data.inputs.as_images` recognises, and those in archives, shards and Parquet files and
    at URLs.

    Args:
        images: the images.
        count: as for `as_images`.
        shape: as for `as_images`.

    Returns:
        The images with their names.

    Raises:
        ImageError: one item is not an image.
        DataError: the images are not usable as a whole, or their axes are ambiguous.
    """
    if not isinstance(images, str | os.PathLike):
        return as_images(images, count=count, shape=shape)
    text = os.fsdecode(images)
    if (found := images_in(text)) is None:
        return as_images(selected(text)[0], count=count, shape=shape)
    return as_images(ImageInputs(found[0], tuple(map(printable, found[1]))), count=count)


def images_in(place: str) -> tuple[list[Any], list[str]] | None:
    """The images that a path or URL contains.

    Args:
        place: what the user wrote; `#image=COLUMN` may follow the path of a Parquet file.

    Returns:
        The images, as paths of the cache or `PackedImage`, and their names; None for an image file, a folder or a
        pattern on this machine.

    Raises:
        DataError: it cannot be read, or contains no images.
        ImageError: the image at a URL cannot be downloaded.
    """
    text, selection = selected(place)
    ending = Path(urlsplit(text).path if is_url(text) else text).suffix.lower()
    if selection.image and ending not in PARQUET:  # other selections say how labels are read, of which there are none
        raise DataError(
            f"the selection #image={selection.image} does not apply to {text}",
            expected="#image=COLUMN after a Parquet or Arrow file", fix="omit it",
        )  # fmt: skip
    if is_url(text) and Path(urlsplit(text).path).suffix.lower() in EXTENSIONS:
        (found,) = images([text])
        if not isinstance(found, str):
            return [str(found)], [without_query(text)]
        if url_in_archive(text) is None:
            raise ImageError(f"{without_query(text)} cannot be downloaded", found=found)
    path = local(text)
    if not is_url(text) and not exists(path) and (shards := shards_of(text, path)):
        return _items(packed_shards(shards))
    path = fetched(text) if is_url(text) else path
    if is_tar(path) and is_file(path) and labelled_beside(path)[0]:
        return _items(packed_shards([path]))
    plain = not is_url(text) and file_path(text) is None
    if plain and path.suffix.lower() not in PARQUET and not archived(path):
        return None
    found_at, within = opened(text, path)
    if found_at.suffix.lower() in PARQUET and is_file(found_at):
        return _items(shard_images([found_at], found_at.parent, text, selection))
    if is_file(found_at) and found_at.suffix.lower() not in EXTENSIONS:
        raise DataError(
            f"{text} contains no images", found=f"a file ending in {found_at.suffix}",
            expected="an image, a folder or archive of images, or a Parquet file",
        )  # fmt: skip
    if within and not exists(found_at):
        raise DataError(f"{text} does not exist")
    files = naming(lambda: image_files(found_at), within, text)
    return list(files), [file.replace(within, text) if within else file for file in files]


def _items(packed: Packed) -> tuple[list[Any], list[str]]:
    return [PackedImage(packed, i) for i in range(len(packed))], list(packed.names)


def paths_in(place: str) -> list[str]:
    """The image files that a path or URL means, on this machine.

    Args:
        place: what the user wrote: a file, a folder, a pattern, an archive or a URL.

    Returns:
        Paths; those of archives and URLs are in the cache.

    Raises:
        DataError: there are none, or the images are in no files of their own.
    """
    found = images_in(place)
    if found is None:
        return image_files(selected(place)[0])
    if not all(isinstance(item, str | os.PathLike) for item in found[0]):
        raise DataError(
            f"the images in {place} are not files of their own", expected="an image, a folder, an archive or a URL",
            fix="`clearsight predict` reads them, other commands do not",
        )  # fmt: skip
    return [str(item) for item in found[0]]
