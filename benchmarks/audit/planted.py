"""A data set with split folders, in which faults are planted before the audit sees it."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SETS = ("fashion-mnist", "elpv", "patches", "openclipart")

IMAGES, CLASSES = 300, 5
"""Images of a set in which faults are planted, and classes: the largest ones, with equally many images at most."""

LEFT_OUT = {"openclipart": ("shapes",)}
"""Classes that are not used: these spirographs and circles are near copies of each other."""

SIDE = 128
"""Longest side in pixels to which images from files are scaled: in clip art, the size of a file alone would predict
some classes."""

Image8 = NDArray[np.uint8]
Rng = np.random.Generator


@lru_cache(maxsize=1)
def pictures(name: str, seed: int, most: int) -> tuple[tuple[Image8, ...], tuple[str, ...]]:
    """Images of a benchmark set as arrays (H, W) or (H, W, 3), and their classes."""
    from benchmarks.promises.sets import SETS as ALL

    whole = ALL[name].make(seed)
    rows = np.random.default_rng(seed).permutation(len(whole))[:most]
    images = []
    for i in rows.tolist():
        source: Any = whole.source
        if hasattr(source, "paths"):
            with Image.open(source.paths[i]) as opened:
                scaled = ImageOps.contain(opened.convert("L" if opened.mode == "L" else "RGBA"), (SIDE, SIDE))
                canvas = Image.new("RGBA", scaled.size, "white")
                canvas.alpha_composite(scaled.convert("RGBA"))
                images.append(np.asarray(canvas.convert("L" if scaled.mode == "L" else "RGB")))
        else:
            images.append(np.asarray(source.images[i]))
    return tuple(images), tuple(whole.classes[k] for k in whole.labels[rows])


class Planted:
    """A table of images with labels, splits and groups. entries: one for each image; faults change them."""

    def __init__(self, name: str, rng: Rng) -> None:
        self.rng = rng
        images, words = pictures(name, seed=11, most=3000)
        order = rng.permutation(len(images)).tolist()
        kinds = sorted(set(words) - {*LEFT_OUT.get(name, ())}, key=lambda word: (-words.count(word), word))[:CLASSES]
        self.entries: list[dict[str, Any]] = []
        for kind in kinds:
            own = [k for k in order if words[k] == kind][: IMAGES // len(kinds)]
            for place, k in enumerate(own):
                split = ("train", "train", "train", "val", "test")[place % 5]
                entry = {"image": images[k], "label": f"c {kind}", "split": split, "suffix": "png", "group": f"g{k}"}
                self.entries.append(entry)
        self.classes = sorted({entry["label"] for entry in self.entries})

    def untouched(self, **wanted: str) -> list[dict[str, Any]]:
        """Entries with these values in which nothing was planted yet, in a random order."""
        found = [
            e for e in self.entries if "planted" not in e and all(e[key] == value for key, value in wanted.items())
        ]
        return [found[k] for k in self.rng.permutation(len(found))]

    def audit(self, *, copies: bool) -> Any:
        """Write the images and a table, and audit them as `cs.audit` does.

        copies: search for turned, shifted and cropped copies too.
        """
        from clearsight.console import Silent
        from clearsight.data.checks.copies import MOST
        from clearsight.tasks import read
        from clearsight.train.config import TrainConfig
        from clearsight.train.recipe import planned

        with tempfile.TemporaryDirectory() as folder:
            lines = ["image_path,label,split,group"]
            for number, e in enumerate(self.entries):
                e["name"] = f"{number:04}.{e['suffix']}"
                exif = Image.Exif()
                if "camera" in e:
                    exif[0x0110] = e["camera"]
                options = {"quality": 92} if e["suffix"] == "jpg" else {"compress_level": 1}
                Image.fromarray(e["image"]).save(Path(folder) / e["name"], exif=exif, **options)
                lines.append(f"{e['name']},{e['label']},{e['split']},{e['group']}")
            table = Path(folder) / "table.csv"
            table.write_text("\n".join(lines))
            limit = MOST if copies else 0
            return planned(read(str(table)), TrainConfig(), Silent(), copies_limit=limit)[0].audit
