"""Speech of healthy speakers alone: impaired ones stand out, with one answer for each speaker."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from benchmarks import speech
from scipy.io import wavfile

pytestmark = pytest.mark.skipif(not speech.installed(), reason="needs espeak-ng")


def test_recordings_are_16_bit_and_grouped_by_speaker(tmp_path: Path) -> None:
    table = speech.write_speakers(tmp_path, 0, healthy=2, tested=1, recordings=2)
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows[::2]] == ["healthy", "healthy", "healthy", "rate", "pitch", "tremor"]
    assert {row["split"] for row in rows if row["label"] != "healthy"} == {"test"}
    rate, sound = wavfile.read(tmp_path / rows[0]["image_path"])
    assert (rate, sound.dtype, len(sound)) == (22_050, np.int16, 44_100)
    again = tmp_path / "again"
    again.mkdir()
    speech.write_speakers(again, 0, healthy=2, tested=1, recordings=2)
    for row in rows:
        assert (again / row["image_path"]).read_bytes() == (tmp_path / row["image_path"]).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_impaired_speakers_rank_above_healthy_ones(seed: int, tmp_path: Path) -> None:
    found = speech.one_seed(seed, tmp_path)
    assert found["per_speaker"] >= 0.9
