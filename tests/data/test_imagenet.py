"""ImageNet's own layout, in miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from clearsight.errors import DataError
from clearsight.tasks import read

CATS, DOGS = "n02123045", "n02099601"


def layout(base: Path) -> Path:
    for wnid in (CATS, DOGS):
        (base / "train" / wnid).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(base / "train" / wnid / f"{wnid}_{i}.JPEG")
    (base / "val").mkdir()
    for i in range(1, 4):
        Image.new("RGB", (8, 8), (0, i, 0)).save(base / "val" / f"ILSVRC2012_val_{i:08d}.JPEG")
    return base


def solution(path: Path, *wnids: str) -> None:
    lines = [f"ILSVRC2012_val_{i:08d},{w} 1 2 3 4 {w} 5 6 7 8" for i, w in enumerate(wnids, start=1)]
    path.write_text("\n".join(["ImageId,PredictionString", *lines]) + "\n")


def facts(found) -> list[tuple[str, str]]:
    return [(str(found.given[i]), found.classes[found.labels[i]]) for i in range(len(found))]


EXPECTED = [("train", DOGS)] * 2 + [("train", CATS)] * 2 + [("val", CATS), ("val", DOGS), ("val", CATS)]


@pytest.mark.parametrize("inner", ["", "ILSVRC/Data/CLS-LOC"])
def test_with_the_solution_file(tmp_path, inner):
    layout(tmp_path / inner)
    solution(tmp_path / "LOC_val_solution.csv", CATS, DOGS, CATS)
    found = read(tmp_path)
    assert sorted(facts(found)) == sorted(EXPECTED)
    assert found.source.name(len(found) - 1) == f"{inner}/val/ILSVRC2012_val_00000003.JPEG".lstrip("/")


def test_with_the_development_kit(tmp_path):
    layout(tmp_path)
    kit = tmp_path / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    synsets = np.array(
        [(7, CATS, "cat"), (9, DOGS, "dog")], dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    )
    savemat(kit / "meta.mat", {"synsets": synsets})
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("7\n9\n7\n")
    assert sorted(facts(read(tmp_path))) == sorted(EXPECTED)


def test_faults(tmp_path):
    layout(tmp_path)
    with pytest.raises(
        DataError, match=r"looks like ImageNet, but the validation labels are missing.*Place one of these in"
    ):
        read(tmp_path)
    (tmp_path / "LOC_val_solution.csv").write_text("something else\n")
    with pytest.raises(DataError, match=r"LOC_val_solution\.csv contains no labels"):
        read(tmp_path)
    solution(tmp_path / "LOC_val_solution.csv", CATS, DOGS)
    with pytest.raises(DataError, match=r"ILSVRC2012_val_00000003\.JPEG is not listed"):
        read(tmp_path)
    solution(tmp_path / "LOC_val_solution.csv", CATS, CATS, "n00000001")
    with pytest.raises(
        DataError, match=f"differ: 2 classes in only one of them; found only in train: {DOGS}; only in val: n00000001"
    ):
        read(tmp_path)
