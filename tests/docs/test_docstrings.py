"""Docstrings of public modules: the examples run, and the list of modules that are not examined is not out of date."""

from __future__ import annotations

import ast
import doctest
import importlib
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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


def pydoclint(*files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pydoclint.main", "--quiet", *files]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode in (0, 1), run.stdout
    return run


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_examples_run(path: Path) -> None:
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_modules_are_exempt_only_as_long_as_they_need_it(listing: dict[str, Any]) -> None:
    assert set(listing["EXEMPT"]) <= set(listing["public_modules"]())
    files = {module: str(listing["file_of"](module)) for module in listing["EXEMPT"]}
    faults = pydoclint(*files.values()).stdout
    assert [module for module, file in files.items() if file not in faults] == [], "strike these from EXEMPT"


def test_public_functions_have_the_sections_that_apply(listing: dict[str, Any]) -> None:
    run = pydoclint(*map(str, listing["examined"]()))
    assert run.returncode == 0, run.stdout


def raised(function: ast.FunctionDef) -> set[str]:
    """Names of the errors that a function raises itself."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            names.add(ast.unparse(node.exc.func).split(".")[-1])
    return {name for name in names if name.endswith("Error")}


def test_public_functions_document_the_errors_they_raise(listing: dict[str, Any]) -> None:
    missing = []
    for path in listing["examined"]():
        tree = ast.parse(path.read_text())
        for node in [*tree.body, *(one for c in tree.body if isinstance(c, ast.ClassDef) for one in c.body)]:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                _, _, section = (ast.get_docstring(node) or "").partition("Raises:\n")
                missing += [f"{path.name}: {node.name}: {name}" for name in raised(node) if f"{name}: " not in section]
    assert missing == []
