"""Bulk inference as a callable on tables of Arrow, and on two actors of a local Ray cluster."""

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

import clearsight as cs
from clearsight import scale
from clearsight.errors import ConfigError, DataError


@pytest.fixture
def images(tmp_path, digits_arrays):
    root = tmp_path / "images"
    root.mkdir()
    for i, pixels in enumerate(digits_arrays[0][:60]):
        Image.fromarray(pixels[0].astype(np.uint8)).save(root / f"{i:02d}.png")
    (root / "07.png").write_bytes(b"no image")
    return root


def table_of(images):
    files = sorted(images.iterdir())
    return pa.table({"path": [str(file) for file in files], "bytes": [file.read_bytes() for file in files]})


def test_callables_give_the_rows_of_the_command(digits_run, images, tmp_path):
    scale.predict(str(digits_run), str(images), out=tmp_path / "out", top=3)
    expected = pd.read_parquet(tmp_path / "out")
    found = scale.Predict(str(digits_run), top=3)(table_of(images)).to_pandas()
    pd.testing.assert_frame_equal(found, expected)
    assert found["error"].notna().sum() == 1
    features = scale.Embed(str(digits_run))(table_of(images).rename_columns(["id", "content"]))
    readable = [i for i in range(60) if i != 7]
    model = cs.load(digits_run)
    known = model.embed([str(file) for file in sorted(images.iterdir()) if file.name != "07.png"])
    column = features["embedding"].to_pylist()
    np.testing.assert_allclose(np.array([column[i] for i in readable]), known, atol=1e-4)
    assert column[7] is None


def test_the_function_for_spark_works_on_frames(digits_run, images, page):
    """The block of docs/scaling.md, on frames as Spark passes them."""
    (block,) = [block for block in page("docs/scaling.md").blocks("python") if "mapInPandas" in block]
    function = block.partition("\nphotos =")[0].replace("/shared/runs/photos", str(digits_run))
    names = {}
    exec(function, names)
    frames = [table_of(images).rename_columns(["path", "content"]).to_pandas() for _ in range(2)]
    found = list(names["predicted"](iter(frames)))
    assert [len(frame) for frame in found] == [60, 60]
    assert list(found[0].columns) == ["image", "label", "probability", "error"]
    assert found[0]["error"].notna().sum() == 1


def test_a_table_without_images_is_refused(digits_run):
    with pytest.raises(DataError, match=r"no column of image files; found path"):
        scale.Predict(str(digits_run))(pa.table({"path": ["a"]}))


def test_ray_that_is_not_installed_is_named(digits_run, images, tmp_path, monkeypatch):
    import sys

    from clearsight.scale.ray_engine import on_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"clearsight\[ray\]"), on_ray():
        pass


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_two_actors_equal_one_process_also_when_one_dies(digits_run, images, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    from clearsight.scale import ray_engine

    scale.predict(str(digits_run), str(images), out=tmp_path / "one", part_size=10)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "one").glob("part-*")}
    with ray_engine.on_ray(2) as compute:
        scale.predict(str(digits_run), str(images), out=tmp_path / "two", part_size=10, compute=compute)
    assert {path.name: path.read_bytes() for path in (tmp_path / "two").glob("part-*")} == expected

    class Dies(ray_engine.Worker):
        def part(self, work, total, nested):
            if work[-1].number == 3 and not self.marker.exists():
                self.marker.touch()
                os._exit(1)
            return super().part(work, total, nested)

    Dies.marker = tmp_path / "died"
    Dies.__module__ = "__main__"  # so that it is sent to the actors as it is
    monkeypatch.setattr(ray_engine, "Worker", Dies)
    with ray_engine.on_ray(2) as compute:
        scale.predict(str(digits_run), str(images), out=tmp_path / "died-out", part_size=10, compute=compute)
    assert (tmp_path / "died").exists()
    assert {path.name: path.read_bytes() for path in (tmp_path / "died-out").glob("part-*")} == expected


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_ray_data_maps_batches_on_actors(digits_run, images, tmp_path):
    ray = pytest.importorskip("ray")
    ray.init(log_to_driver=False, include_dashboard=False)
    try:
        data = ray.data.read_binary_files(str(images), include_paths=True)
        found = data.map_batches(
            scale.Predict, fn_constructor_args=[str(digits_run)], batch_format="pyarrow", batch_size=32, concurrency=2
        ).to_pandas()
    finally:
        ray.shutdown()
    scale.predict(str(digits_run), str(images), out=tmp_path / "out")
    expected = pd.read_parquet(tmp_path / "out").set_index("image")
    found = found.assign(image=["/" + name.lstrip("/") for name in found["image"]]).set_index("image")
    assert sorted(found.index) == sorted(expected.index)
    assert (found.loc[expected.index, "label"].fillna("") == expected["label"].fillna("")).all()
