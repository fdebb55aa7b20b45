"""Data and images at URLs: an HTTP server of this machine, and fsspec's memory."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest

from clearsight.data.sources import remote
from clearsight.data.sources.contained import as_inputs
from clearsight.data.sources.read import find, recorded_place
from clearsight.errors import BundleError, DataError, ImageError
from tests.data.twelve_forms import digits, png, write

PICTURES = [png(np.random.default_rng(k).integers(0, 255, (6, 6), np.uint8)) for k in range(6)]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLEARSIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def root(tmp_path):
    for k, content in enumerate(PICTURES):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{k}.png").write_bytes(content)
    return tmp_path


@pytest.fixture
def server(root):
    """The URL of a server of the folder, and the paths that were requested."""
    requested = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_GET(self):
            requested.append(self.path)
            super().do_GET()

    handler = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{one.server_address[1]}", requested
        finally:
            one.shutdown()
            thread.join()


def table(root, paths, name="labels.csv"):
    rows = [f"{path},{'ab'[k % 2]}" for k, path in enumerate(paths)]
    (root / name).write_text("\n".join(["image_path,label", *rows]))
    return root / name


def test_images_of_a_table_at_urls_are_downloaded_once(root, server):
    url, requested = server
    path = table(root, [f"{url}/images/{k}.png" for k in range(5)] + ["images/5.png"])
    found = find(path)
    assert [found.source.name(i) for i in (0, 5)] == [f"{url}/images/0.png", "images/5.png"]
    assert found.source.inspect(0)[0] == as_inputs(root / "images" / "0.png").inspect(0)[0]
    assert "5 images downloaded to the cache" in found.notes
    number = len(requested)
    find(path)
    assert len(requested) == number


def test_an_image_that_cannot_be_downloaded_is_left_out_and_named(root, server):
    url, _ = server
    found = find(table(root, [f"{url}/images/{k}.png" for k in (0, 1, 2, 3, 4, 99)]))
    assert len(found.source) == len(found.stated.cells) == 5
    assert f"left out 1 image that could not be downloaded: {url}/images/99.png: HTTP 404" in found.losses[0]
    with pytest.raises(DataError, match=r"6 of 6 images listed in .* cannot be downloaded"):
        find(table(root, [f"{url}/nothing/{k}.png" for k in range(6)]))


def test_secrets_in_urls_are_not_names(root, server):
    url, _ = server
    found = find(table(root, [f"{url}/images/{k}.png?token=secret" for k in range(6)]))
    assert not any("secret" in found.source.name(i) for i in range(6))


def test_a_table_at_a_url_names_images_beside_it(root, server):
    url, _ = server
    table(root, [f"images/{k}.png" for k in range(6)])
    found = find(f"{url}/labels.csv")
    assert found.stated.origin == f"{url}/labels.csv"
    assert found.source.name(3) == f"{url}/images/3.png"
    with pytest.raises(BundleError):  # a record from others has nothing downloaded
        recorded_place(found.stated.origin, "the images")


@pytest.mark.parametrize("form", ["zip", "npz"])
def test_a_file_at_a_url_is_read_as_on_the_disk(root, server, form):
    url, requested = server
    path = Path(write(form, root, *digits()))
    found, here = find(f"{url}/{path.name}"), find(path)
    assert found.stated.cells == here.stated.cells
    assert found.name == here.name
    number = sum(one.endswith(path.name) for one in requested)
    find(f"{url}/{path.name}")
    assert sum(one.endswith(path.name) for one in requested) == number


def test_a_changed_file_is_downloaded_again(root, server):
    url, _ = server
    table(root, [f"images/{k}.png" for k in range(6)])
    assert len(find(f"{url}/labels.csv").source) == 6
    table(root, [f"images/{k}.png" for k in range(4)])
    assert len(find(f"{url}/labels.csv").source) == 4


def test_an_image_at_a_url_is_predicted(root, server):
    url, _ = server
    (found,) = as_inputs(f"{url}/images/2.png").names
    assert found == f"{url}/images/2.png"
    assert as_inputs(f"{url}/images/2.png").inspect(0)[0] == as_inputs(PICTURES[2]).inspect(0)[0]
    with pytest.raises(ImageError, match=r"cannot be downloaded; found HTTP 404 File not found"):
        as_inputs(f"{url}/images/99.png")


def test_a_folder_in_memory():
    system = fsspec.filesystem("memory")
    for k, content in enumerate(PICTURES):
        system.pipe_file(f"/pets/{'cat' if k % 2 else 'dog'}/{k}.png", content)
    found = find("memory://pets")
    expected = ["cat/1.png", "cat/3.png", "cat/5.png", "dog/0.png", "dog/2.png", "dog/4.png"]
    assert [found.source.name(i) for i in range(6)] == expected
    assert (found.name, found.stated.origin) == ("pets", "memory://pets")
    system.rm("/pets", recursive=True)


def test_file_urls(root):
    path = table(root, [f"images/{k}.png" for k in range(6)])
    assert find(path.as_uri()).stated.origin == str(path)
    assert find(path.as_uri().replace("file:///", "file://localhost/")).stated.origin == str(path)
    with pytest.raises(DataError, match="is a file on another machine; found host"):
        find("file://host/labels.csv")
    names = as_inputs((root / "images").as_uri()).names
    assert names == [str(root / "images" / f"{k}.png") for k in range(6)]


def test_limits_and_errors(root, server, monkeypatch):
    url, _ = server
    monkeypatch.setattr(remote, "LARGEST_IMAGE", 10)
    with pytest.raises(DataError, match=r"cannot be downloaded; found .*more than"):
        find(table(root, [f"{url}/images/{k}.png" for k in range(6)]))
    with pytest.raises(DataError, match="HTTP 404"):
        find(f"{url}/nothing.csv")
    with pytest.raises(DataError, match="Protocol not known: foo"):
        find("foo://bar/labels.csv")
    with pytest.raises(DataError, match=r"cannot be opened; found .*s3fs.*pip install"):
        find("s3://bucket/labels.csv")
    monkeypatch.setenv("CLEARSIGHT_CACHE_GB", "0.0000001")
    table(root, [f"images/{k}.png" for k in range(6)])
    with pytest.raises(DataError, match="too large for the cache"):
        find(f"{url}/labels.csv")
