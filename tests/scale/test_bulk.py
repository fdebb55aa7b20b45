"""Predictions and features written to a folder: the same for every source, after any interruption, with bad images."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import clearsight as cs
from clearsight import scale
from clearsight.cli.main import main
from clearsight.data.files import named_as_image
from clearsight.data.sources import folder_walk
from clearsight.data.sources.stream import stream
from clearsight.errors import ClearsightError, ConfigError, DataError, OutputError
from clearsight.scale import part_files


@pytest.fixture(scope="module")
def model(digits_run):
    return cs.load(digits_run)


@pytest.fixture
def images(tmp_path, digits_arrays):
    """45 images in three folders, in files of three formats."""
    root = tmp_path / "images"
    for i, pixels in enumerate(digits_arrays[0][:45]):
        folder = root / "abc"[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels[0], np.uint8)).save(folder / f"{i:02d}{('.png', '.bmp', '.tif')[i % 2]}")
    return root


def rows(folder, format="parquet"):
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda f: pd.read_json(f, lines=True)}[format]
    parts = sorted(folder.glob("part-*"))
    return pd.concat([read(part) for part in parts], ignore_index=True)


def test_the_rows_are_those_of_predict_in_every_format(model, images, tmp_path):
    expected = model.predict(images).to_frame()
    for format in ("parquet", "csv", "jsonl"):
        found = scale.predict(model, str(images), out=tmp_path / format, format=format, part_size=20)
        assert (found.images, found.parts, found.errors) == (45, 3, 0)
        table = rows(tmp_path / format, format)
        assert table["image"].tolist() == expected["image"].tolist()
        assert table["label"].astype(str).tolist() == expected["label"].tolist()
        np.testing.assert_allclose(table["ood_percentile"], expected["ood_percentile"], atol=0.01)
        assert table["error"].isna().all()
        assert "ood_score" in table
    table = rows(tmp_path / "parquet")
    names = [f"probability_{c}" for c in model.classes]
    np.testing.assert_allclose(table[names], expected[names], atol=1e-4)
    assert [list(one) for one in table["prediction_set"]] == [list(one) for one in expected["prediction_set"]]
    assert len(pd.read_parquet(tmp_path / "parquet")) == 45  # the folder as one table
    nested = json.loads((tmp_path / "jsonl" / "part-000000.jsonl").read_text().splitlines()[0])
    assert set(nested["probabilities"]) == set(model.classes)


def test_the_command_writes_the_topmost_probabilities(model, digits_run, images, tmp_path, capsys):
    command = ["predict", str(digits_run), str(images), "--out", str(tmp_path / "out"), "--top", "2", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 45
    table = rows(tmp_path / "out")
    assert {"top_1", "top_1_probability", "top_2"} <= set(table.columns)
    assert not any(name.startswith("probability_") for name in table.columns)
    assert (table["top_1"] == table["label"]).all()


def test_features_are_those_of_embed(model, digits_run, images, tmp_path):
    assert main(["embed", str(digits_run), str(images), "--out", str(tmp_path / "out"), "--part-size", "16"]) == 0
    table = rows(tmp_path / "out")
    np.testing.assert_allclose(np.stack(table["embedding"]), model.embed(images), atol=1e-4)
    scale.embed(model, str(images), out=tmp_path / "csv", format="csv")
    wide = rows(tmp_path / "csv", "csv").filter(like="embedding_")
    np.testing.assert_allclose(wide, model.embed(images), atol=1e-4)


def packed(images, tmp_path):
    """The same images in every form of data."""
    files = sorted(path for path in images.rglob("*") if path.is_file())
    inner = [str(file.relative_to(images)) for file in files]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file, name in zip(files, inner, strict=True):
            archive.write(file, name)
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            for file, member in zip(files, inner, strict=True):
                archive.add(file, member)
    content = [{"bytes": file.read_bytes(), "path": name} for file, name in zip(files, inner, strict=True)]
    pq.write_table(pa.table({"image": content}), tmp_path / "bytes.parquet")
    pq.write_table(pa.table({"image_path": [f"images/{name}" for name in inner]}), tmp_path / "paths.parquet")
    with (tmp_path / "t.csv").open("w", newline="") as table:
        writer = csv.writer(table, delimiter=";")
        writer.writerows([["note", "image_path"], *(["x, y", "images\\" + n.replace("/", "\\")] for n in inner)])
    lines = [json.dumps({"file_name": str(file)}) for file in files]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    halves = tmp_path / "shards"
    halves.mkdir()
    for k, part in enumerate((slice(0, 20), slice(20, 45))):
        with tarfile.open(halves / f"s-{k}.tar", "w") as archive:
            for i, file in list(enumerate(files))[part]:
                archive.add(file, f"{i:03d}{file.suffix}")
                label = tarfile.TarInfo(f"{i:03d}.cls")
                label.size = 1
                archive.addfile(label, io.BytesIO(b"1"))
    return ["a.zip", "a.tar", "a.tar.gz", "bytes.parquet", "paths.parquet", "t.csv", "t.jsonl", "shards",
            "shards/s-{0..1}.tar", "images/*/*"]  # fmt: skip


def test_every_form_of_data_gives_the_same_rows(model, images, tmp_path, monkeypatch):
    scale.predict(model, str(images), out=tmp_path / "out")
    expected = rows(tmp_path / "out").drop(columns="image")
    for i, name in enumerate(packed(images, tmp_path)):
        found = scale.predict(model, str(tmp_path / name), out=tmp_path / f"out{i}", part_size=45)
        assert (found.images, found.errors) == (45, 0), name
        table = rows(tmp_path / f"out{i}")
        assert table["image"].is_unique, name
        pd.testing.assert_frame_equal(table.drop(columns="image"), expected)
        assert stream(str(tmp_path / name)).total in (44, 45, 46, None)  # lines of a table
    assert not list(tmp_path.glob("cache/extracted/*"))


def test_data_at_urls_is_read_as_it_arrives(model, images, tmp_path):
    import fsspec

    packed(images, tmp_path)
    memory = fsspec.filesystem("memory")
    for name in ("a.zip", "a.tar", "a.tar.gz", "bytes.parquet"):
        memory.pipe(f"/bucket/{name}", (tmp_path / name).read_bytes())
    for file in images.rglob("*.*"):
        memory.pipe(f"/folder/{file.relative_to(images)}", file.read_bytes())
    memory.pipe("/folder/t.csv", b"image_path\na/00.png\nmemory://folder/a/06.png\nb/none.png\n/etc/hostname.png\n")
    for i, name in enumerate(("bucket/a.zip", "bucket/a.tar", "bucket/a.tar.gz", "bucket/bytes.parquet", "folder")):
        found = scale.predict(model, f"memory://{name}", out=tmp_path / f"out{i}")
        assert (found.images, found.errors) == (45, 0), name
    found = scale.predict(model, "memory://folder/t.csv", out=tmp_path / "table")
    assert (found.images, found.errors) == (4, 2)
    with pytest.raises(DataError, match="nothing there"):
        scale.predict(model, "memory://bucket/none.tar", out=tmp_path / "none")
    memory.rm("/bucket", recursive=True)
    memory.rm("/folder", recursive=True)


def test_built_in_data_and_arrays_are_read_too(model, tmp_path, digits_arrays):
    assert scale.predict(model, "digits", out=tmp_path / "out").images == 1797
    found = rows(tmp_path / "out")["label"].astype(int)
    assert (found == digits_arrays[1]).mean() > 0.9


def interrupted(model, images, out, after, monkeypatch):
    """A run that ends within some chunk of rows."""
    written = 0
    original = part_files._parquet.__wrapped__

    def stopping(stream, example):
        for write in original(stream, example):

            def counted(chunk, write=write):
                nonlocal written
                if written >= after:
                    raise KeyboardInterrupt
                written += 1
                write(chunk)

            yield counted

    import contextlib

    with monkeypatch.context() as patch:
        patch.setitem(part_files._WRITERS, "parquet", contextlib.contextmanager(stopping))
        with pytest.raises(KeyboardInterrupt):
            scale.predict(model, str(images), out=out, part_size=20, resume=True)


def test_an_interrupted_run_goes_on_to_the_same_rows(model, images, tmp_path, monkeypatch):
    scale.predict(model, str(images), out=tmp_path / "whole", part_size=20, resume=True)  # of a fresh run: no effect
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("part-*")}
    for after in (0, 1, 2):
        out = tmp_path / f"out{after}"
        interrupted(model, images, out, after, monkeypatch)
        interrupted(model, images, out, 0, monkeypatch)
        (out / "part-000001.parquet.partial").write_bytes(b"what a killed process leaves")
        with (out / "_parts.jsonl").open("a") as log:
            log.write('{"number": 1, "ro')
        found = scale.predict(model, str(images), out=out, part_size=20, resume=True)
        assert found.images == 45
        assert {path.name: path.read_bytes() for path in out.glob("part-*")} == expected
        assert scale.predict(model, str(images), out=out, part_size=20, resume=True).computed == 0
        (out / "part-000000.parquet").unlink()
        assert scale.predict(model, str(images), out=out, part_size=20, resume=True).computed == 20
        assert {path.name: path.read_bytes() for path in out.glob("part-*")} == expected


def test_unreadable_images_are_rows_that_say_why(model, images, tmp_path, capsys):
    scale.predict(model, str(images), out=tmp_path / "whole")
    expected = rows(tmp_path / "whole").set_index("image")
    files = sorted(images.rglob("*.*"))
    for file, content in zip(
        files[:20] + files[43:], [b"", b"GIF89a", b"\xff\xd8\xff\xe0 not a picture"] * 8, strict=False
    ):
        file.write_bytes(content)
    found = scale.predict(model, str(images), out=tmp_path / "out", part_size=10)
    table = rows(tmp_path / "out").set_index("image")
    assert (found.images, found.errors) == (45, 22)
    assert set(table.index[table["error"].notna()]) == {str(f) for f in files[:20] + files[43:]} >= set(found.failed)
    good = table.index[table["error"].isna()]
    assert (table.loc[good, "label"] == expected.loc[good, "label"]).all()
    np.testing.assert_allclose(table.loc[good, "probability"], expected.loc[good, "probability"], atol=1e-4)


def test_damaged_archives_are_an_error_or_a_row(model, images, tmp_path):
    packed(images, tmp_path)
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2 + 100])
    found = scale.predict(model, str(tmp_path / "cut.tar"), out=tmp_path / "cut")
    table = rows(tmp_path / "cut")
    assert 10 < found.images - found.errors < 40
    assert "cut.tar" in table["image"].iloc[-1]
    assert table["error"].iloc[-1]
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "bytes.parquet").read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cut\.parquet"):
        scale.predict(model, str(tmp_path / "cut.parquet"), out=tmp_path / "p")
    both = [str(tmp_path / "bytes.parquet"), str(tmp_path / "cut.tar")]
    assert scale.predict(model, both, out=tmp_path / "both").images == 45 + found.images
    with pytest.raises(DataError, match="does not exist"):
        scale.predict(model, str(tmp_path / "none"), out=tmp_path / "n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains no images"):
        scale.predict(model, str(tmp_path / "empty"), out=tmp_path / "n")
    assert not (tmp_path / "n").exists()


def test_what_is_there_is_never_mixed_with_something_else(model, images, tmp_path, classical_run):
    out = tmp_path / "out"
    scale.predict(model, str(images), out=out, part_size=20)
    for options, words in (
        ({}, "not empty.*--resume"), ({"resume": True, "top": 2}, "top is 2, was None"),
        ({"resume": True, "format": "csv"}, "format is 'csv'"), ({"resume": True, "part_size": 9}, "part_size is 9"),
    ):  # fmt: skip
        with pytest.raises((ConfigError, OutputError), match=words):
            scale.predict(model, str(images), out=out, **{"part_size": 20, **options})
    with pytest.raises(ConfigError, match="kind is 'embed'"):
        scale.embed(model, str(images), out=out, part_size=20, resume=True)
    with pytest.raises(ConfigError, match="different model"):
        scale.predict(str(classical_run), str(images), out=out, part_size=20, resume=True)
    (out / "part-000002.parquet").unlink()
    (out / "part-000001.parquet").write_bytes((out / "part-000000.parquet").read_bytes())
    with pytest.raises(OutputError, match=r"part-000001\.parquet was changed"):
        scale.predict(model, str(images), out=out, part_size=20, resume=True)
    (out / "part-000001.parquet").unlink()
    (images / "a" / "0.png").write_bytes((images / "a" / "00.png").read_bytes())
    with pytest.raises(DataError, match="added, removed or renamed"):
        scale.predict(model, str(images), out=out, part_size=20, resume=True)


def test_images_added_or_removed_later_are_noticed(model, images, tmp_path):
    out, files = tmp_path / "out", sorted(images.rglob("*.*"))
    scale.predict(model, str(images), out=out, part_size=20)
    content = files[-1].read_bytes()
    for file in files[38:]:
        file.unlink()
    with pytest.raises(DataError, match="added, removed or renamed"):
        scale.predict(model, str(images), out=out, part_size=20, resume=True)
    for file in files[40:]:
        file.touch()
    for file in files[38:40]:
        file.write_bytes(content)
    for file in files[40:]:
        file.unlink()
    with pytest.raises(DataError, match="other images in part 2"):
        scale.predict(model, str(images), out=out, part_size=20, resume=True)
    (out / "part-000002.parquet").unlink()  # asked for again, with what there is now
    assert scale.predict(model, str(images), out=out, part_size=20, resume=True).images == 40
    for k in range(20):
        (images / f"z{k}.png").write_bytes(content)
    assert scale.predict(model, str(images), out=out, part_size=20, resume=True).images == 60


def test_a_full_disk_is_one_error_and_loses_nothing(model, images, tmp_path, monkeypatch):
    full = os.fsync

    def refuses(descriptor):
        if "part-000001" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        full(descriptor)

    monkeypatch.setattr(os, "fsync", refuses)
    with pytest.raises(OutputError, match=r"no space left.*--resume"):
        scale.predict(model, str(images), out=tmp_path / "out", part_size=20)
    monkeypatch.setattr(os, "fsync", full)
    assert scale.predict(model, str(images), out=tmp_path / "out", part_size=20, resume=True).images == 45
    assert rows(tmp_path / "out")["image"].is_unique


def test_two_processes_do_not_write_one_folder(model, images, tmp_path):
    from clearsight.scale.record import Record

    with Record(tmp_path / "out", "parquet", {}).opened(False), pytest.raises(OutputError, match="another process"):
        scale.predict(model, str(images), out=tmp_path / "out", resume=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--resume"], "--resume has no effect without --out"), (["--engine", "ray"], "has no effect without --out"),
     (["--out", "o", "--actors", "2"], "without --engine ray"), (["--out", "o", "--average"], "--average"),
     (["--out", "o", "--top", "0"], "--top"), (["--out", "o", "--part-size", "0"], "--part-size")],
)  # fmt: skip
def test_options_without_effect_are_refused(digits_run, images, capsys, options, words):
    assert main(["predict", str(digits_run), str(images), *options]) == 2
    assert words in capsys.readouterr().err


def test_folders_are_walked_in_the_order_of_paths(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_walk, "RUN", 3)
    for name in ("a.png", "a/1.png", "a b/2.png", "a-b.png", "Z.PNG", "ä.png", ".hidden/x.png", "a/b/c.txt", "n\n.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "twice").symlink_to(tmp_path / "a b")
    found = [path for path, _ in folder_walk.walked(str(tmp_path), named_as_image)]
    assert found == sorted(found)
    assert len(found) == folder_walk.survey(tmp_path, named_as_image, lambda name: False).images == 7


@pytest.mark.long
def test_twenty_kills_leave_the_rows_of_an_undisturbed_run(digits_run, tmp_path, digits_arrays, record_property):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(6000):
        Image.fromarray(np.asarray(digits_arrays[0][i % 1797][0], np.uint8)).save(images / f"{i}.png")
    command = [sys.executable, "-m", "clearsight", "predict", str(digits_run), str(images), "--part-size", "100"]
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("part-*")}
    rng, same = np.random.default_rng(0), 0
    for kill in range(20):
        out = tmp_path / f"out{kill}"
        began = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while not (out / "_parts.jsonl").exists():
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 4))
        began.send_signal(signal.SIGKILL)
        began.wait()
        subprocess.run([*command, "--out", str(out), "--resume"], check=True, capture_output=True)
        same += {path.name: path.read_bytes() for path in out.glob("part-*")} == expected
    record_property("same", same)
    assert same == 20


def test_an_error_of_ours_is_raised(model, images, tmp_path, monkeypatch):
    """What no image and no disk causes is not hidden in rows."""
    monkeypatch.setattr(type(model.predictor), "decoded", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scale.predict(model, str(images), out=tmp_path / "out")
    assert issubclass(OutputError, ClearsightError)
