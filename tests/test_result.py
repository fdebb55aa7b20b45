"""What every result has: text, a dictionary, files, a figure and a fragment for notebooks."""

import json
import re
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from clearsight.errors import OutputError
from clearsight.result import SCREEN, Result
from tests.sample_results import MADE, index_result

PICTURES = {"explanations", "locations", "search", "visualization", "predictions", "label_issues"}


@pytest.fixture(params=[*MADE, "index"])
def named(request, tmp_path):
    """The name of a kind of result, and one of it."""
    if request.param == "index":
        folder = tmp_path / "index"
        folder.mkdir()
        return "index", index_result(folder)
    return request.param, MADE[request.param]()


class Elements(HTMLParser):
    """The elements of a fragment; fails where one is not closed."""

    VOID = frozenset({"img", "br", "hr", "meta", "link"})

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_a_result_is_a_frozen_dataclass_that_prints_its_text(named):
    name, result = named
    assert isinstance(result, Result)
    assert is_dataclass(result)
    with pytest.raises(AttributeError):
        setattr(result, fields(result)[0].name, None)
    assert repr(result).split("\n")[0] == result.text().split("\n")[0], name
    assert len(repr(result).split("\n")) <= SCREEN
    json.dumps(result.to_dict())


def test_it_is_saved_where_asked_and_nothing_is_overwritten(named, tmp_path):
    _, result = named
    folder = tmp_path / "new" / "out"
    place = result.save(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files
    assert place == folder or place.parent == folder
    if place != folder:
        assert place.suffix == ".html"
        assert "<script src" not in place.read_text()
    with pytest.raises(OutputError, match="exists") as error:
        result.save(folder)
    assert any(name in str(error.value) for name in files)
    result.save(folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == set(files)


def test_its_figure(named, tmp_path):
    name, result = named
    figure = result.plot()
    if name in PICTURES:
        assert isinstance(figure, Image.Image)
        assert np.asarray(figure).std() > 1
    else:
        assert isinstance(figure, Figure)
        assert figure._repr_png_()[:4] == b"\x89PNG"


def test_its_fragment_is_whole_and_keeps_to_itself(named):
    _, result = named
    html = result._repr_html_()
    elements = Elements(html).found
    assert not [tag for tag, _ in elements if tag in ("script", "link", "html", "body")]
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html)
    assert "url(" not in html
    assert "prefers-color-scheme: dark" in html
    assert ":root" not in html
    assert "&amp; {" not in html
    assert all(attrs.get("alt") for tag, attrs in elements if tag == "img")
    idents = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(idents) == len(set(idents))
    assert all(re.match(r"cs[0-9a-f]{8}-", ident) for ident in idents)
    named_by = {word for _, attrs in elements for word in attrs.get("aria-labelledby", "").split()}
    assert named_by <= set(idents)


def test_names_in_the_data_are_escaped():
    for name in ("attack", "evaluation"):
        assert "a <b>" not in MADE[name]()._repr_html_()
        assert "a &lt;b&gt;" in MADE[name]()._repr_html_()
    for name in ("predictions", "label_issues"):
        assert "dog <b>" not in MADE[name]()._repr_html_()
        assert "dog &lt;b&gt;" in MADE[name]()._repr_html_()


def test_a_notebook_shows_so_many_pictures_at_most():
    for name in ("predictions", "label_issues"):
        assert MADE[name]()._repr_html_().count("<img") == 24
    assert "<img" not in MADE["evaluation"]()._repr_html_()
    found = MADE["pictured_evaluation"]()
    assert found._repr_html_().count("<img") == min(12, len(found.mistakes))


def test_files_of_images_with_one_base_name_do_not_collide(tmp_path):
    MADE["explanations"]().save(tmp_path / "maps")
    assert len(list((tmp_path / "maps").glob("*.npz"))) == 2
    MADE["locations"]().save(tmp_path / "boxes")
    assert len(list((tmp_path / "boxes").glob("*.png"))) == 2


def test_results_of_several_images_are_sequences():
    found = MADE["explanations"]()
    assert len(found) == len(list(found)) == 4
    assert found[0].method == "saliency"
    assert found[-1] is list(found)[-1]
    assert [one.image for one in MADE["locations"]()] == ["one/a.png", "two/a.png"]
    assert [row.name for row in MADE["models"]()] == ["a", "b"]
    assert MADE["search"]()[0].likeness == 1
