"""Speech anomalies from healthy speakers only: voices of Debian's `espeak-ng`, one answer per speaker.

    python -m benchmarks speech

A speaker has a voice, an accent, a rate and a pitch, and reads sentences, of each of which the first two seconds are
kept, as 16-bit WAV at espeak-ng's 22,050 Hz. Speakers with an impairment are slow or hurried (rate), much higher or
lower than their voice is (pitch), or tremble (tremor: loudness and pitch swing 4 to 7 times a second). The detector
learns from healthy speakers alone, and no speaker of the test is among them. Scores of a speaker's recordings are
averaged (`evaluate --average-by group`).
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

import clearsight as cs
from clearsight.errors import DataError

SENTENCES = (
    "The boat sailed slowly past the lighthouse in the evening",
    "She put the warm bread on a plate beside the window",
    "Every morning the old man walks his dog along the river",
    "They found a small green box under the wooden stairs",
    "Please call me again when the train arrives at noon",
    "The children were singing loudly in the empty school yard",
    "A cold wind blew over the hills and shook the trees",
    "He bought seven apples and a bottle of fresh milk",
    "We often sit together by the fire and sing old songs",
    "The doctor asked him to read this sentence out loud",
    "Nobody could remember where the silver key was hidden",
    "My sister plays the violin in a large city orchestra",
)
ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan")
VOICES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
KINDS = ("rate", "pitch", "tremor")
SECONDS, SKIPPED = 2.0, 0.15
"""Length of a recording, and what is left out before it: espeak-ng begins with silence."""

HEALTHY, TESTED, RECORDINGS = 60, 15, 6
"""Speakers to learn from, speakers of the test of each kind, and recordings of each."""

SEEDS = 5


def installed() -> bool:
    """Whether this machine has espeak-ng."""
    return shutil.which("espeak-ng") is not None


def write_speakers(
    folder: Path, seed: int, *, healthy: int = HEALTHY, tested: int = TESTED, recordings: int = RECORDINGS
) -> Path:
    """Recordings of speakers in a folder, and a table of them: image_path, label, split, group (the speaker)."""
    if not installed():
        raise DataError("there are no voices", found="no program espeak-ng", fix="run `apt-get install espeak-ng`")
    rng = np.random.default_rng(seed)
    kinds = [""] * tested + [kind for kind in KINDS for _ in range(tested)]
    speakers = [("train", "")] * healthy + [("test", kind) for kind in kinds]
    rows = []
    for number, (split, kind) in enumerate(speakers):
        for k, (rate, sound) in enumerate(_recordings(rng, kind, recordings)):
            name = f"s{number:03d}-{k}.wav"
            wavfile.write(folder / name, rate, sound)
            rows.append((name, kind or "healthy", split, f"s{number:03d}"))
    table = folder / "speakers.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image_path", "label", "split", "group"), *rows])
    return table


def _recordings(rng: np.random.Generator, kind: str, count: int) -> list[tuple[int, NDArray[np.int16]]]:
    """What one speaker reads."""
    voice = f"{rng.choice(ACCENTS)}+{rng.choice(VOICES)}"
    rate, pitch = rng.normal(165, 8), rng.normal(50, 6)
    if kind == "rate":
        rate *= rng.choice([0.6, 1.6])
    if kind == "pitch":
        pitch += rng.choice([-1, 1]) * rng.uniform(35, 45)
    swings, depth = (rng.uniform(4, 7), rng.uniform(0.5, 0.8)) if kind == "tremor" else (0.0, 0.0)
    found = []
    for k in rng.permutation(len(SENTENCES))[:count]:
        samples, sound = _spoken(f"{SENTENCES[k]}. {SENTENCES[(k + 1) % len(SENTENCES)]}", voice, rate, pitch)
        start = int(SKIPPED * samples)
        sound = sound[start : start + int(SECONDS * samples)]
        if depth:
            sound = _trembling(sound, samples, swings, depth, float(rng.uniform(0, 2 * np.pi)))
        loudness = rng.uniform(0.3, 0.9) * 32767 / np.abs(sound).max()
        found.append((samples, np.asarray(sound * loudness, np.int16)))
    return found


def _spoken(text: str, voice: str, rate: float, pitch: float) -> tuple[int, NDArray[np.float64]]:
    """Samples a second, and the samples. Written to a pipe, the file's header does not know its own length."""
    asked = ["espeak-ng", "-v", voice, "-s", f"{rate:.0f}", "-p", f"{np.clip(pitch, 0, 99):.0f}", "--stdout", text]
    content = subprocess.run(asked, capture_output=True, check=True).stdout
    samples, body = int.from_bytes(content[24:28], "little"), content[content.index(b"data") + 8 :]
    return samples, np.frombuffer(body[: len(body) // 2 * 2], "<i2").astype(np.float64)


def _trembling(
    sound: NDArray[np.float64], samples: int, swings: float, depth: float, phase: float
) -> NDArray[np.float64]:
    """A sound whose loudness and pitch swing so many times a second."""
    time = np.arange(len(sound)) / samples
    wave = np.sin(2 * np.pi * swings * time + phase)
    return np.interp(time + 0.006 * depth * wave, time, sound) * (1 + depth * wave) / (1 + depth)


def one_seed(seed: int, folder: Path, **sizes: int) -> dict[str, Any]:
    """AUROC per speaker and per recording, and how many healthy speakers are called anomalies."""
    table = write_speakers(folder, seed, **sizes)
    run = cs.fit(
        table, task="anomaly", normal="healthy", anomaly="mahalanobis", img_size=128, seed=seed, out=folder / "run"
    )
    each, speakers = run.model.evaluate(table), run.model.evaluate(table, average_by="group")
    return {
        "seed": seed, "per_speaker": speakers.auroc, "per_recording": each.auroc, "found": speakers.found,
        "false_alarms": speakers.false_alarms, "promised": speakers.promised,
        "kinds": {group.name: group.auroc for group in speakers.per_group if not group.normal},
    }  # fmt: skip


def measure() -> dict[str, Any]:
    """AUROC per speaker of every seed, their least and their median."""
    found = []
    for seed in range(SEEDS):
        with tempfile.TemporaryDirectory() as folder:
            found.append(one_seed(seed, Path(folder)))
    scores = [one["per_speaker"] for one in found]
    return {"seeds": found, "least": min(scores), "median": median(scores)}
