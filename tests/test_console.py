"""Progress in notebooks: a bar below the cell, in plain HTML, and nothing for quick jobs."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from clearsight import console
from clearsight.console import Notebook, Silent, usual_console


class Cell:
    """What a notebook shows below a cell."""

    def __init__(self):
        self.shown = []

    def display(self, html, display_id):
        assert display_id
        self.update(html)
        return self

    def update(self, html):
        self.shown.append(html)


@pytest.fixture
def cell(monkeypatch):
    """A kernel with IPython, and what stands below its cell."""
    made = Cell()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.HTML, display.display = str, made.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(console, "REDRAWN", 0)
    return made


@pytest.mark.filterwarnings("default")
def test_a_job_in_a_notebook_draws_one_bar_and_folds_what_is_finished(cell, monkeypatch):
    monkeypatch.setattr(console, "QUIET", 0)
    shown = usual_console()
    assert isinstance(shown, Notebook)
    advance = shown.stage("reading <b>", "images")
    advance(1, 4)
    assert '<progress max="4" value="1" aria-label="reading &lt;b&gt;"' in cell.shown[-1]
    assert "1 of 4 images" in cell.shown[-1]
    advance(4, 4)
    advance(4, 4)
    shown.say("2 images excluded")
    assert "<progress" not in cell.shown[-1]
    assert cell.shown[-1].count("<li>") == 2
    assert "2 steps" in cell.shown[-1]
    assert not any("\x1b" in html for html in cell.shown)


def test_a_quick_job_shows_nothing(cell):
    shown = Notebook()
    shown.stage("reading")(5, 5)
    shown.say("done")
    assert cell.shown == []


def test_elsewhere_functions_are_silent(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert isinstance(usual_console(), Silent)
    terminal = ModuleType("IPython")
    terminal.get_ipython = lambda: SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert isinstance(usual_console(), Silent)
