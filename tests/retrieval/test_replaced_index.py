"""An index is replaced whole: at any moment there is the former one or the new one, and never a mixture."""

import json
import os
import shutil

import numpy as np
import pytest

import clearsight as cs
from clearsight.disk import exclusive
from clearsight.errors import BundleError, OutputError
from clearsight.retrieval import Index

FILES = ["card.json", "embeddings.npy", "index.faiss"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, digits_arrays, new_cache):
    """A run with an index, and other images for another index."""
    images, labels = digits_arrays
    folder = tmp_path_factory.mktemp("replaced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSIGHT_CACHE", new_cache())
        made = cs.fit((images[:200], labels[:200]), model="pixels+softmax", out=str(folder / "run")).folder
        cs.index(made, (images[:200], labels[:200]))
    return made


def others(digits_arrays):
    images, labels = digits_arrays
    return images[300:350], labels[300:350]


def test_files_that_do_not_belong_together_are_noticed(run, tmp_path, digits_arrays):
    cs.index(run, others(digits_arrays), out=str(tmp_path / "other"))
    mixed = shutil.copytree(run / "index", tmp_path / "mixed")
    card = json.loads((mixed / "card.json").read_text())
    swapped = {**card, "names": card["names"][::-1]}
    for content in (swapped, {**card, "classes": card["classes"][::-1]}):
        (mixed / "card.json").write_text(json.dumps(content))
        with pytest.raises(BundleError, match=r"a digest that does not match the content of card\.json"):
            Index.load(mixed)
    del card["digest"]  # as of earlier versions
    (mixed / "card.json").write_text(json.dumps(card))
    assert len(Index.load(mixed)) == len(card["names"])


@pytest.mark.parametrize("at", ["open_memmap", "reserve", "write_json", "sync_folder", "replace_folder"])
def test_a_failure_at_any_step_keeps_the_former_index(run, tmp_path, digits_arrays, monkeypatch, at):
    folder = shutil.copytree(run / "index", tmp_path / "index")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert sorted(before) == FILES

    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(f"clearsight.retrieval.index.{at}", full)
    for out in (folder, tmp_path / "new"):
        with pytest.raises(OutputError, match=r"the index cannot be written.*no space left on the disk"):
            cs.index(run, others(digits_arrays), out=str(out))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_an_index_replaces_another_and_nothing_else(run, tmp_path, digits_arrays):
    folder = shutil.copytree(run / "index", tmp_path / "index")
    cs.index(run, others(digits_arrays), out=str(folder))
    assert len(Index.load(folder)) == 50
    assert sorted(path.name for path in folder.iterdir()) == FILES
    (folder / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"not the folder of an index; found other files, such as 'notes\.txt'"):
        cs.index(run, others(digits_arrays), out=str(folder))
    assert (folder / "notes.txt").exists()
    with exclusive(tmp_path / "used"), pytest.raises(OutputError, match="used is in use; found another process"):
        cs.index(run, others(digits_arrays), out=str(tmp_path / "used"))


def test_vectors_that_are_no_numbers_are_refused(run, tmp_path):
    folder = shutil.copytree(run / "index", tmp_path / "index")
    content = bytearray((folder / "index.faiss").read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    (folder / "index.faiss").write_bytes(content)
    with pytest.raises(BundleError, match="numbers that are NaN or infinite"):
        Index.load(folder)
    with (folder / "index.faiss").open("r+b") as stream:
        stream.truncate(60_000_000_000)
    with pytest.raises(BundleError, match="is too large; found 60,000,000,000 bytes"):
        Index.load(folder)
