"""The same images in every form that a data set has: 200 digits, 8x8 gray, and how to write them."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

N = 200
FORMS = (
    "folder", "csv", "tsv", "jsonl", "frame", "arrays", "npz", "parquet", "hugging face folder", "shards", "zip", "urls"
)  # fmt: skip


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 8, 8), uint8, and labels (N,)."""
    bunch = load_digits()
    return np.rint(bunch.images[:N] * (255 / 16)).astype(np.uint8), bunch.target[:N]


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def write(form: str, root: Path, images: np.ndarray, labels: np.ndarray) -> object:
    """Write images in one of `FORMS`, in an order of its own, and return what is passed as DATA."""
    order = np.random.default_rng(FORMS.index(form)).permutation(len(images))
    images, labels = images[order], labels[order]
    contents = [png(image) for image in images]
    names = [f"{k:03d}.png" for k in range(len(images))]
    if form == "arrays":
        return images, labels
    if form == "npz":
        np.savez(root / "set.npz", x=images, y=labels)
        return root / "set.npz"
    if form in ("folder", "zip"):
        return _folder(form, root, contents, labels)
    if form == "parquet":
        return _parquet(root, contents, labels)
    if form == "shards":
        return _shards(root, contents, labels)
    for name, content in zip(names, contents, strict=True):
        (root / "images").mkdir(exist_ok=True)
        (root / "images" / name).write_bytes(content)
    paths = [f"images/{name}" for name in names]
    if form == "frame":
        return pd.DataFrame({"image_path": [str(root / path) for path in paths], "label": labels})
    if form in ("csv", "tsv", "urls"):
        path = root / ("labels.tsv" if form == "tsv" else "labels.csv")
        with path.open("w", newline="") as stream:
            table = csv.writer(stream, delimiter="\t" if form == "tsv" else ",")
            table.writerow(["image_path", "label"])
            shown = [(root / path).as_uri() for path in paths] if form == "urls" else paths
            table.writerows(zip(shown, labels, strict=True))
        return path
    if form == "jsonl":
        lines = [json.dumps({"image_path": p, "label": int(y)}) for p, y in zip(paths, labels, strict=True)]
        (root / "labels.jsonl").write_text("\n".join(lines))
        return root / "labels.jsonl"
    assert form == "hugging face folder"
    lines = [json.dumps({"file_name": n, "label": int(y)}) for n, y in zip(names, labels, strict=True)]
    (root / "images" / "metadata.jsonl").write_text("\n".join(lines))
    return root / "images"


def _folder(form: str, root: Path, contents: list[bytes], labels: np.ndarray) -> Path:
    for k, (content, label) in enumerate(zip(contents, labels, strict=True)):
        path = root / "digits" / str(label) / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if form == "folder":
        return root / "digits"
    with zipfile.ZipFile(root / "digits.zip", "w") as archive:
        for path in sorted((root / "digits").rglob("*.png")):
            archive.write(path, path.relative_to(root))
    return root / "digits.zip"


def _parquet(root: Path, contents: list[bytes], labels: np.ndarray) -> Path:
    """As `datasets` write it, in two shards."""
    features = {"image": {"_type": "Image"}, "label": {"names": [str(k) for k in range(10)], "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (root / "data").mkdir()
    for k, rows in enumerate(np.array_split(np.arange(len(contents)), 2)):
        table = pa.table(
            {
                "image": pa.array([{"bytes": contents[i], "path": None} for i in rows], struct),
                "label": pa.array([int(labels[i]) for i in rows], pa.int64()),
            }
        ).replace_schema_metadata(about)
        pq.write_table(table, root / "data" / f"train-{k:05d}-of-00002.parquet")
    return root / "data"


def _shards(root: Path, contents: list[bytes], labels: np.ndarray) -> str:
    for k, rows in enumerate(np.array_split(np.arange(len(contents)), 3)):
        with tarfile.open(root / f"digits-{k:03d}.tar", "w") as archive:
            for i in rows:
                add(archive, f"{i:05d}.png", contents[i])
                add(archive, f"{i:05d}.cls", str(labels[i]).encode())
    return str(root / "digits-{000..002}.tar")


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
