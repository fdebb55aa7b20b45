"""`run.py`, the program beside an exported file: a zip archive that Python runs, with the modules of Clearsight that
`exporting.runtime` imports, unchanged, so that images are read by the code that read them for training.
"""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

RUNTIME = "clearsight.exporting.runtime"

FIRST_LINE = b"#!/usr/bin/env python3\n"

MAIN = f'''"""Predict with a model that `clearsight export` wrote: python run.py [MODEL] IMAGE...

Needs NumPy, Pillow and the model's engine (onnxruntime, openvino or torch); OpenCV is also
needed for 16-bit colour images, SciPy for sounds, tifffile for TIFFs of many channels or floats, pydicom for DICOM,
pillow-heif for HEIC and imagecodecs for JPEG XL. In Python, first run
`sys.path.insert(0, "run.py"); from {RUNTIME} import Exported`, then
`Exported("model.onnx").predict(["new.jpg"])`; `predict_proba` returns the probabilities, and `values` returns the
predictions of a regression model.

Written by Clearsight, Apache-2.0.
"""

import sys
from functools import partial
from pathlib import Path

from {RUNTIME} import Exported, predict_files

main = partial(predict_files, Path(__file__).parent.parent)  # this file is run.py/__main__.py

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


def runner() -> bytes:
    """The archive; of the same modules always the same bytes."""
    packed = io.BytesIO()
    packed.write(FIRST_LINE)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        for path, source in sorted({"__main__.py": MAIN, **packed_modules()}.items()):
            archive.writestr(zipfile.ZipInfo(path), source, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def is_runner(path: Path) -> bool:
    """Whether a file is such an archive, so that another may take its place."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return _path_of(RUNTIME) in archive.namelist()


def packed_modules() -> dict[str, str]:
    """Source by path of the modules that `RUNTIME` imports, directly or not; the packages they stand in are empty."""
    found: dict[str, str] = {}
    pending = {RUNTIME}
    while pending:
        module = pending.pop()
        path = _path_of(module)
        if path in found:
            continue
        spec = find_spec(module)
        assert spec is not None
        found[path] = Path(str(spec.origin)).read_text()
        pending |= set(_imports(found[path]))
    folders = {folder for path in found for folder in Path(path).parents if folder.name}
    return {(folder / "__init__.py").as_posix(): "" for folder in folders} | found


def _path_of(module: str) -> str:
    spec = find_spec(module)
    package = spec is not None and spec.submodule_search_locations is not None
    return module.replace(".", "/") + ("/__init__.py" if package else ".py")


def _imports(source: str) -> Iterator[str]:
    """The modules of Clearsight that a module imports, anywhere in its code."""
    package = __package__.partition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == package:
            yield str(node.module)
            spec = find_spec(str(node.module))
            if spec is not None and spec.submodule_search_locations is not None:  # names may be modules of a package
                inner = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from (name for name in inner if find_spec(name) is not None)
