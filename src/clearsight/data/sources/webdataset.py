"""WebDataset's tar shards: the files of a sample follow each other and differ in what comes after the first dot.

    000.jpg  000.cls                  the number or name of a class
    000.jpg  000.json                 fields, one of them the label: `shard.tar#label=FIELD`
    000.jpg  000.txt                  the name of a class

Images of shards that are not compressed are read where they are; those of others from a copy in the cache. No file is
extracted, so no path in a shard is ever used. Shards of several splits have these in their names, or in those of their
folders: train-000.tar, train/000.tar.

Reference: https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import glob
import json
import math
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.data.cache import entry, file_key
from clearsight.data.dataset import Listing, printable
from clearsight.data.decode import EXTENSIONS
from clearsight.data.files import files_below, left_aside
from clearsight.data.packed import Packed
from clearsight.data.sources.archive import ALLOWED, MEMBERS, RATIO, Info, is_archive, readable
from clearsight.data.sources.folder import split_in
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.split_names import splits_of
from clearsight.data.sources.table import read_frame
from clearsight.data.sources.table_columns import LABEL, choices, same_classes, texts
from clearsight.data.targets import is_number
from clearsight.errors import DataError
from clearsight.json_values import from_json
from clearsight.wording import count

LABELS = ("cls", "json", "txt")
"""Endings of files that hold labels."""

LARGEST_LABEL = 1 << 20
"""Bytes of a file of labels that are read at most."""

MOST_SHARDS = 100_000
"""Shards that a range means at most."""

PROBED = 2000
"""Files by which an archive is recognised."""

CHUNK = 1 << 20
KIND = "extracted"
"""Of the cache's entries."""

ENDINGS = tuple(ending.removeprefix(".") for ending in EXTENSIONS)


@dataclass
class Shard:
    """The samples of a shard: place and size of each image in `path`, its name, and the content of its files of labels
    by their endings. passed: files that are in no sample.
    """

    path: Path
    starts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[dict[str, str]] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)


def is_tar(path: Path) -> bool:
    """Whether a file is a tar archive, by its ending."""
    return is_archive(path) and path.suffix.lower() != ".zip"


