"""Generated machine hums with and without faults, as WAV files: what the benchmark of anomalies listens to.

A hum is ten harmonics of about 50 Hz, whose strengths and phases differ from file to file, in noise, under a slow
modulation. Faults: bearing (short clicks at an even rate), drift (the pitch rises and falls), tone (one more sine),
rattle (the loudness flutters fast).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

RATE = 16_000
SECONDS = 2.0
FAULTS = ("bearing", "drift", "tone", "rattle")


def hum(seed: int, fault: str | None = None) -> NDArray[np.int16]:
    """Samples (RATE SECONDS,) of one recording."""
    rng, t = np.random.default_rng(seed), np.arange(int(RATE * SECONDS)) / RATE
    pitch = np.full(len(t), rng.normal(50, 0.5))
    if fault == "drift":
        pitch = pitch * (1 + rng.uniform(0.04, 0.1) * np.sin(2 * np.pi * rng.uniform(0.5, 1.5) * t))
    turns = np.cumsum(pitch) / RATE
    sound = np.zeros(len(t))
    for k in range(1, 11):
        sound += rng.uniform(0.6, 1.4) * 0.15 / k * np.sin(2 * np.pi * (k * turns + rng.random()))
    sound *= 1 + 0.1 * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * t + rng.random()))
    sound += 0.01 * rng.standard_normal(len(t))
    if fault == "tone":
        sound += rng.uniform(0.01, 0.03) * np.sin(2 * np.pi * rng.uniform(1000, 4000) * t)
    if fault == "rattle":
        sound *= 1 + rng.uniform(0.4, 0.8) * np.sign(np.sin(2 * np.pi * rng.uniform(15, 40) * t))
    if fault == "bearing":
        every, ring = int(RATE / rng.uniform(8, 20)), np.exp(-np.arange(160) / 20)
        for start in range(int(rng.integers(every)), len(t) - 160, every):
            sound[start : start + 160] += rng.uniform(0.1, 0.2) * ring * rng.standard_normal(160)
    return np.rint(32767 * np.clip(0.5 * sound, -1, 1)).astype(np.int16)


def write_hums(root: Path, normal: int, each: int) -> Path:
    """root/normal and a folder for each fault; returns root."""
    seed = 0
    for name, count in (("normal", normal), *((fault, each) for fault in FAULTS)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            seed += 1
            wavfile.write(root / name / f"{i}.wav", RATE, hum(seed, None if name == "normal" else name))
    return root
