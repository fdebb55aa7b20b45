"""Every copy of a template in a picture: larger, smaller, turned, and in another light.

    copies = match_all(image, template, scales=(0.5, 2.0), turns=180)
    copies[0].x, copies[0].y, copies[0].scale, copies[0].turn, copies[0].score

Templates of every size and turn are slid over the picture, as `matching.match` slides one; the picture is resized and
not the template, so that each is as fine as the next. The peaks are refined where they are, first those of the best
score, and of those that overlap the best one stays [non-maximum suppression].

Legend: f picture, t template, m mask of t (1 where the turned template lies, else 0), n the pixels of m.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.classical.matching import checked_pair
from clearsight.errors import ConfigError

Floats = NDArray[np.float32]

SIDE = 24
"""Shorter side in pixels that templates are made smaller to while places are looked for; 64 while they are refined."""

FINE_SIDE = 64

SCALE_STEP, TURN_STEP = 2 ** (1 / 8), 10.0
"""Factor between sizes, and degrees between turns, that are tried; refining halves both four times."""

SLACK = 0.2
"""How far below the score asked for a peak may lie before it is refined."""

FLAT = 1e-5
"""Variance of pixels in [0, 1] below which a window has no contrast, so that no template resembles it."""


@dataclass(frozen=True)
class Copy:
    """One copy. x, y: its centre in pixels of the picture, from the left and the top. width, height: of the unturned
    template at this scale. scale: size as a share of the template's. turn: degrees counter-clockwise, in (-180, 180].
    score: correlation coefficient of template and window, at most 1.
    """

    x: float
    y: float
    width: float
    height: float
    scale: float
    turn: float
    score: float

    @property
    def corners(self) -> NDArray[np.float64]:
        """Its four corners (4, 2) as x, y."""
        a = math.radians(self.turn)
        across = np.array([math.cos(a), -math.sin(a)]) * self.width / 2
        down = np.array([math.sin(a), math.cos(a)]) * self.height / 2
        offsets = np.array([-across - down, across - down, across + down, down - across])
        return np.asarray(offsets + np.array([self.x, self.y]))

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return asdict(self)


def match_all(
    image: ArrayLike,
    template: ArrayLike,
    *,
    scales: tuple[float, float] = (1.0, 1.0),
    turns: float = 0.0,
    score: float = 0.85,
    overlap: float = 0.3,
) -> tuple[Copy, ...]:
    """Find every copy of a template, best first; both are (H, W) or (H, W, 3) with pixels in [0, 1].

    Args:
        scales: the smallest and the largest size, as shares of the template's.
        turns: degrees up to which copies may be turned to either side, 0 to 180.
        score: correlation coefficient that a copy must reach, 0 to 1.
        overlap: intersection over union of two copies above which the one of the lower score is left out, 0 to 1.

    Raises:
        DataError: the template is empty, or larger than the picture at every scale, or of another kind.
        ConfigError: a range that cannot be.
    """
    low, high = scales
    if not 0 < low <= high < math.inf or not 0 <= turns <= 180 or not 0 < score < 1 or not 0 <= overlap <= 1:
        raise ConfigError(
            "invalid options for the template search",
            found=f"scales {low:g} to {high:g}, turns={turns:g}, score={score:g}, overlap={overlap:g}",
            expected="scales above 0 in ascending order, turns from 0 to 180, score in (0, 1), overlap in [0, 1]",
        )
    f, t = checked_pair(image, template, smallest=low)
    fixed = low == high and turns == 0
    coarse = 1.0 if fixed else min(1.0, SIDE / min(t.shape[:2]))
    found = [
        copy for s in _sizes(low, high) for copy in _peaks(f, t, s, coarse, _angles(turns), score - SLACK * (not fixed))
    ]
    found = _suppressed(found, overlap)
    if not fixed:
        limits = (low, high), turns
        found = _suppressed([_refined(f, t, copy, limits) for copy in found], overlap)
    return tuple(copy for copy in _suppressed(found, overlap) if copy.score >= score)


def masked_scores(f: Floats, t: Floats, m: Floats) -> Floats:
    """Correlation coefficient of the template with every window under the mask: f (H, W, C), t (h, w, C), m (h, w) to
    (H - h + 1, W - w + 1).

    r = sum m (f - mean f) (t - mean t) / sqrt(sum m (f - mean f)² sum m (t - mean t)²), means per channel under m, sums
    over pixels and channels. A window or template without contrast scores 0.
    """
    n = float(m.sum())
    shape = f.shape[0] - t.shape[0] + 1, f.shape[1] - t.shape[1] + 1
    numerator, variance, own = np.zeros(shape), np.zeros(shape), 0.0
    for c in range(f.shape[2]):
        plane = np.ascontiguousarray(f[..., c] - f[..., c].mean())  # near zero, where float32 is finest
        centred = m * (t[..., c] - (m * t[..., c]).sum() / n)
        own += float((centred**2).sum())
        numerator += cv2.matchTemplate(plane, np.ascontiguousarray(centred), cv2.TM_CCORR)
        sums, squares = (cv2.matchTemplate(p, m, cv2.TM_CCORR).astype(np.float64) for p in (plane, plane**2))
        variance += squares - sums**2 / n
    flat = variance < FLAT * n
    if own < FLAT * n:
        return np.zeros(shape, np.float32)
    return np.where(flat, 0, np.clip(numerator / np.sqrt(np.where(flat, 1, variance) * own), -1, 1)).astype(np.float32)


def _sizes(low: float, high: float) -> list[float]:
    """Sizes from low to high in equal ratios of at most `SCALE_STEP`."""
    steps = math.ceil(math.log(high / low) / math.log(SCALE_STEP) - 1e-9)
    return [low * (high / low) ** (k / max(1, steps)) for k in range(steps + 1)]


def _angles(turns: float) -> list[float]:
    """Turns in equal steps of at most `TURN_STEP`, no turn among them; the full circle without its end twice."""
    steps = math.ceil(turns / TURN_STEP)
    angles = [turns * k / max(1, steps) for k in range(-steps, steps + 1)]
    return angles[1:] if turns == 180 else angles


def _peaks(f: Floats, t: Floats, scale: float, coarse: float, angles: Sequence[float], least: float) -> Iterator[Copy]:
    """Places of one size where the score is higher than at all neighbours, and `least` at least."""
    picture = resized(f, coarse / scale)
    small = resized(t, coarse)
    for angle in angles:
        window, mask = turned(small, angle)
        if window.shape[0] > picture.shape[0] or window.shape[1] > picture.shape[1]:
            continue
        scores = masked_scores(picture, window, mask)
        tops = (scores >= least) & (scores >= cv2.dilate(scores, np.ones((3, 3), np.uint8)))
        for row, column in np.argwhere(tops):
            x = (column + window.shape[1] / 2) * f.shape[1] / picture.shape[1]
            y = (row + window.shape[0] / 2) * f.shape[0] / picture.shape[0]
            yield _copy(t, float(x), float(y), scale, angle, float(scores[row, column]))


def _refined(f: Floats, t: Floats, copy: Copy, limits: tuple[tuple[float, float], float]) -> Copy:
    """The best copy near one, at finer sizes and turns, within the limits asked for."""
    (low, high), turns = limits
    fine = min(1.0, FINE_SIDE / min(t.shape[:2]))
    best = _near(f, t, copy.x, copy.y, copy.scale, copy.turn, fine, margin=0.25)
    ratio, step = SCALE_STEP, TURN_STEP
    for _ in range(4):
        ratio, step = math.sqrt(ratio), step / 2
        scales = {min(high, max(low, best.scale * r)) for r in (1 / ratio, 1, ratio)}
        angles = {best.turn} if turns == 0 else {best.turn - step, best.turn, best.turn + step}
        allowed = [a for a in angles if turns == 180 or abs(a) <= turns]
        tried = [_near(f, t, best.x, best.y, s, a, fine, margin=0.12) for s in sorted(scales) for a in sorted(allowed)]
        best = max([best, *tried], key=lambda one: one.score)
    return best


def _near(f: Floats, t: Floats, x: float, y: float, scale: float, angle: float, fine: float, margin: float) -> Copy:
    """The best place of one size and turn around a centre; margin: how far to look, as a share of the template."""
    window, mask = turned(resized(t, fine), angle)
    factor = fine / scale
    sides = window.shape[1] / factor, window.shape[0] / factor  # of the turned template, in pixels of the picture
    reach = margin * min(t.shape[:2]) * scale + 1 / factor
    left, top = (max(0, math.floor(c - side / 2 - reach)) for c, side in zip((x, y), sides, strict=True))
    right, bottom = (math.ceil(c + side / 2 + reach) for c, side in zip((x, y), sides, strict=True))
    part = f[top:bottom, left:right]
    picture = resized(part, factor) if min(part.shape[:2]) else part
    if window.shape[0] > picture.shape[0] or window.shape[1] > picture.shape[1]:
        return _copy(t, x, y, scale, angle, -1.0)
    scores = masked_scores(picture, window, mask)
    row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    across = left + (int(column) + window.shape[1] / 2) * part.shape[1] / picture.shape[1]
    down = top + (int(row) + window.shape[0] / 2) * part.shape[0] / picture.shape[0]
    return _copy(t, across, down, scale, angle, float(scores[row, column]))


def _copy(t: Floats, x: float, y: float, scale: float, angle: float, score: float) -> Copy:
    turn = 180 - (180 - angle) % 360  # in (-180, 180]
    return Copy(x, y, t.shape[1] * scale, t.shape[0] * scale, scale, turn, score)


def resized(f: Floats, factor: float) -> Floats:
    """A picture (H, W, C) made larger or smaller by a factor, areas averaged where it gets smaller."""
    if factor == 1:
        return f
    size = max(1, round(f.shape[1] * factor)), max(1, round(f.shape[0] * factor))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(f, size, interpolation=method), np.float32).reshape(size[1], size[0], f.shape[2])


def turned(t: Floats, angle: float) -> tuple[Floats, Floats]:
    """A template (h, w, C) turned counter-clockwise by so many degrees, in the smallest upright window that holds it,
    and its mask (h', w'), without pixels that lie only in part inside.
    """
    h, w = t.shape[:2]
    if angle % 360 == 0:
        return t, np.ones((h, w), np.float32)
    a = math.radians(angle)
    # Rounded before it is rounded up: a quarter turn has no cosine.
    wide = math.ceil(round(w * abs(math.cos(a)) + h * abs(math.sin(a)), 6))
    tall = math.ceil(round(w * abs(math.sin(a)) + h * abs(math.cos(a)), 6))
    rotation = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), angle, 1.0)
    rotation[:, 2] += (wide - w) / 2, (tall - h) / 2
    picture = cv2.warpAffine(t, rotation, (wide, tall), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.ones((h, w), np.float32), rotation, (wide, tall), flags=cv2.INTER_LINEAR)
    return picture.reshape(tall, wide, t.shape[2]), (covered > 0.99).astype(np.float32)


def _suppressed(found: Sequence[Copy], overlap: float) -> list[Copy]:
    """The copies that overlap no better one by more than `overlap`, best first."""
    if not found:
        return []
    boxes: Any = [((one.x, one.y), (one.width, one.height), -one.turn) for one in found]
    scores = [max(one.score, 0.0) for one in found]  # OpenCV takes none below its threshold, which is 0 at least
    kept = cv2.dnn.NMSBoxesRotated(boxes, scores, 0.0, overlap)
    return [found[int(i)] for i in np.ravel(kept)]