def tars_in(folder: Path) -> list[Path]:
    """The tar files in a folder; none where it holds other files too that are no index of them."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not left_aside(p.name))
    tars = [p for p in files if is_tar(p)]
    others = [p for p in files if not is_tar(p) and p.suffix.lower() in EXTENSIONS]
    return [] if others else tars


def tars_below(folder: Path) -> list[Path]:
    """The tar files in the folders of a folder, such as train/000.tar and val/000.tar."""
    return sorted(file for file in files_below(folder) if is_tar(file))


def shards_of(place: str, path: Path) -> list[Path]:
    """The shards that a pattern means, such as `train-{000..009}.tar` or `train-*.tar`; none for other texts."""
    if not is_tar(path) or not any(mark in place for mark in "*?[{"):
        return []
    # folders that exist are meant themselves, whatever characters are in their names
    root, pattern = (path.parent, path.name) if path.parent.is_dir() else (Path(path.anchor), str(path))
    found: list[Path] = []
    missing: list[str] = []
    for text in _expanded(pattern):
        names = sorted(glob.glob(text, root_dir=root))  # noqa: PTH207
        found += [file for name in names if (file := root / name).is_file()]
        if not names and not glob.has_magic(text):
            missing.append(text)
    if found and missing:
        raise DataError(
            f"{count(len(missing), 'shard')} of {place} cannot be found", found=f"no file {missing[0]}",
            expected="every file of the range", fix="download the missing files, or change the range",
        )  # fmt: skip
    return found


def _expanded(text: str) -> list[str]:
    """A text with ranges in braces, as one text for each number; DataError for too many."""
    spans = list(re.finditer(r"\{(\d{1,9})\.\.(\d{1,9})\}", text))
    sizes = [max(0, int(span[2]) - int(span[1]) + 1) for span in spans]
    if math.prod(sizes) > MOST_SHARDS:
        raise DataError(f"{text} means too many shards", found=f"{math.prod(sizes):,}", expected=f"{MOST_SHARDS:,}")
    texts = [text]
    for span in spans:
        width, numbers = len(span[1]), range(int(span[1]), int(span[2]) + 1)
        texts = [one.replace(span[0], f"{n:0{width}d}", 1) for one in texts for n in numbers]
    return texts


def labelled_beside(path: Path) -> tuple[bool, bool]:
    """What an archive looks like by its first files.

    Args:
        path: a tar archive.

    Returns:
        Whether files of labels stand beside most images, and whether these are in several folders, as of classes.
    """
    images: set[str] = set()
    labels: set[str] = set()
    for number, (info, _) in enumerate(_members(path)):
        key, ending = _sample(info.name)
        if number == PROBED and (labels or "/" in key):  # else labels may follow after all images
            break
        (images if ending in ENDINGS else labels if ending in LABELS else set()).add(key)
        if number >= MEMBERS:
            break
    beside = len(images & labels) > len(images) / 2
    return beside, len({key.rpartition("/")[0] for key in images}) > 1


def read_webdataset(paths: Sequence[Path], origin: str, selection: Selection | None = None) -> Listing:
    """The images and labels of shards.

    Args:
        paths: of the shards.
        origin: what the user asked for.
        selection: field of the labels that the user chose.

    Returns:
        The listing.

    Raises:
        DataError: a shard cannot be read, or it is unclear which field is the label.
    """
    import pandas as pd

    selection = selection or Selection()
    selection.only(origin, "label", "format=webdataset")
    root = Path(os.path.commonpath([path.parent for path in paths]))
    shards = [_shard(path) for path in paths]
    rows, where, splits = [], [], []
    for path, shard, split in zip(paths, shards, splits_of(paths, root), strict=True):
        rows += [_fields(labels, name, path) for labels, name in zip(shard.labels, shard.names, strict=True)]
        where += [f"{name} of {path.relative_to(root).as_posix()}" for name in shard.names]
        splits += [split] * len(shard.names)
    if not rows:
        raise DataError(f"there are no images in {origin}", expected="NAME.jpg and NAME.cls, .json or .txt in tars")
    if not any(rows):
        raise DataError(
            f"there are no files of labels in {origin}", found=f"images alone, such as {printable(where[0])}",
            expected="NAME.jpg and NAME.cls, .json or .txt in tars",
            fix="if classes are the archives, or folders in them, unpack these to CLASS/image, and pass the folder",
        )  # fmt: skip
    frame = pd.DataFrame(rows, index=where, dtype=object)
    if any(splits):
        _require_splits(frame, splits, origin)
        frame["split"] = splits
    chosen = selection.label or _of_classes(frame, origin, selection)
    if not chosen and {"cls"} == {*LABEL} & set(frame.columns):
        frame = frame.rename(columns={"cls": "label"})
    if not chosen and "txt" in frame.columns and list(frame.columns.drop("split", errors="ignore")) == ["txt"]:
        _require_classes(frame, origin, selection)
        chosen = "txt"
    source = _packed(paths, shards, root)
    lost, rest = _passed(shards)
    losses = [f"left out {count(len(lost), 'file')} of no sample, for example {printable(lost[0])}"] if lost else []
    notes = [f"left out {count(len(rest), 'file')} of no image, for example {printable(rest[0])}"] if rest else []
    listing = read_frame(
        frame, root=root, name=root.resolve().name if len(paths) > 1 else paths[0].name.split(".")[0], origin=origin,
        row="sample", notes=notes, selection=Selection(label=chosen), images=source,
    )  # fmt: skip
    return replace(listing, losses=(*listing.losses, *losses))


def _passed(shards: Sequence[Shard]) -> tuple[list[str], list[str]]:
    """Files that are in no sample: images and labels of none, as where names have several dots; and all others, such
    as masks.
    """
    lost: list[str] = []
    rest: list[str] = []
    for shard in shards:
        samples = {_sample(name)[0] for name in shard.names}
        for name in shard.passed:
            usual = name.lower().endswith((*EXTENSIONS, *(f".{ending}" for ending in LABELS)))
            (lost if usual and _sample(name)[0] not in samples else rest).append(name)
    return lost, rest


def _require_splits(frame: Any, splits: Sequence[str], origin: str) -> None:
    """DataError where samples state another split than the name of their shard."""
    if "split" not in frame.columns:
        return
    for where, stated, split in zip(frame.index, frame["split"], splits, strict=True):
        if isinstance(stated, str) and stated.strip() and split_in(stated.strip()) != (split, ()):
            raise DataError(
                f"the splits in the samples of {origin} and in the names of its shards differ",
                found=f"{stated!r} in {where}", expected="the same split in both",
                fix="rename the shards, or correct the samples",
            )  # fmt: skip


def _of_classes(frame: Any, origin: str, selection: Selection) -> str:
    """The column that .cls files and a field `label` state the same classes in; "" where only one is there. DataError
    where they differ.
    """
    if not {"cls", "label"} <= set(frame.columns):
        return ""
    columns = [texts(frame, frame.columns.get_loc(name)) for name in ("cls", "label")]
    if not same_classes(*columns):
        raise DataError(
            f"the .cls files and the fields `label` in {origin} differ",
            found=next(f"{a!r} and {b!r} for {i}" for i, a, b in zip(frame.index, *columns, strict=True) if a != b),
            expected="the same classes in both", fix=choices(origin, ["cls", "label"], selection),
        )  # fmt: skip
    return "cls" if all(map(is_number, columns[1])) else "label"


def packed_shards(paths: Sequence[Path]) -> Packed:
    """The images of shards, whatever their labels are."""
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return _packed(paths, [_shard(path) for path in paths], root)


def _packed(paths: Sequence[Path], shards: Sequence[Shard], root: Path) -> Packed:
    """The images of shards as one source."""
    names = [
        f"{path.relative_to(root).as_posix()}/{name}" if len(paths) > 1 else name
        for path, shard in zip(paths, shards, strict=True)
        for name in shard.names
    ]
    return Packed(
        tuple(shard.path for shard in shards), np.repeat(np.arange(len(shards)), [len(s.names) for s in shards]),
        np.array([start for s in shards for start in s.starts], np.int64),
        np.array([size for s in shards for size in s.sizes], np.int64), tuple(map(printable, names)),
    )  # fmt: skip


def _require_classes(frame: Any, origin: str, selection: Selection) -> None:
    """DataError where texts are captions, not names of classes: nearly all are different."""
    texts = frame["txt"].fillna("")
    if len(texts) > 10 and len(set(texts)) > 0.5 * len(texts):
        raise DataError(
            f"the .txt files in {origin} look like captions, not like names of classes",
            found=f"{len(set(texts))} different texts for {count(len(texts), 'image')}, such as {texts.iloc[0][:60]!r}",
            expected="a .cls file per image, or a field of a .json file",
            fix=f"if they are names of classes, use {selection.command(origin, label='txt')}",
        )  # fmt: skip


def _fields(labels: dict[str, str], name: str, path: Path) -> dict[str, Any]:
    """What the files of labels of a sample state, as cells of a table."""
    found: dict[str, Any] = {ending: text.strip() for ending, text in labels.items() if ending != "json"}
    if "json" in labels:
        try:
            content = from_json(labels["json"])
        except ValueError as error:
            raise DataError(
                f"{name.rpartition('.')[0]}.json in {path} is not valid JSON", found=str(error)[:120]
            ) from error
        fields = content if isinstance(content, dict) else {"label": content}
        if both := [key for key, text in found.items() if key in fields and str(fields[key]).strip() != text]:
            raise DataError(
                f"a sample in {path} has two values of {both[0]!r}",
                found=f"{found[both[0]][:60]!r} in {name.rpartition('.')[0]}.{both[0]}, and "
                f"{str(fields[both[0]])[:60]!r} in its .json file",
                expected="the same in both",
            )  # fmt: skip
        found.update({str(key): value for key, value in fields.items() if not isinstance(value, dict)})
    return found


def _shard(path: Path) -> Shard:
    """The samples of a shard, listed once and kept in the cache."""

    def build(folder: Path) -> None:
        plain = path.suffix.lower() == ".tar" and _is_plain(path)
        if plain:
            shard = _scanned(path, None)
        else:
            with (folder / "images").open("wb") as output:
                shard = _scanned(path, output)
        kept = {name: value for name, value in vars(shard).items() if name != "path"}
        (folder / "shard.json").write_text(json.dumps({"plain": plain, **kept}))

    folder = entry(KIND, file_key(path, "webdataset"), build, path.stat().st_size)
    about = json.loads((folder / "shard.json").read_text())
    return Shard(path if about.pop("plain") else folder / "images", **about)


def _is_plain(path: Path) -> bool:
    """Whether a tar file is not compressed."""
    try:
        with tarfile.open(path, "r:"):
            return True
    except (tarfile.TarError, OSError):
        return False


def _scanned(path: Path, output: Any) -> Shard:
    """List the samples of a tar file in one pass, and copy the images to `output` where that is given."""
    shard = Shard(path)
    place: dict[str, int] = {}
    pending: dict[str, dict[str, str]] = {}
    copied, texts_read, allowed = 0, 0, max(ALLOWED, RATIO * path.stat().st_size)
    for number, (info, stream) in enumerate(_members(path)):
        if number >= MEMBERS:
            raise DataError(f"the archive {path} is refused", found=f"more than {MEMBERS:,} files")
        key, ending = _sample(info.name)
        if ending in ENDINGS:
            if key in place:
                raise DataError(
                    f"a sample in {path} has two images", found=f"{key}.*", expected="one image per sample",
                    fix="remove the other images, such as masks",
                )  # fmt: skip
            place[key] = len(shard.names)
            shard.names.append(f"{key}.{ending}")
            shard.labels.append(pending.pop(key, {}))
            shard.starts.append(info.offset_data if output is None else copied)
            shard.sizes.append(info.size)
            if output is not None:
                copied += _copy(stream, output, path, allowed - copied)
        elif ending in LABELS:
            if info.size > LARGEST_LABEL or (texts_read := texts_read + info.size) > ALLOWED:
                raise DataError(
                    f"the files of labels in {path} are too large", found=f"{info.size:,} bytes in {info.name[:120]!r}",
                    expected=f"at most {LARGEST_LABEL:,} bytes each, and {ALLOWED:,} in all",
                )  # fmt: skip
            with readable(path):
                text = stream.read().decode("utf-8-sig", "backslashreplace")
            stated = shard.labels[place[key]] if key in place else pending.setdefault(key, {})
            if stated.setdefault(ending, text) != text:
                raise DataError(
                    f"a sample in {path} has two different files of labels", found=f"{key}.{ending} twice",
                    expected="one",
                )  # fmt: skip
        elif ending != "__key__":
            shard.passed.append(info.name)
    shard.passed += [f"{key}.{ending}" for key, labels in pending.items() for ending in labels]
    return shard


def _copy(stream: Any, output: Any, path: Path, most: int) -> int:
    """Copy an image; its size."""
    copied = 0
    with readable(path):
        while chunk := stream.read(CHUNK):
            output.write(chunk)
            copied += len(chunk)
            if copied > most:
                raise DataError(
                    f"the archive {path} is refused", found="far more content than its size allows",
                    expected=f"at most {RATIO} times the size of the archive",
                )  # fmt: skip
    return copied


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, Any]]:
    with readable(path), tarfile.open(path, "r|*", tarinfo=Info) as archive:
        for info in archive:
            if info.isdir() or any(left_aside(part) for part in info.name.split("/") if part not in (".", "..")):
                continue
            stream = archive.extractfile(info) if info.isreg() else None
            if stream is None:
                raise DataError(
                    f"the archive {path} is refused", found=f"a link or a device: {info.name[:120]!r}",
                    expected="an archive of regular files",
                )  # fmt: skip
            yield info, stream
            archive.members = []  # type: ignore[attr-defined]  # which would grow with the archive


def _sample(name: str) -> tuple[str, str]:
    """The sample that a file is of, and its ending: all after the first dot of its name."""
    folder, slash, last = name.removeprefix("./").rpartition("/")
    key, _, ending = last.partition(".")
    return f"{folder}{slash}{key}", ending.lower()
