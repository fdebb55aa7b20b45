"""Data sets known by name, against their own files read another way."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from pathlib import Path

import elpv_dataset
import numpy as np
import pytest
from sklearn.datasets import load_digits

from clearsight.data.sources.builtin import BUILTIN, installed, store
from clearsight.errors import DataError
from clearsight.tasks import read


def test_digits():
    found, bunch = read("digits"), load_digits()
    assert found.classes == tuple("0123456789")
    assert (found.labels == bunch.target).all()
    images = found.source.images
    assert images.dtype == np.uint8
    assert images.shape == (1797, 8, 8)
    assert (np.rint(images / 255 * 16) == bunch.images).all()  # nothing lost
    assert (images.min(), images.max()) == (0, 255)


def test_elpv():
    found = read("elpv")
    table = Path(elpv_dataset.__file__).parent / "data" / "labels.csv"
    path, probability, _ = np.loadtxt(table, dtype=str, unpack=True)
    counts = Counter(np.round(probability.astype(float) * 3).astype(int).tolist())
    assert sum(counts.values()) == len(found) == 2624
    assert found.classes == ("defective", "functional")
    assert np.bincount(found.labels).tolist() == [counts[2] + counts[3], counts[0] + counts[1]] == [821, 1803]
    assert Counter(np.round(found.weights.astype(float), 4).tolist()) == {
        1.0: counts[0] + counts[3],
        0.3333: counts[1] + counts[2],
    }
    assert [found.source.name(i) for i in (0, 2623)] == [path[0], path[-1]]
    assert all(p.is_file() for p in found.source.paths)
    assert found.source.inspect(0)[1].gray


def test_elpv_elsewhere(tmp_path):
    with pytest.raises(DataError, match=r"does not contain the solar cell data set; expected labels\.csv and images/"):
        read("elpv", data_dir=tmp_path)
    (tmp_path / "labels.csv").write_text("images/a.png,1.0,mono\n")
    with pytest.raises(
        DataError, match=r"is not the label table of the solar cell data set.*expected lines such as `images/cell0001"
    ):
        read("elpv", data_dir=tmp_path)
    (tmp_path / "labels.csv").write_text("images/a.png  1.0  mono\nimages/b.png  0.33333  poly\n")
    assert read("elpv", data_dir=tmp_path).labels.tolist() == [0, 1]


IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4)).astype(np.uint8)
LABELS = np.array([3, 1, 3, 1, 10, 3, 1], np.uint8)


def idx_folder(root: Path) -> None:
    for split in ("train", "t10k"):
        for name, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
            head = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (root / f"{split}-{name}-ubyte").write_bytes(head + array.tobytes())


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    def refused(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setenv("CLEARSIGHT_DATA", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_without_a_network(name, no_network, capsys):
    with pytest.raises(DataError) as found:
        read(name)
    text = str(found.value)
    assert f"{name} is not on this machine and could not be downloaded" in text
    assert f"Copy its files to {no_network}" in text
    assert "--data-dir" in text
    assert capsys.readouterr().out == ""


def test_mnist_from_files(tmp_path, no_network):
    idx_folder(tmp_path)
    found = read("mnist", data_dir=tmp_path)
    assert (found.name, found.origin, len(found)) == ("mnist", "mnist", 14)
    raw = no_network / "MNIST" / "raw"
    raw.mkdir(parents=True)
    idx_folder(raw)
    assert (read("mnist").source.images[:7] == IMAGES).all()


def test_installed_says_where_files_lie(tmp_path, no_network):
    assert installed("mnist", "MNIST", tmp_path) is None
    idx_folder(tmp_path)
    assert installed("mnist", "MNIST", tmp_path) == tmp_path
    raw = no_network / "MNIST" / "raw"
    raw.mkdir(parents=True)
    idx_folder(raw)
    assert installed("mnist", "MNIST") == raw


def test_fashion_mnist_names_its_classes(tmp_path):
    idx_folder(tmp_path)
    with pytest.raises(DataError, match=r"does not contain fashion-mnist; found label 10; expected labels 0 to 9"):
        read("fashion-mnist", data_dir=tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:8] + bytes(LABELS % 10))
    found = read("fashion-mnist", data_dir=tmp_path)
    assert [found.classes[i] for i in found.labels[:5]] == ["Dress", "Trouser", "Dress", "Trouser", "T-shirt/top"]


def test_a_folder_without_the_data(tmp_path):
    with pytest.raises(DataError, match=r"does not contain mnist; expected train-images-idx3-ubyte"):
        read("mnist", data_dir=tmp_path)


def test_the_names():
    assert list(BUILTIN) == sorted(BUILTIN) == ["cifar10", "digits", "elpv", "fashion-mnist", "mnist"]


def test_store(monkeypatch):
    monkeypatch.setenv("CLEARSIGHT_DATA", "~/pictures")
    assert store() == Path.home() / "pictures"
    monkeypatch.delenv("CLEARSIGHT_DATA")
    assert store() == Path.home() / ".cache" / "clearsight" / "data"
