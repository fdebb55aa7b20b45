"""How modules depend on each other: without cycles, and without asking which kind of network they hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import clearsight.models.network  # noqa: F401 (which imports every kind of network)
from clearsight.models.base import Component

SRC = Path(__file__).parent.parent / "src"

Graph = dict[str, set[str]]


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(SRC.rglob("*.py"))}
PACKAGES = [name for name, path in FILES.items() if path.name == "__init__.py"]


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below one, without what only type checkers run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from (other, *statements(other))
        else:
            yield from (child, *statements(child))


def imported(tree: ast.AST, files: dict[str, Path]) -> set[str]:
    """Modules among `files` that the imports of a module name, at its top or in its functions."""
    found = set()
    for node in statements(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & set(files) if names & set(files) else {str(node.module)}
    return found & set(files)


@cache
def import_graph() -> Graph:
    return {name: imported(ast.parse(path.read_text()), FILES) - {name} for name, path in FILES.items()}


def siblings(graph: Graph, package: str) -> Graph:
    """The members of a package, modules and packages each as one node, and which of them import which."""

    def member(name: str) -> str:
        return name.removeprefix(f"{package}.").split(".")[0] if name.startswith(f"{package}.") else ""

    found: Graph = {}
    for name, targets in graph.items():
        if one := member(name):
            found.setdefault(one, set()).update({member(target) for target in targets} - {one, ""})
    return found


def cycle(graph: Graph) -> str:
    """A cycle in words; "" where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " is imported by ".join(error.args[1])
    return ""


def test_a_cycle_is_found_and_type_checking_is_no_import() -> None:
    files = {"a": SRC, "b": SRC, "b.c": SRC}
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import a
else:
    from b import c
def later():
    import b
"""
    assert imported(ast.parse(source), files) == {"b", "b.c"}
    assert cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == ""
    assert set(cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}).split(" is imported by ")) == {"a", "b", "c"}
    assert siblings({"p.a": {"p.q.x"}, "p.q.y": {"p.a", "other"}}, "p") == {"a": {"q"}, "q": {"a"}}


def test_no_module_imports_itself_through_others() -> None:
    assert cycle(import_graph()) == ""


@pytest.mark.parametrize("package", PACKAGES)
def test_no_cycle_between_the_members_of_a_package(package: str) -> None:
    assert cycle(siblings(import_graph(), package)) == ""


def test_no_file_is_longer_than_500_lines() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def function_lengths() -> dict[str, int]:
    """Lines of every function, with its decorators left out and its docstring included."""
    return {
        f"{name}.{node.name}:{node.lineno}": node.end_lineno - node.lineno + 1
        for name, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }


def test_no_function_is_longer_than_80_lines_but_the_training_loop() -> None:
    longer = {name.partition(":")[0]: length for name, length in function_lengths().items() if length > 80}
    assert longer.pop("clearsight.train.loop.train_network") <= 150
    assert longer == {}


def subclasses(base: type) -> set[str]:
    return {base.__name__}.union(*(subclasses(one) for one in base.__subclasses__()))


def test_nothing_outside_models_asks_for_the_class_of_a_network_or_head() -> None:
    kinds = {name for name in subclasses(Component) if not name.startswith("_")}
    assert {"Probe", "Ensemble", "Classical", "AnomalyModel", "KernelHead", "MemoryHead"} <= kinds
    asked = [
        f"{name}:{node.lineno}"
        for name, path in FILES.items()
        if not name.startswith("clearsight.models.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "isinstance"
        and kinds & {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
    ]
    assert asked == []
