"""Sound as an image: a WAV file becomes its log-mel spectrogram, so that whatever learns from images can hear.

    file        RIFF/WAVE: PCM of up to 8 bits (unsigned) and of 9 to 64 bits, floats of 32 and 64 bits; also RIFX and
                RF64 [scipy.io.wavfile]
    channels    averaged to one
    rate        resampled to RATE, by a polyphase filter where the file has another [scipy.signal.resample_poly]
    spectrum    squared magnitude under Hann windows of WINDOW samples every HOP, scaled so that a sine of full scale
                peaks at 1; the last window is filled up with zeros
    mel         BANDS triangles of height 1, their corners evenly spaced on the mel scale up to half the rate
                [Davis, Mermelstein 1980]; mel(f) = 2595 log10(1 + f / 700), as in HTK [O'Shaughnessy 1987]
    pixels      10 log10(power), from FLOOR decibels (0) to full scale (255), whatever the file's own loudness

The image (BANDS, T) has time from left to right and the highest band in its first row.
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.pixels import MAX_SIDE, Header
from clearsight.errors import ImageError

SUFFIX = ".wav"

RATE = 16_000
WINDOW = 1024
HOP = 256
BANDS = 64
FLOOR = -100.0

FACTS: dict[str, Any] = {
    "rate": RATE, "window": WINDOW, "hop": HOP, "bands": BANDS, "mel": "HTK", "floor_decibels": FLOOR,
    "channels": "averaged",
}  # fmt: skip
"""What a bundle records of the rule."""

RULE = (
    f"sounds are converted to log-mel spectrograms: channels averaged, resampled to {RATE:,} Hz, {BANDS} mel bands, "
    f"hop length {1000 * HOP // RATE} ms, dynamic range {-FLOOR:.0f} dB"
)

RATES = (1000, 384_000)
"""Sampling rates that are read."""

BLOCK = 1024
"""Windows that are transformed at once, so that memory does not grow with the sound."""


@dataclass(frozen=True)
class Wave:
    """A WAV file's content. rate: samples per second. values (n,) or (n, channels): samples of the file's own type."""

    rate: int
    values: NDArray[Any]

    @property
    def ratio(self) -> tuple[int, int]:
        """By what the rate is multiplied and divided."""
        shared = math.gcd(RATE, self.rate)
        return RATE // shared, self.rate // shared

    @property
    def columns(self) -> int:
        """Width of the image."""
        up, down = self.ratio
        samples = -(-len(self.values) * up // down)
        return 1 + max(0, -(-(samples - WINDOW) // HOP))

    def samples(self) -> NDArray[np.float32]:
        """The samples as one channel.

        Returns:
            The mean over the channels (n,), float32, with full scale at -1 and 1.
        """
        values = self.values.astype(np.float32)
        if self.values.dtype == np.uint8:  # the only unsigned type
            values -= 128
            values /= 128
        elif self.values.dtype.kind == "i":
            values /= 2.0 ** (8 * self.values.dtype.itemsize - 1)
        return np.asarray(values.reshape(len(values), -1).mean(1), np.float32)


def is_sound(content: bytes, name: str) -> bool:
    """Whether a file is to be read as sound.

    The name counts too, so that the error for a broken file says that it is a broken sound.

    Args:
        content: bytes of the file.
        name: name of the file.

    Returns:
        True for the signature or the suffix of a WAV file.
    """
    return (content[:4] in (b"RIFF", b"RIFX", b"RF64") and content[8:12] == b"WAVE") or name.lower().endswith(SUFFIX)


def sound_header(content: bytes, name: str) -> Header:
    """The header of the image that a WAV file becomes.

    Args:
        content: bytes of the file.
        name: name of the file, for messages.

    Returns:
        The header.

    Raises:
        ImageError: it is not a complete WAV file.
    """
    return Header(read_wave(content, name).columns, BANDS, "L", "WAV", 8)


LONGER = 2
"""Times as long, or as short, as those learned from that a sound may be: it is fitted to the width of the others."""


def check_length(content: bytes, name: str, known: tuple[int, int]) -> None:
    """Refuse a sound whose length differs much from those in the training data.

    Args:
        content: bytes of the file.
        name: name of the file, for messages.
        known: widths of the shortest and the longest spectrogram in the training data.

    Raises:
        ImageError: the sound is `LONGER` times as long as the longest, or as many times shorter than the shortest.
    """
    columns, (shortest, longest) = sound_header(content, name).width, known
    if columns > LONGER * longest or columns * LONGER < shortest:
        ends = [f"{_seconds(n):.3g}" for n in sorted({shortest, longest})]
        raise ImageError(
            f"{name} is much {'longer' if columns > longest else 'shorter'} than the training sounds",
            found=f"{_seconds(columns):.3g} s",
            expected=f"about {' to '.join(ends)} s",
            fix="split it into parts of that length" if columns > longest else "record a longer one",
        )


def _seconds(columns: int) -> float:
    """How long a sound is that becomes so wide an image."""
    return ((columns - 1) * HOP + WINDOW) / RATE


def read_wave(content: bytes, name: str) -> Wave:
    """Read a WAV file with SciPy.

    Args:
        content: bytes of the file.
        name: name of the file, for messages.

    Returns:
        Sampling rate and samples.

    Raises:
        ImageError: the file is malformed, cut off, empty or too long.
    """
    from scipy.io import wavfile

    if content[8:12] != b"WAVE":
        raise ImageError(
            f"{name} is not a WAV file",
            found=f"a file that begins with {content[:12]!r}",
            expected="a RIFF/WAVE header",
            fix="convert it, for instance with `ffmpeg -i FILE OUT.wav`",
        )
    length = struct.unpack("<I", content[4:8])[0] + 8
    streamed = content[4:8] == b"\xff\xff\xff\xff"  # written to a pipe, whose end was not known; or RF64
    if content[:4] == b"RIFF" and length > len(content) and not streamed:  # of which SciPy only warns
        raise ImageError(
            f"{name} is truncated", found=f"{len(content):,} bytes", expected=f"{length:,} bytes, as its header states"
        )
    try:
        wave = Wave(*wavfile.read(io.BytesIO(content)))
    except Exception as error:  # of a damaged header SciPy raises whatever its arithmetic leads to
        raise ImageError(
            f"{name} is a WAV file in an unsupported format",
            found=str(error) if isinstance(error, ValueError) else "a damaged header",
            expected="PCM with at most 64 bits, or 32-bit or 64-bit floats",
            fix="convert it, for instance with `ffmpeg -i FILE -c:a pcm_s16le OUT.wav`",
        ) from error
    if not RATES[0] <= wave.rate <= RATES[1]:
        raise ImageError(
            f"{name} has an unsupported sampling rate",
            found=f"{wave.rate:,} Hz",
            expected=f"{RATES[0]:,} to {RATES[1]:,} Hz",
        )
    if not wave.values.size:
        raise ImageError(f"{name} contains no sound", found="0 samples")
    if wave.columns > MAX_SIDE:
        raise ImageError(
            f"{name} is too long",
            found=f"{len(wave.values) / wave.rate / 60:.0f} minutes",
            expected=f"at most {MAX_SIDE * HOP / RATE / 60:.0f} minutes",
            fix="split it into shorter files",
        )
    return wave


def spectrogram(content: bytes, name: str) -> NDArray[np.uint8]:
    """The log-mel spectrogram of a WAV file as an image.

    Args:
        content: bytes of the file.
        name: name of the file, for messages.

    Returns:
        Pixels (BANDS, T), uint8; the highest band is the first row.

    Raises:
        ImageError: it is not a complete WAV file, or some samples are not finite.
    """
    wave = read_wave(content, name)
    sound = wave.samples()
    if not np.isfinite(sound).all():
        raise ImageError(f"{name} contains non-finite samples", found="NaN or infinity")
    up, down = wave.ratio
    if up != down:
        from scipy.signal import resample_poly

        sound = np.asarray(resample_poly(sound, up, down), np.float32)
    decibels = 10 * np.log10(np.maximum(mel_power(sound), 10 ** (FLOOR / 10)))
    scaled = np.clip(1 - decibels / FLOOR, 0, 1)
    return np.asarray(np.rint(255 * scaled[:, ::-1].T), np.uint8)


def mel_power(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Power in each mel band.

    Args:
        sound: samples (n,) at `RATE`.

    Returns:
        Power (T, BANDS), lowest band first.
    """
    columns = 1 + max(0, -(-(len(sound) - WINDOW) // HOP))
    filled = np.zeros((columns - 1) * HOP + WINDOW, np.float32)
    filled[: len(sound)] = sound
    windows = np.lib.stride_tricks.sliding_window_view(filled, WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    bank = mel_filters()
    found = [
        (np.abs(np.fft.rfft(windows[i : i + BLOCK] * hann, axis=1)) * 2 / hann.sum()) ** 2 @ bank.T
        for i in range(0, columns, BLOCK)
    ]
    return np.concatenate(found)


@lru_cache(maxsize=1)
def mel_filters() -> NDArray[np.float64]:
    """Triangular filters on the mel scale: filter b rises from corner b to 1 at corner b + 1 and falls to corner b + 2.

    Returns:
        Weights (BANDS, WINDOW // 2 + 1).

    Reference:
        Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980.
    """
    corners = hertz(np.linspace(0, mel(RATE / 2), BANDS + 2))
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.asarray(np.maximum(0, np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak))))


def mel(frequency: Any) -> Any:
    """Hertz to mel.

    Args:
        frequency: frequencies in hertz, any shape.

    Returns:
        mel(f) = 2595 log10(1 + f / 700), of the same shape.

    Example:
        >>> round(float(mel(1000)))
        1000
    """
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)


def hertz(mels: Any) -> Any:
    """Mel to hertz.

    Args:
        mels: frequencies in mel, any shape.

    Returns:
        Frequencies in hertz, of the same shape.
    """
    return 700 * (10 ** (np.asarray(mels) / 2595) - 1)
