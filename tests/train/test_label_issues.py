"""Wrong labels are found among right ones, and right ones are left alone."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.tasks import read
from clearsight.train.confident_learning import COMMITTEE, label_issues


@pytest.fixture(autouse=True)
def committee(whole_forest, monkeypatch):
    """The committee as it is."""
    monkeypatch.setitem(COMMITTEE, "forest", whole_forest)


@pytest.mark.parametrize("wrong", [pytest.param(0.0, marks=pytest.mark.long), 0.05])
@pytest.mark.parametrize("seed", [7, *(pytest.param(seed, marks=pytest.mark.long) for seed in (8, 9))])
def test_changed_labels_of_digits_are_found(tmp_path, wrong, seed):
    """The bounds are wide: usually 95 % or so are found."""
    dataset = read("digits")
    draw = np.random.default_rng(seed)
    labels = dataset.labels.copy()
    changed = draw.permutation(len(labels))[: round(wrong * len(labels))]
    labels[changed] = (labels[changed] + draw.integers(1, 10, len(changed))) % 10
    run = cs.fit(replace(dataset, labels=labels, origin="arrays in memory"), out=str(tmp_path / "run"), epochs=1)
    looked, found = set(run.label_issues.rows.tolist()), {s.index for s in run.label_issues.found}
    flipped = set(changed.tolist()) & looked
    assert len(looked) == 1347  # training and validation images; never the test's
    if not wrong:
        assert len(found) <= 8
        return
    assert len(found & flipped) >= 0.8 * len(flipped)
    assert len(found & flipped) >= 0.9 * len(found)
    suggested = {s.index: s.suggested for s in run.label_issues.found}
    assert np.mean([suggested[i] == str(dataset.labels[i]) for i in found & flipped]) > 0.95
    lines = (tmp_path / "run" / "suspects.csv").read_text().splitlines()
    assert lines[0] == "index,image,label,suggested,belief_in_label,belief_in_suggested"
    assert len(lines) == 1 + len(found)
    assert "Label issues" in run.report.read_text()


def test_a_class_without_images_does_not_matter():
    belief = np.full((30, 4), 0.01)
    labels = np.arange(30) % 3
    belief[np.arange(30), labels] = 0.97
    belief[0] = [0.01, 0.97, 0.01, 0.01]
    assert label_issues(labels, belief).tolist() == [0]


@pytest.mark.long
def test_photos_in_the_wrong_folder_are_found_among_a_few(tmp_path):
    from skimage import data

    draw = np.random.default_rng(0)
    names = ("astronaut", "chelsea", "coffee")
    for place, name in enumerate(names):
        picture = getattr(data, name)()
        for i in range(30):
            folder = tmp_path / "photos" / (names[(place + 1 + i) % 3] if i < 2 else name)
            folder.mkdir(parents=True, exist_ok=True)
            top, left = (int(draw.integers(0, side - 96)) for side in picture.shape[:2])
            Image.fromarray(picture[top : top + 96, left : left + 96]).save(folder / f"{name} {i}.png")
    dataset = read(str(tmp_path / "photos"))
    suspects = cs.fit(dataset, out=str(tmp_path / "run")).label_issues
    looked = [dataset.source.name(int(row)) for row in suspects.rows]
    wrong = {name for name in looked if name.split("/")[0] not in name.split("/")[1]}
    found = {s.image: s.suggested for s in suspects.found}
    assert len(wrong) >= 3  # the test's are not looked at
    assert len(found) >= len(wrong) / 2
    assert all(image in wrong and image.split("/")[1].startswith(label) for image, label in found.items())
