"""Correlation slides the kernel as it is, and convolution flips it first; only convolution is associative.

So a chain of convolutions can be joined into one kernel. The result is the same except at the border, where the second
filter sees padding that has not been filtered.

Source: Szeliski 2022, Computer Vision, 2nd edition, section 3.2; Goodfellow, Bengio, Courville 2016, section 9.1.
"""

import numpy as np
from skimage import data as pictures

from clearsight.classical.filters import KERNELS, convolve, correlate, gaussian, joined
from gallery import Found, main, plt


def study(short: bool, seed: int) -> Found:
    image = pictures.camera()[40:300:2, 120:380:2] / 255 if short else pictures.camera()[40:300, 120:380] / 255
    blur, slope = gaussian(2.0), KERNELS["sobel-x"]

    twice = convolve(convolve(image, blur), slope)
    once = convolve(image, joined(blur, slope))
    gap, reach = np.abs(twice - once), len(blur) // 2 + 1
    flipped = np.abs(convolve(image, slope) - correlate(image, slope[::-1, ::-1])).max()
    corner = np.zeros((5, 5))  # correlation is not associative: a lopsided pair of kernels shows it
    corner[2, 2] = 1.0
    left = correlate(correlate(corner, slope), KERNELS["sobel-y"] + slope)
    right = correlate(corner, correlate(np.pad(slope, 1), KERNELS["sobel-y"] + slope))
    opposite = np.abs(correlate(image, slope) + convolve(image, slope)).max()

    figure, axes = plt.subplots(1, 4, figsize=(10.5, 2.9))
    shown = (
        ("the picture", image, "gray"), ("correlated with sobel-x", correlate(image, slope), "RdBu_r"),
        ("blurred, then convolved with it", twice, "RdBu_r"), ("by one joined kernel: difference", gap, "magma_r"),
    )  # fmt: skip
    for axis, (title, values, colours) in zip(axes, shown, strict=True):
        most = np.abs(values).max()
        drawn = axis.imshow(values, cmap=colours, vmin=-most if values.min() < 0 else 0, vmax=most)
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)
    figure.colorbar(drawn, ax=axes[3], shrink=0.7)

    inside = gap[reach:-reach, reach:-reach].max()
    return Found(
        figure,
        {
            "largest difference inside, joined kernel against two filters": f"{inside:.1e}",
            "largest difference at the border": f"{gap.max():.2f}",
            "convolution against correlation with the flipped kernel": f"{flipped:.1e}",
            "correlation, grouped from the left against from the right": f"{np.abs(left - right).max():.1f}",
        },
        {
            "convolution is correlation with the kernel turned by 180 degrees": flipped < 1e-12,
            "for an antisymmetric kernel such as sobel-x this only changes the sign": opposite < 1e-12,
            "convolution is associative away from the border, up to rounding": inside < 1e-12,
            "but not at the border": gap.max() > 0.01,
            "correlation is not associative": np.abs(left - right).max() > 1,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
