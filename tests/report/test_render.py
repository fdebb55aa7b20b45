"""Templates are compiled once for each set of options, which decide what becomes of spaces."""

import pytest
from jinja2 import Environment, FileSystemLoader

from clearsight.report import render


@pytest.fixture
def compiled(monkeypatch):
    """The number of templates compiled, from an empty memory on."""
    render._compiled.cache_clear()
    names, whole = [], Environment.compile
    monkeypatch.setattr(
        Environment, "compile", lambda self, source, name, *args: names.append(name) or whole(self, source, name, *args)
    )
    yield names
    render._compiled.cache_clear()


def test_another_environment_takes_what_was_compiled(compiled):
    for _ in range(3):
        assert render.environment(trim_blocks=True).get_template("page_head.html").name == "page_head.html"
    assert compiled == ["page_head.html"]
    render.environment().get_template("page_head.html")
    assert compiled == ["page_head.html"] * 2, "spaces are kept here"


def test_a_template_that_changed_is_compiled_again(compiled, monkeypatch, tmp_path):
    monkeypatch.setattr(render, "PackageLoader", lambda *_: FileSystemLoader(tmp_path))
    for words in ("first", "second"):
        (tmp_path / "page.html").write_text(words)
        assert render.environment().get_template("page.html").render() == words
    assert compiled == ["page.html"] * 2


def test_filters_are_of_the_environment_that_fills(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "PackageLoader", lambda *_: FileSystemLoader(tmp_path))
    (tmp_path / "filtered.html").write_text("{{ value | told }}")
    for words in ("first", "second"):
        templates = render.environment()
        templates.filters["told"] = lambda value, words=words: f"{words} {value}"
        assert templates.get_template("filtered.html").render(value=3) == f"{words} 3"
