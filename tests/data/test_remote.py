"""Data and images at URLs: an HTTP server of this machine, and fsspec's memory."""

from __future__ import annotations

import functools
import http.server
import json
import tarfile
import threading
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from clearsight.console import Silent, terminal
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


# --- annotations at a URL name images there --------------------------------------------------------------------------


@pytest.fixture
def boxes(root):
    """COCO's instances of three larger images in a folder, and the same boxes as a table."""
    shapes = [(40, 60), (60, 40), (50, 50)]
    corners = [(2, 3, 14, 18), (20, 10, 32, 24), (5, 5, 20, 20)]
    for k, shape in enumerate(shapes):
        (root / "photos").mkdir(exist_ok=True)
        (root / "photos" / f"{k} é.png").write_bytes(png(np.random.default_rng(k).integers(0, 255, shape, np.uint8)))
    annotations = [
        {"id": k, "image_id": k, "category_id": 1 + k % 2, "bbox": [x, y, right - x, bottom - y]}
        for k, (x, y, right, bottom) in enumerate(corners)
    ]
    images = [{"id": k, "file_name": f"photos/{k} é.png", "width": w, "height": h} for k, (h, w) in enumerate(shapes)]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    (root / "coco.json").write_text(json.dumps(content))
    lines = [f"photos/{k} é.png,{','.join(map(str, box))},{'ab'[k % 2]}" for k, box in enumerate(corners)]
    (root / "boxes.csv").write_text("\n".join(["image,xmin,ymin,xmax,ymax,label", *lines]))
    return content


@pytest.mark.parametrize("name", ["coco.json", "boxes.csv"])
def test_boxes_at_a_url_are_those_of_the_file(root, server, boxes, name):
    url, requested = server
    here, found = find(root / name), find(f"{url}/{name}")
    assert found.source.squares.tolist() == here.source.squares.tolist()
    assert (found.source.labels, found.stated.cells) == (here.source.labels, here.stated.cells)
    assert found.boxed.files.name(2).endswith("/photos/2%20%C3%A9.png")
    assert found.source.inspect(0)[0] == here.source.inspect(0)[0]
    number = len(requested)
    find(f"{url}/{name}")
    assert not [path for path in requested[number:] if path.endswith(".png")]


def test_coco_at_a_url_finds_images_in_the_folder_images(root, server, boxes):
    url, _ = server
    (root / "photos").rename(root / "photos-moved")
    for k in range(3):
        boxes["images"][k]["file_name"] = f"{k} é.png"
        (root / "photos-moved" / f"{k} é.png").rename(root / "images" / f"{k} é.png")
    (root / "coco.json").write_text(json.dumps(boxes))
    assert find(f"{url}/coco.json").boxed.files.name(0) == f"{url}/images/0%20%C3%A9.png"


def test_boxes_of_an_image_that_cannot_be_downloaded_are_left_out(root, server, boxes):
    url, _ = server
    (root / "photos" / "1 é.png").unlink()
    found = find(f"{url}/coco.json")
    assert len(found.boxed.files) == len(found.boxed.boxes) == 2
    assert "left out 1 image that could not be downloaded" in found.losses[0]
    boxes["images"][0]["file_name"] = str(root / "photos" / "0 é.png")
    (root / "coco.json").write_text(json.dumps(boxes))
    with pytest.raises(DataError, match="names an image outside of it"):
        find(f"{url}/coco.json")


def test_categories_of_coco_and_label_studio_at_a_url(root, server):
    url, _ = server
    images = [{"id": k, "file_name": f"{k}.png"} for k in range(6)]
    annotations = [{"image_id": k, "category_id": k % 2} for k in range(6)]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
    }
    (root / "coco.json").write_text(json.dumps(content))
    found = find(f"{url}/coco.json")
    assert (found.stated.cells, found.source.name(5)) == (("a", "b") * 3, f"{url}/images/5.png")
    tasks = [
        {"image": f"/data/upload/1/0123abcd-{k}.png", "choice": "ab"[k % 2], "annotation_id": k, "lead_time": 1.0}
        for k in range(6)
    ]
    (root / "tasks.json").write_text(json.dumps(tasks))
    found = find(f"{url}/tasks.json")
    assert (found.stated.cells, found.source.name(5)) == (("a", "b") * 3, f"{url}/images/5.png")


def test_paths_in_a_parquet_file_at_a_url(root, server):
    url, _ = server
    rows = {"image_path": [f"images/{k}.png" for k in range(6)], "label": list("ababab")}
    pd.DataFrame(rows).to_parquet(root / "rows.parquet")
    assert find(f"{url}/rows.parquet").source.name(0) == f"{url}/images/0.png"


