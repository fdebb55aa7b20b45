"""Every relative link of the README and the docs leads to a file, and to a heading, that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.S)


def anchors(page):
    """The headings of a page as the forge names them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.M)
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", h).strip().lower() for h in headings]
    return {re.sub(r"[^\w\- ]", "", h).replace(" ", "-") for h in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))
    for link in links:
        if re.match(r"[a-z]+:", link):  # https and its like: another machine's affair
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}; headings are {sorted(anchors(target))}"


def test_every_page_of_the_docs_can_be_reached():
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+\.md[^)\s]*)\)", page.read_text())
    }
    assert set((ROOT / "docs").glob("*.md")) <= linked
