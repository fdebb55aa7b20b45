"""`run.py`, the script beside an exported file: the decoder, what answers say, and `exporting.runtime` in one file
without Clearsight.

It is put together from the sources themselves, of which it takes what the runtime reaches, so its rules cannot drift
from those the model was trained with.
"""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

from clearsight import errors
from clearsight.data import decode, geometry, pixels, sound
from clearsight.exporting import runtime
from clearsight.tasks import predictions

FIRST_LINE = '"""Ask a model that `clearsight export` wrote: python run.py [MODEL] IMAGE...'
"""What tells the script from others of its name."""

HEAD = f'''{FIRST_LINE}

Needs NumPy, Pillow and the model's engine (onnxruntime, openvino or torch); OpenCV too for images of 16-bit colour, and
SciPy for sounds of other sampling rates than 16 kHz. In Python: `from run import Exported;
Exported("model.onnx").predict(["new.jpg"])`, and `predict_proba`, or `values` of a model of numbers.

Written by Clearsight from its own decoder: images are read as they were read for training. Apache-2.0.
"""
'''

TAIL = """

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def runner() -> str:
    """The text of the script."""
    imports: dict[str, str] = {}  # name -> the line that brings it
    pieces: dict[str, tuple[str, set[str]]] = {}  # name -> its source and the names it uses
    for module in (errors, geometry, pixels, sound, decode, predictions, runtime):
        _read(module, imports, pieces)
    wanted, waiting = set(), {"main", "sys"}
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting |= (pieces.get(name, ("", set()))[1] & (pieces.keys() | imports.keys())) - wanted
    lines = sorted({line for name, line in imports.items() if name in wanted})
    body = "\n\n\n".join(source for name, (source, _) in pieces.items() if name in wanted)
    return HEAD + "\nfrom __future__ import annotations\n\n" + "\n".join(lines) + "\n\n" + body + TAIL


def _read(module: ModuleType, imports: dict[str, str], pieces: dict[str, tuple[str, set[str]]]) -> None:
    """Note what a module imports from elsewhere, and everything it defines; asserts that no name is defined twice."""
    source = inspect.getsource(module)
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _note_import(node, imports)
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        names = [getattr(t, "id", getattr(t, "name", "")) for t in targets]
        if not names[0]:  # a docstring
            continue
        assert names[0] not in pieces, names[0]
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - set(names)
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        text = "\n".join(source.splitlines()[first - 1 : node.end_lineno])
        pieces[names[0]] = (text, used)


def _note_import(node: ast.Import | ast.ImportFrom, imports: dict[str, str]) -> None:
    origin = getattr(node, "module", None)
    if origin == "__future__" or str(origin).startswith("clearsight"):
        return
    for alias in node.names:
        name = f"{alias.name} as {alias.asname}" if alias.asname else alias.name
        imports[(alias.asname or alias.name).partition(".")[0]] = (
            f"from {origin} import {name}" if origin else f"import {name}"
        )