def test_the_folders_of_a_yaml_file_are_downloaded_where_they_can_be_listed(root, server):
    url, _ = server
    system = fsspec.filesystem("memory")
    for k, content in enumerate(PICTURES):
        system.pipe_file(f"/yolo/{'train' if k < 4 else 'val'}/{'cat' if k % 2 else 'dog'}/{k}.png", content)
    system.pipe_file("/yolo/data.yaml", b"train: train\nval: val\nnames: [cat, dog]\n")
    assert sorted(find("memory://yolo/data.yaml").stated.cells) == ["cat"] * 3 + ["dog"] * 3
    system.rm("/yolo", recursive=True)
    (root / "data.yaml").write_text("train: train\nval: val\n")
    with pytest.raises(DataError, match=r"cannot be downloaded; found a server that lists no folders.*archive"):
        find(f"{url}/data.yaml")


# --- a path into an archive at a URL ---------------------------------------------------------------------------------


@pytest.fixture
def archives(root):
    path = table(root, [f"images/{k}.png" for k in range(6)])
    with zipfile.ZipFile(root / "set.zip", "w") as one, tarfile.open(root / "set.tar.gz", "w:gz") as other:
        for file in (path, *(root / "images").iterdir()):
            one.write(file, file.relative_to(root))
            other.add(file, file.relative_to(root))


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz"])
def test_a_url_leads_into_an_archive(root, server, archives, name):
    url, requested = server
    found, here = find(f"{url}/{name}/labels.csv"), find(f"{root}/{name}/labels.csv")
    assert found.stated.cells == here.stated.cells
    assert (found.name, found.stated.origin) == (here.name, f"{url}/{name}/labels.csv")
    assert [found.source.name(i) for i in range(6)] == [here.source.name(i) for i in range(6)]
    assert not [path for path in requested if "images" in path]
    assert find(f"{url}/{name}/labels.csv?token=a/b").stated.cells == here.stated.cells
    assert as_inputs(f"{url}/{name}/images/2.png").names == [f"{url}/{name}/images/2.png"]
    assert as_inputs(f"{url}/{name}/images/2.png").inspect(0)[0] == as_inputs(PICTURES[2]).inspect(0)[0]
    assert len(as_inputs(f"{url}/{name}/images").names) == 6


def test_urls_that_lead_nowhere_in_an_archive(root, server, archives):
    url, _ = server
    with pytest.raises(DataError, match=r"set\.zip/other\.csv does not exist"):
        find(f"{url}/set.zip/other.csv")
    with pytest.raises(DataError, match="does not exist"):
        find(f"{url}/set.zip/..%2F..%2Fother.csv")
    with pytest.raises(DataError, match=r"other\.zip cannot be read; found HTTP 404"):
        find(f"{url}/other.zip/labels.csv")
    with pytest.raises(DataError, match=r"images/9\.png"):
        as_inputs(f"{url}/set.zip/images/9.png")


# --- progress --------------------------------------------------------------------------------------------------------


def test_downloads_show_their_progress_once(root, server, capsys):
    url, _ = server
    (root / "set.npz").write_bytes(b"")
    np.savez(root / "set.npz", x=np.zeros((400, 60, 60), np.uint8), y=np.arange(400) % 2)
    path = table(root, [f"{url}/images/{k}.png" for k in range(6)])
    for expected in (["downloading set.npz: 1,410 kB in", "downloading images: 6 images in"], []):
        with terminal():
            find(f"{url}/set.npz")
            find(path)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == len(expected)
        assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


def test_the_bar_of_a_download_moves_with_its_bytes(monkeypatch):
    moved = []

    class Bars(Silent):
        def stage(self, title, unit="images"):
            moved.append((title, unit))
            return lambda done, total: moved.append((done, total))

    monkeypatch.setattr(remote, "current_console", Bars)
    monkeypatch.setattr(remote, "CHUNK", 1 << 19)
    system = fsspec.filesystem("memory")
    for k in range(2):
        system.pipe_file(f"/many/{k}.bin", bytes(6 << 20))
    remote.downloaded("memory://many")
    system.rm("/many", recursive=True)
    assert moved[0] == ("downloading many", "MB")
    assert moved[1:3] == [(0, 12), (1, 12)]
    assert moved[1:] == sorted(moved[1:])
    assert moved[-2:] == [(11, 12), (12, 12)]
