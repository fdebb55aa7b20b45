"""The lock file has a version of each dependency within the bounds; the lowest versions are the bounds themselves."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [
    requirement
    for text in (*PROJECT["dependencies"], *(t for extra in PROJECT["optional-dependencies"].values() for t in extra))
    if (requirement := Requirement(text)).name != "clearsight"
]


def pinned(name):
    """Versions by package, those of any platform and version of Python."""
    versions = {}
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        package, version = re.fullmatch(r"([\w.-]+)(?:\[.*?\])?==([^\s;]+)(?:\s*;.*)?", line).groups()
        versions.setdefault(canonicalize_name(package), []).append(Version(version))
    return versions


@pytest.mark.parametrize("name", ["lock.txt", "lowest.txt"])
def test_every_dependency_has_a_version_within_its_bounds(name):
    versions = pinned(name)
    for requirement in DIRECT:
        found = versions[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(v, prereleases=True) for v in found), f"{requirement}: run make lock"


def test_the_lowest_versions_are_the_bounds():
    versions = pinned("lowest.txt")
    for requirement in DIRECT:
        bound = max(Version(s.version) for r in DIRECT if r.name == requirement.name for s in r.specifier)
        (found,) = versions[canonicalize_name(requirement.name)]
        assert found.release[: len(bound.release)] == bound.release, (
            f"{requirement.name} {found} instead of {bound}: raise the bound, since other packages need it"
        )
