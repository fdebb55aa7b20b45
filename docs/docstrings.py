"""Check the docstrings of the public modules, for `make check`: every function, method and class states what applies.

Public are the modules that `import clearsight as cs` takes its names from, and those of the reference (`pages.py`).
Their public functions, methods and classes need sections: Args, Returns or Yields, Raises. pydoclint examines them. Two
kinds of its findings are left out: those on methods that override a documented method and add no section of their own,
as their arguments are described in the base class; and those on private classes and functions inside functions.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
from pathlib import Path

from pages import REFERENCE, ROOT

SOURCE = ROOT / "src" / "clearsight"

SECTION = re.compile(r"^\s*(Args|Returns|Yields|Raises):$", re.MULTILINE)


@functools.cache
def public_modules() -> list[str]:
    """The public modules by their names within `clearsight`, sorted."""
    sys.path.insert(0, str(SOURCE.parent))
    import clearsight

    homes = {clearsight._HOMES[name].removeprefix("clearsight.") for name in clearsight.__all__}
    return sorted(homes.union(*REFERENCE.values()))


def file_of(module: str) -> Path:
    """The file of a module or package."""
    path = SOURCE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def overrides(module: str, name: str) -> bool:
    """Whether a method without sections overrides one that a base class documents."""
    kind, _, method = name.rpartition(".")
    found = getattr(importlib.import_module(f"clearsight.{module}"), kind, None)
    if not isinstance(found, type) or SECTION.search(vars(found)[method].__doc__ or ""):
        return False
    return any(getattr(vars(base).get(method), "__doc__", None) for base in found.__mro__[1:])


@functools.cache
def public_names(module: str) -> set[str]:
    """The functions, classes and methods of a module that are examined, as pydoclint names them."""
    names = set()
    for node in ast.parse(file_of(module).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            names.add(node.name)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            names |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return names


def undocumented(module: str) -> list[str]:
    """Public functions, classes and methods without a docstring that override no documented method; not stubs."""
    missing = []
    for node in ast.parse(file_of(module).read_text()).body:
        methods = node.body if isinstance(node, ast.ClassDef) else []
        for one, name in [(node, ""), *((method, f"{getattr(node, 'name', '')}.") for method in methods)]:
            if not isinstance(one, ast.FunctionDef | ast.ClassDef) or f"{name}{one.name}" not in public_names(module):
                continue
            stub = ast.unparse(one.body[-1]) == "..."
            if one.name[0] == "_" or stub or ast.get_docstring(one) or (name and overrides(module, name + one.name)):
                continue
            missing.append(f"{file_of(module)}:{one.lineno}: no docstring: `{name}{one.name}`")
    return missing


def faults(modules: list[str]) -> list[str]:
    """What is missing in docstrings, one finding a line."""
    by_file = {str(file_of(module)): module for module in modules}
    command = [sys.executable, "-m", "pydoclint.main", "--quiet", "--show-filenames-in-every-violation-message=True"]
    run = subprocess.run([*command, *by_file], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode not in (0, 1):
        raise SystemExit(run.stdout)
    found = [finding for module in modules for finding in undocumented(module)]
    for line in run.stdout.splitlines():
        place = re.match(r"(.*?\.py):\d+: DOC\d+: [^`]*`([^`]+)`", line.strip())
        if place and place[1] in by_file:
            module, name = by_file[place[1]], place[2]
            if name not in public_names(module) or ("." in name and overrides(module, name)):
                continue
        if line.strip():
            found.append(line.strip())
    return found


if __name__ == "__main__":
    missing = faults(public_modules())
    print("\n".join(missing) or f"docstrings of {len(public_modules())} modules: nothing missing")
    raise SystemExit(bool(missing))
