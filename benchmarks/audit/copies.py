"""Copies planted among thousands of images: recall by kind of change, precision, time."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.audit.changes import CHANGES, changed
from benchmarks.audit.planted import pictures
from benchmarks.harness import fresh_cache

SETS = ("fashion-mnist", "mnist", "elpv", "openclipart")


def copies(name: str, images: int, seed: int, each: int = 30) -> dict[str, Any]:
    """Recall by kind of change, precision, and seconds of a whole audit per 1,000 images."""
    import clearsight as cs

    drawn, named_classes = pictures(name, seed, images - each * len(CHANGES))
    whole, words = list(drawn), list(named_classes)
    rng = np.random.default_rng(seed)
    kinds = [kind for kind in CHANGES for _ in range(each)]
    sources = rng.permutation(len(whole))[: len(kinds)].tolist()
    all_images = whole + [changed(whole[k], kind, rng) for k, kind in zip(sources, kinds, strict=True)]
    all_words = words + [words[k] for k in sources]
    with fresh_cache(), tempfile.TemporaryDirectory() as folder:
        for number, (image, word) in enumerate(zip(all_images, all_words, strict=True)):
            place = Path(folder) / word.replace("/", " ")
            place.mkdir(exist_ok=True)
            Image.fromarray(image).save(place / f"{number:05}.png")
        began, busy = time.perf_counter(), time.process_time()
        audit = cs.audit(folder)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    wanted = {(source, len(whole) + k) for k, source in enumerate(sources)}
    pairs = [pair for f in audit.findings for key in ("pairs", "groups") for pair in f.evidence.get(key, ())]
    named = {tuple(sorted(int(Path(str(name)).stem) for name in pair[:2])) for pair in pairs}
    recall = {
        kind: float(np.mean([(s, len(whole) + k) in named for k, s in enumerate(sources) if kinds[k] == kind]))
        for kind in CHANGES
    }
    return {
        "recall": len(wanted & named) / len(wanted), "by change": recall, "precision": len(wanted & named) / len(named),
        "found beside them": sorted(named - wanted)[:10], "seconds per 1,000 images": 1000 * seconds / len(all_images),
        "processor seconds per 1,000 images": 1000 * busy / len(all_images),
    }  # fmt: skip
