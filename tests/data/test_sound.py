"""WAV files as images: every form of samples, damaged files, and the mel scale by hand."""

import io
import random
import re
import struct
import warnings
import wave

import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import resample_poly, stft

from clearsight.data.decode import decode, read_header
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, quiet_pillow
from clearsight.data.sound import (
    BANDS,
    FLOOR,
    HOP,
    RATE,
    WINDOW,
    hertz,
    mel,
    mel_filters,
    mel_power,
    read_wave,
    sound_header,
    spectrogram,
)
from clearsight.errors import ImageError


def tone(seconds=0.5, frequency=1000.0, rate=RATE, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def written(values, rate=RATE):
    """The bytes that SciPy writes for an array of samples."""
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, values)
    return buffer.getvalue()


def pcm24(values, channels=1, rate=RATE):
    """24-bit samples, which SciPy does not write, by the standard library."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(3)
        out.setframerate(rate)
        whole = np.rint(values * (2**23 - 1)).astype("<i4")
        out.writeframes(whole.reshape(-1, 1).view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "step"),
    [
        (written(np.rint(tone() * 127 + 128).astype(np.uint8)), 1 / 100),
        (written(np.rint(tone() * 32767).astype(np.int16)), 1 / 30_000),
        (pcm24(tone()), 1e-6),
        (written(np.rint(tone() * (2**31 - 1)).astype(np.int32)), 1e-6),
        (written(tone().astype(np.float32)), 1e-6),
        (written(tone()), 1e-6),
    ],
    ids=["8 bits", "16 bits", "24 bits", "32 bits", "float", "double"],
)
def test_every_form_of_samples_is_the_same_sound(content, step):
    found = read_wave(content, "x.wav").samples()
    assert found.shape == (RATE // 2,)
    assert np.abs(found - tone()).max() < step


def test_channels_are_averaged():
    both = np.stack([tone(), -0.5 * tone()], axis=1)
    content = written(both.astype(np.float32))
    np.testing.assert_allclose(read_wave(content, "x.wav").samples(), 0.25 * tone(), atol=1e-6)


def test_extensible_headers_are_read():
    plain = written(np.rint(tone() * 32767).astype(np.int16))
    assert plain[12:16] == b"fmt "
    length = struct.unpack_from("<I", plain, 16)[0]
    form = plain[20 : 20 + length]
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    wide = struct.pack("<H", 0xFFFE) + form[2:16] + struct.pack("<HHI", 22, 16, 4) + guid
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(wide)) + wide + plain[20 + length :]
    content = b"RIFF" + struct.pack("<I", len(body)) + body
    np.testing.assert_array_equal(spectrogram(content, "x.wav"), spectrogram(plain, "x.wav"))


def test_the_mel_scale_by_hand():
    assert mel(700) == pytest.approx(2595 * np.log10(2))
    assert mel(1000) == pytest.approx(999.9855, abs=1e-3), "the scale is made so that 1000 Hz are 1000 mel"
    np.testing.assert_allclose(hertz(mel(np.array([0, 440, 8000]))), [0, 440, 8000], atol=1e-9)


def test_the_filters_are_triangles_that_overlap():
    bank, bins = mel_filters(), np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    assert bank.shape == (BANDS, WINDOW // 2 + 1)
    assert (bank.sum(1) > 0).all(), "no band is deaf"
    step = mel(RATE / 2) / (BANDS + 1)
    inner = (bins >= hertz(step)) & (bins <= hertz(step * BANDS))
    np.testing.assert_allclose(bank.sum(0)[inner], 1, atol=1e-9, err_msg="between corners two neighbours share all")
    k = 20  # peak of filter 19 at corner 20
    np.testing.assert_allclose(bins[bank[k - 1].argmax()], hertz(step * k), atol=RATE / WINDOW)


def test_the_spectrum_is_scipys():
    sound = tone(0.3, 730).astype(np.float32) + 0.01 * np.random.default_rng(0).standard_normal(4800).astype(np.float32)
    _, _, theirs = stft(
        sound, RATE, window="hann", nperseg=WINDOW, noverlap=WINDOW - HOP, boundary=None, padded=False
    )  # fmt: skip
    ours = mel_power(sound)[: theirs.shape[1]]
    np.testing.assert_allclose(ours, (np.abs(2 * theirs) ** 2).T @ mel_filters().T, rtol=1e-4)


def test_a_full_tone_is_nearly_white_in_its_band_and_black_elsewhere():
    image = spectrogram(written(tone(1.0, 1000, amplitude=1.0).astype(np.float32)), "x.wav")
    assert image.shape == (BANDS, 1 + -(-(RATE - WINDOW) // HOP))
    column = image[:, 10]
    band = BANDS - 1 - int(column.argmax())  # the lowest band is the last row
    centre = hertz(mel(RATE / 2) / (BANDS + 1) * (band + 1))
    assert abs(centre - 1000) < 60
    assert column.max() >= 253, "0 decibels, or a little less between two bands"
    assert column[:10].max() < 60
    quiet = spectrogram(written(tone(1.0, 1000, amplitude=0.1).astype(np.float32)), "x.wav")
    fallen = int(column.max()) - int(quiet[:, 10].max())
    assert fallen == pytest.approx(20 * 255 / -FLOOR, abs=4), "20 decibels less"


def test_other_rates_become_the_same_picture():
    low = spectrogram(written(tone(1.0).astype(np.float32)), "x.wav").astype(int)
    high_sound = tone(1.0, rate=44_100).astype(np.float32)
    content = written(high_sound, 44_100)
    high = spectrogram(content, "x.wav").astype(int)
    assert read_wave(content, "x").columns == high.shape[1] == low.shape[1]
    assert len(resample_poly(high_sound, 160, 441)) == RATE
    loud = low > 120
    assert np.abs(low - high)[loud].max() <= 3


def test_a_sound_is_an_image_of_any_size():
    content = written(tone(2.0).astype(np.float32))
    header = read_header(content, "x.wav")
    assert (header.width, header.height, header.mode, header.format) == (122, BANDS, "L", "WAV")
    assert decode(content, "x.wav", PixelFormat(3, 8), Geometry(32, 48)).shape == (3, 32, 48)
    short = written(tone(0.01).astype(np.float32))
    assert spectrogram(short, "x.wav").shape == (BANDS, 1)


PLAIN = written(np.rint(tone() * 32767).astype(np.int16))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PLAIN[:-1000], "x.wav is truncated; found 15,044 bytes; expected 16,044"),
        (PLAIN[:30], "x.wav is truncated; found 30 bytes"),
        (b"RIFF", "x.wav is not a WAV file"),
        (b"ID3 an mp3 by another name", "x.wav is not a WAV file; found a file that begins with b'ID3"),
        (b"RIFX" + PLAIN[4:], "is a WAV file in an unsupported format; found Unknown wave file format"),
        (
            PLAIN[:4] + struct.pack("<I", 28) + PLAIN[8:36],
            "is a WAV file in an unsupported format; found a damaged header",
        ),
        (written(np.zeros(0, np.int16)), "x.wav contains no sound"),
        (written(np.full(2000, np.nan, np.float32)), "non-finite samples"),
        (PLAIN[:20] + struct.pack("<H", 6) + PLAIN[22:], "found Unknown wave file format: ALAW"),
        (written(np.zeros(99, np.float32), 10), "unsupported sampling rate; found 10 Hz"),
        (written(np.zeros(1000 * 3600 * 2, np.uint8), 1000), "x.wav is too long; found 120 minutes"),
    ],
)
def test_what_is_no_whole_wav_file_says_so(content, message):
    with pytest.raises(ImageError, match=message.replace("(", r"\(")):
        spectrogram(content, "x.wav")


def test_a_wav_written_to_a_pipe_ends_where_it_ends():
    start = PLAIN.index(b"data") + 4
    piped = PLAIN[:start] + b"\xff\xff\xff\xff" + PLAIN[start + 4 :]
    np.testing.assert_array_equal(spectrogram(piped, "x.wav"), spectrogram(PLAIN, "x.wav"))


def test_other_chunks_are_passed_over():
    end = PLAIN + b"bext" + struct.pack("<I", 4) + b"note"
    content = end[:4] + struct.pack("<I", len(end) - 8) + end[8:]
    with quiet_pillow():  # SciPy warns of them
        np.testing.assert_array_equal(spectrogram(content, "x.wav"), spectrogram(PLAIN, "x.wav"))


def test_only_image_errors_come_out_of_damaged_files():
    dice = random.Random(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for trial in range(300):
            bad = bytearray(PLAIN)
            if trial % 3 == 0:
                del bad[dice.randrange(1, len(bad)) :]
            for _ in range(trial % 3):
                bad[dice.randrange(48)] = dice.randrange(256)
            try:
                assert sound_header(bytes(bad), "x").height == BANDS
            except ImageError as error:
                assert re.fullmatch("x .*", str(error))  # noqa: PT017  # one line
