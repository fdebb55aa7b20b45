"""The site's reference: its modules are there, and each of its pages is in the navigation."""

import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
REFERENCE = runpy.run_path(str(ROOT / "docs" / "pages.py"))["REFERENCE"]


@pytest.mark.parametrize("module", [name for modules in REFERENCE.values() for name in modules])
def test_every_module_of_the_reference_says_what_it_is(module):
    assert import_module(f"clearsight.{module}").__doc__


def test_every_page_of_the_reference_is_in_the_navigation():
    listed = re.findall(r"reference/(\w+)\.md", (ROOT / "mkdocs.yml").read_text())
    assert listed == ["index", *REFERENCE]


def test_the_architecture_names_packages_and_modules_that_are_there():
    """In the table of packages: names with a slash are packages, others are modules."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    named = {name.strip("/") for row in rows for name in re.findall(r"`([\w/]+)`", row)}
    source = ROOT / "src" / "clearsight"
    there = {path.stem for path in source.glob("[!_]*.py")} | {
        path.parent.name for path in source.glob("*/__init__.py")
    }
    assert named == there
