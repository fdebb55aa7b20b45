"""Tables of images, as CSV, JSONL and frames."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clearsight.errors import DataError
from clearsight.tasks import read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c, d.png", "deep/e f.png", "~g.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    return tmp_path


def table(root: Path, text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
    (root / name).write_text(text, encoding=encoding)
    return root / name


def facts(dataset) -> list[tuple[str, str, str]]:
    return [
        (dataset.source.name(i), dataset.classes[dataset.labels[i]], str(dataset.given[i])) for i in range(len(dataset))
    ]


def test_csv(root):
    found = read(table(root, 'image_path,label\na.png,cat\n"c, d.png","big, dog"\n./deep/e f.png,cat\n'))
    assert facts(found) == [("a.png", "cat", ""), ("c, d.png", "big, dog", ""), ("deep/e f.png", "cat", "")]
    assert found.name == "labels"
    assert found.groups is None
    assert all(p.is_file() for p in found.source.paths)


def test_columns_that_are_not_used_are_named(root):
    """Beside image, label, split and group; the other candidates for a label too."""
    found = read(table(root, "path,label,class,camera,split,group\na.png,x,1,A,train,g\nb.png,y,2,B,val,h\n"))
    taken, unused = found.notes
    assert taken.endswith("candidate columns not used: 'class'")
    assert unused.startswith("1 table column not used in training: 'camera'; `evaluate --group-by COLUMN`")
    assert read(table(root, "image_path,label\na.png,x\nb.png,y\n")).notes == ()
    numbers = read(table(root, "path,angle,speed,site\na.png,1,2,A\nb.png,3,4,B\n"))  # both numbers are targets
    assert numbers.notes[1].startswith("1 table column not used in training: 'site'")
    wide = "image_path,label," + ",".join(f"c{i}" for i in range(20))
    many = read(table(root, wide + "\na.png,x" + ",1" * 20 + "\nb.png,y" + ",2" * 20 + "\n"))
    assert "20 table columns" in many.notes[0]
    assert "'c11', ...;" in many.notes[0]


def test_csv_columns_may_be_called_otherwise(root):
    assert facts(read(table(root, "n,Filename , CLASS\n1,a.png,x\n2,b.png,y\n"))) == [
        ("a.png", "x", ""),
        ("b.png", "y", ""),
    ]


def test_csv_with_absolute_paths_and_a_byte_order_mark(root):
    assert len(read(table(root, f"image_path,label\n{root}/a.png,x\nb.png,y\n", encoding="utf-8-sig"))) == 2


def test_csv_of_another_program(root):
    """Windows line ends, blank lines, spaces around values, a comma at the end of lines."""
    found = read(table(root, "image_path,label\r\n a.png , x ,\r\n\r\nb.png,y,\r\n"))
    assert facts(found) == [("a.png", "x", ""), ("b.png", "y", "")]


def test_splits_and_groups(root):
    text = "image_path,label,split,group\na.png,x,Train,p1\nb.png,y,valid,p2\n~g.png,x,test,\ndeep/e f.png,y,,\n"
    found = read(table(root, text))
    assert found.given.tolist() == ["train", "val", "test", ""]
    assert len(np.unique(found.groups)) == 4  # images without a group are not one group


def test_a_class_called_none(root):
    assert read(table(root, "image_path,label\na.png,None\nb.png,nan\n~g.png,NA\n")).classes == ("NA", "None", "nan")


def test_repeats_count_once(root):
    found = read(table(root, "image_path,label\na.png,x\nb.png,y\n./a.png,x\n"))
    assert facts(found) == [("a.png", "x", ""), ("b.png", "y", "")]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separators_that_spreadsheets_write(tmp_path, separator):
    for name in ("a, 1.png", "b.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    lines = [["image_path", "label"], ['"a, 1.png"', "x"], ["b.png", "y"]]
    (tmp_path / "set.csv").write_text("\n".join(separator.join(line) for line in lines))
    found = read(tmp_path / "set.csv")
    assert [found.classes[i] for i in found.labels] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_path,label\na.png,x\na.png,y\n",
            "contradictory rows for 1 image.*a.png with 'x' in row 2 and 'y' in row 3",
        ),
        ("image_path,label,split\na.png,x,train\na.png,x,test\n", "a.png with 'train' in row 2 and 'test' in row 3"),
        (
            "image_path,label\na.png,x\nz.png,y\n",
            "1 of 2 images listed in .* cannot be found; found no file at .*z.png; expected paths",
        ),
        ("image_path,label\n" + "z" * 5000 + ",y\n", "1 of 1 image listed in"),
        ("image_path,label\n~no-such-user/z.png,y\n", "1 of 1 image listed in .* found .*~no-such-user/z.png"),
        (
            "image_path,label\na.png,x\nb.png,\n",
            "labels are missing for 1 of 2 images .*; found an empty label at row 3",
        ),
        ("image_path,label\n,x\nb.png,y\n", "contains 1 row without an image path; found the first at row 2"),
        (
            "image_path,kind\na.png,x\n",
            "has no label or target column; found image_path, kind; expected a column label or class",
        ),
        ("image_path/label\na.png/x\n", "has no image column; found image_path/label; expected a column image_path or"),
        ("a.png,x\nb.png,y\n", "the first row of .* looks like data.*Add a first line with the names of the columns"),
        ("image_path,label\n", "lists no images; found 0 rows"),
        ("", "is empty; expected a line with the names of the columns"),
        (" \n\n", "is empty; expected a line with the names of the columns"),
        (
            "image_path,label,split\na.png,x,monday\n",
            "contains unknown split names; found monday; expected train, val, test",
        ),
        (
            "image_path,label\na.png,x\nc, d.png,y\n",
            r"line 3 of .* does not match the header; found 3 fields; expected 2",
        ),
        ("image_path,label\na.png\n", "line 2 of .* does not match the header; found 1 fields"),
        ('image_path,label\n"a.png,x\n', "cannot be read as CSV"),
        ("image_path,label\na.png,x\0\n", "cannot be read as CSV|1 rows|lists"),
    ],
)
def test_faults_of_a_csv(root, text, message):
    if "\0" in text:
        try:
            read(table(root, text))  # what the csv module makes of it depends on the version of Python
        except DataError:
            return
    else:
        with pytest.raises(DataError, match=message):
            read(table(root, text))


def test_text_that_is_not_utf_8(root):
    found = read(table(root, "image_path,label\na.png,caf\xe9\nb.png,tea\n", encoding="latin-1"))
    assert found.classes == ("caf\xe9", "tea")
    assert found.notes == ("labels.csv is not UTF-8 and is read as Windows-1252; check words such as 'caf\xe9'",)
    assert read(table(root, "image_path;label\na.png;caf\xe9\nb.png;tea\n", encoding="utf-16")).notes == ()
    (root / "labels.csv").write_bytes(b"image_path,label\na.png,\x81\xe9\n")
    with pytest.raises(DataError, match=r"cannot be read as text; found .*Save it as UTF-8"):
        read(root / "labels.csv")


def test_a_line_may_say_what_separates_fields(root):
    found = read(table(root, "sep=|\nimage_path|label\nc, d.png|a;b\nb.png|x\n"))
    assert facts(found) == [("c, d.png", "a;b", ""), ("b.png", "x", "")]
    with pytest.raises(DataError, match="line 3 of"):
        read(table(root, "sep=;\nimage_path;label\na.png\n"))


@pytest.mark.parametrize("column", ["label", "angle"])
def test_decimal_commas(root, column):
    found = read(table(root, f"image_path;{column}\na.png;1,5\nb.png;-2\n~g.png;1.234,25\n"))
    assert found.task.name == "regression"
    assert found.targets.ravel().tolist() == [1.5, -2, 1234.25]
    assert any("decimal commas" in note for note in found.notes)
    words = read(table(root, "image_path;label\na.png;1,5\nb.png;x\n"))
    assert words.classes == ("1,5", "x"), "names stay as they are"


def test_columns_of_rows_and_ids_are_not_predicted(root):
    for first in ("", "Unnamed: 0", "id", "index", "patient_id"):
        found = read(table(root, f"{first},image_path,cat,dog\n0,a.png,1,0\n1,b.png,0,1\n2,~g.png,1,0\n"))
        assert (found.task.name, found.classes) == ("classification", ("cat", "dog"))
    assert read(table(root, "image_path,class_id\na.png,2\nb.png,0\n")).classes == ("0", "2")
    assert read(table(root, "image_path,labels\na.png,1\nb.png,0\n")).classes == ("0", "1")
    with pytest.raises(DataError, match="has two columns named 'label'"):
        read(table(root, "image_path,label,Label\na.png,1,x\n"))


def test_labels_that_are_lists(root):
    rows = [{"image_path": name, "label": label} for name, label in (("a.png", ["x", "y"]), ("b.png", ["y"]))]
    lines = table(root, "\n".join(map(json.dumps, rows)), "rows.jsonl")
    cells = table(root, "image_path;label\na.png;['x', 'y']\nb.png;[\"y\"]\n")
    for data in (lines, cells, pd.DataFrame([{**row, "image_path": str(root / row["image_path"])} for row in rows])):
        found = read(data)
        assert (found.task.name, found.names) == ("multilabel", ("x", "y"))
    one = table(root, '{"image_path": "a.png", "label": ["x"]}\n{"image_path": "b.png", "label": ["z"]}', "one.jsonl")
    assert read(one).classes == ("x", "z")
    assert any("contains a single name" in note for note in read(one).notes)
    rows = ['{"image_path": "a.png", "label": [0.5, 1]}', '{"image_path": "b.png", "label": [1.5, 2.0]}']
    assert read(table(root, "\n".join(rows), "pairs.jsonl")).targets.tolist() == [[0.5, 1.0], [1.5, 2.0]]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (".\\deep\\e f.png", "deep/e f.png"), ("Deep/E F.PNG", "deep/e f.png"), ("deep/e f", "deep/e f.png"),
        ("file://{root}/deep/e%20f.png", "deep/e f.png"),
    ],
)  # fmt: skip
def test_files_are_found_as_tables_spell_them(root, text, name):
    found = read(table(root, f"image_path,label\na.png,x\n{text.format(root=root)},y\n"))
    assert facts(found) == [("a.png", "x", ""), (name, "y", "")]
    assert any("under a different spelling" in note for note in found.notes) == (not text.startswith("file"))


def test_what_a_name_may_mean_twice_is_missing(root):
    for name in ("twice.png", "twice.jpg"):
        Image.new("L", (4, 4)).save(root / name)
    with pytest.raises(DataError, match=r"1 of 2 images listed in .* cannot be found"):
        read(table(root, "image_path,label\na.png,x\ntwice,y\n"))
    with pytest.raises(DataError, match=r"1 of 1 image listed in .* cannot be downloaded; found http://127.0.0.1:9/1"):
        read(table(root, "image_path,label\na.png,x\nhttp://127.0.0.1:9/1.png,y\n"))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_another_unicode_form_are_found(root, form):
    """macOS decomposes letters in the names of files, tables mostly do not."""
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    (root / unicodedata.normalize(form, "Kätzchen")).mkdir()
    for name in ("é.png", "ü.png"):
        Image.new("L", (4, 4)).save(root / unicodedata.normalize(form, f"Kätzchen/{name}"))
    rows = unicodedata.normalize(other, "image_path,label\nKätzchen/é.png,x\nKätzchen/ü.png,y\n")
    found = read(table(root, rows))
    assert all(path.is_file() for path in found.source.paths)
    assert "2 images found under a different spelling" in found.notes[-1]


def test_jsonl(root):
    rows = [
        {"image_path": "a.png", "label": 1, "date": "2020-01-01", "split": "train"},
        {"image_path": "c, d.png", "label": 10},
        {"label": 2, "image_path": "deep/e f.png", "group": 7},
    ]
    found = read(table(root, "\n".join(map(json.dumps, rows)) + "\n\n", "x.jsonl"))
    assert facts(found) == [("a.png", "1", "train"), ("c, d.png", "10", ""), ("deep/e f.png", "2", "")]
    assert found.classes == ("1", "2", "10")
    assert len(np.unique(found.groups)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"image_path": "a.png", "label": "x"}\n{"image_path": \n', "line 2 of .* is not valid JSON"),
        ('["a.png", "x"]\n', "cannot be read as JSON Lines; found no JSON object in line 1"),
        (
            '{"image_path": "a.png", "label": null}\n',
            "labels are missing for 1 of 1 image in .*; found an empty label at line 1",
        ),
        ('{"image_path": "a.png"}\n', "has no label or target column"),
        ("", "is empty; expected a JSON object in each line"),
        ("[" * 100_000, "cannot be read as JSON Lines|is not valid JSON"),
    ],
)
def test_faults_of_jsonl(root, text, message):
    with pytest.raises(DataError, match=message):
        read(table(root, text, "x.jsonl"))


def test_frame(root):
    frame = pd.DataFrame({"image_path": [root / "a.png", str(root / "b.png")], "label": [3, 20]}, index=["one", "two"])
    found = read(frame)
    assert found.classes == ("3", "20")
    assert [found.source.name(i) for i in range(2)] == [str(root / "a.png"), str(root / "b.png")]
    frame["label"] = [3, None]
    with pytest.raises(
        DataError, match="labels are missing for 1 of 2 images in a DataFrame; found an empty label at "
    ):
        read(frame)
    with pytest.raises(DataError, match="a DataFrame lists no images"):
        read(frame.iloc[:0])


def test_frame_paths_are_relative_to_where_one_stands(root, monkeypatch):
    monkeypatch.chdir(root)
    found = read(pd.DataFrame({"path": ["a.png", "deep/e f.png"], "class": ["x", "y"]}))
    assert [found.source.name(i) for i in range(2)] == ["a.png", "deep/e f.png"]


@pytest.mark.parametrize(
    ("header", "note"),
    [
        ("image_path,label", None),
        ("Image_Path, LABEL", None),
        (
            "image,class",
            "the images are taken from the column 'image' and the labels are taken from the column 'class'",
        ),
        ("image_path,target", "the labels are taken from the column 'target'"),
        ("path,label", "the images are taken from the column 'path'"),
    ],
)
def test_columns_taken_by_another_name_are_noted(root, header, note):
    found = read(table(root, f"{header}\na.png,x\nb.png,y\n"))
    assert found.notes == (() if note is None else (note,))


def test_of_several_columns_the_one_that_is_taken_is_noted(root):
    found = read(table(root, "file,category,image_path,label\nc,p,a.png,x\nd,q,b.png,y\n"))
    assert facts(found) == [("a.png", "x", ""), ("b.png", "y", "")]
    (note,) = found.notes
    assert "images are taken from the column 'image_path' and the labels are taken from the column 'label'" in note
    assert "candidate columns not used: 'file', 'category'" in note
    numbers = read(table(root, "image_path,size,age\na.png,1.5,3\nb.png,2.5,4\n"))
    assert numbers.notes == ("the targets are taken from the numeric columns 'size', 'age'",)
