"""Docstrings of public modules: the examples run, and errors are documented. `make check` finds missing sections."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import clearsight

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

WITH_EXAMPLES = sorted(path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text())


@pytest.fixture(scope="module")
def listing() -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return runpy.run_path(str(ROOT / "docs" / "docstrings.py"))
    finally:
        sys.path.remove(str(ROOT / "docs"))


@pytest.fixture
def workplace(digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the examples name: a run, new images, and a table of images from two sites."""
    shutil.copytree(digits_run, tmp_path / "runs" / "digits")
    (tmp_path / "new").mkdir()
    digits = load_digits()
    rows = []
    for i in range(20):
        image = Image.fromarray(np.uint8(digits.images[i] * 255 / 16)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image.save(tmp_path / f"{i}.png")
        rows.append({"image_path": f"{i}.png", "label": str(digits.target[i]), "site": "AB"[i // 10]})
    pd.DataFrame(rows).to_csv(tmp_path / "more.csv", index=False)
    for name in ("new.png", "new/0.png", "new/1.png"):
        Image.fromarray(np.uint8(digits.images[0] * 255 / 16)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_examples(path: Path) -> doctest.TestResults:
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    return doctest.testmod(importlib.import_module(name), extraglobs={"cs": clearsight})


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_examples_run(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    if any(f"{before} {module}." in text for before in (">>>", "=") for module in ("cs", "scale")):
        request.getfixturevalue("workplace")
    assert run_examples(path).failed == 0


def test_an_example_that_is_not_run_says_why() -> None:
    skipped = [path for path in WITH_EXAMPLES if "+SKIP" in path.read_text()]
    assert all("not run as a test, since" in path.read_text() for path in skipped)
    assert [path.name for path in skipped] == ["launch.py"]


def test_only_overriding_methods_may_lack_sections(listing: dict[str, Any]) -> None:
    assert listing["overrides"]("tasks.regression", "Regression.encode")
    assert not listing["overrides"]("tasks.regression", "Regression.widths")
    assert not listing["overrides"]("tasks.task", "Task.encode")
    assert "_Values.__init__" not in listing["public_names"]("tasks.regression")


def raised(function: ast.FunctionDef) -> set[str]:
    """Names of the errors that a function raises itself."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            names.add(ast.unparse(node.exc.func).split(".")[-1])
    return {name for name in names if name.isidentifier() and name.endswith("Error")}


def test_public_functions_document_the_errors_they_raise(listing: dict[str, Any]) -> None:
    missing = []
    for module in listing["public_modules"]():
        tree = ast.parse(listing["file_of"](module).read_text())
        imported = importlib.import_module(f"clearsight.{module}")
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        for owner in [tree, *classes]:
            kinds = [imported] if owner is tree else list(getattr(imported, owner.name).__mro__)
            for node in owner.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    texts = [inspect.getdoc(vars(kind)[node.name]) or "" for kind in kinds if node.name in vars(kind)]
                    stated = "".join(text.partition("Raises:\n")[2] for text in texts)
                    absent = [name for name in raised(node) if f"{name}: " not in stated]
                    missing += [f"{module}: {node.name}: {name}" for name in absent]
    assert missing == [], missing
