"""Exported files against the model on every image of the test splits of digits and elpv, and what int8 gains.

Each file is loaded in its own engine; the reference is the model in PyTorch, float32. Images go in at working size and,
where the file holds the resize rule, at their own size too. int8 is evaluated on the validation images.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import fresh_cache

BARS = {"largest": "<= 1e-4", "same_answer": "all", "int8": "at most 1 point lost, 1.3 times as fast, or it says not"}


def measure() -> dict[str, Any]:
    from clearsight.api.fit import fit

    found: dict[str, Any] = {"bars": BARS}
    with fresh_cache(), tempfile.TemporaryDirectory() as folder:
        for name in ("digits", "elpv"):
            found[name] = of_run(fit(name, out=f"{folder}/{name}").folder, Path(folder))
    return found


def of_run(run: Path, folder: Path) -> dict[str, Any]:
    """The figures of one finished run; files are written to the folder."""
    from clearsight.data.geometry import Geometry
    from clearsight.exporting import FORMATS, Exported, export
    from clearsight.exporting.parity import compare
    from clearsight.runs.images import held_out
    from clearsight.runs.load import load_predictor

    predictor = load_predictor(run, engine="torch")
    held, form = held_out(predictor), predictor.bundle.form
    n = len(held.rows)
    task, outputs = predictor.bundle.task, predictor.logits(held.images)
    own = []
    for row in held.rows:
        header = held.dataset.source.inspect(int(row))[1]
        own.append(held.dataset.source.decode(int(row), form, Geometry(header.height, header.width))[None])
    found: dict[str, Any] = {}
    for name, format in FORMATS.items():
        place = folder / f"{run.name}-{name}"
        place.mkdir()
        written = export(run, format=name, out=place / f"model{format.suffix}", images=1)
        exported = Exported(written.path)
        parity = compare(task, outputs, exported, (held.images[i : i + 16] for i in range(0, n, 16)), held.names)
        found[name] = {"bytes": written.bytes, "working_size": parity and parity.to_dict()}
        if format.resizes:
            raw = compare(task, outputs, exported, own, held.names)
            found[name]["own_size"] = raw and raw.to_dict()
    for name in ("onnx", "openvino"):
        place = folder / f"{run.name}-{name}"
        written = export(run, format=name, quantize="int8", out=place / f"int8{FORMATS[name].suffix}", images=1)
        found[f"{name}, int8"] = written.int8 and written.int8.to_dict()
    return found
