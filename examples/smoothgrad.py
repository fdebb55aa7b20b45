"""The gradient of a single noisy copy is noisy; SmoothGrad's noise falls as 1 / √n, and maps from fifty copies agree.

The gradient of one image varies strongly from pixel to pixel. Averaged over n noisy copies it converges; two maps of n
independent copies each agree.

Source: Smilkov et al. 2017, arXiv:1706.03825, section 3.2 and figure 4. EfficientNet-Lite0 with ImageNet's weights, a
photograph of a cat, noise of 10 % of the image's range.
"""

import numpy as np
import torch
from skimage import data as pictures

from clearsight.explanation.gradients import smoothgrad
from clearsight.models.pretrained import imagenet_network
from clearsight.wording import percent
from gallery import BLUE, GRAY, Found, main, plain_log, plt


def study(short: bool, seed: int) -> Found:
    network, classes = imagenet_network()
    photo = pictures.chelsea()[10:290, 90:370]
    x = torch.from_numpy(photo[:: 4 if short else 2, :: 4 if short else 2] / 255).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        probabilities = network(x).softmax(1)[0]
    top = probabilities.argmax()
    counts = (1, 2, 4) if short else (1, 2, 5, 10, 25, 50)

    chains = []
    for chain in (0, 1):  # two sets of copies that share none; each map goes on from the one before
        total, done, maps = 0.0, 0, []
        for number, count in enumerate(counts):
            new = count - done
            part = smoothgrad(network, x, top[None], samples=new, seed=1000 * seed + 10 * number + chain)
            total, done = total + new * part, count
            maps.append((total / count)[0].amax(0).numpy())
        chains.append(maps)
    apart = [float(np.sqrt(np.mean((a - b) ** 2)) / np.mean((a + b) / 2)) for a, b in zip(*chains, strict=True)]
    alike = [float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in zip(*chains, strict=True)]

    figure = plt.figure(figsize=(10, 4))
    left, right = figure.subfigures(1, 2, width_ratios=(1.5, 1))
    shown = (0, len(counts) // 2, len(counts) - 1)
    cells = left.subplots(1, 1 + len(shown))
    cells[0].imshow(x[0].permute(1, 2, 0).numpy())
    cells[0].set_title(classes[int(top)].split(",")[0], loc="center", fontsize=10)
    for cell, number in zip(cells[1:], shown, strict=True):
        heat = chains[0][number]
        cell.imshow(heat, cmap="inferno", vmin=0, vmax=np.quantile(heat, 0.99))
        cell.set_title(f"{counts[number]} cop{'y' if counts[number] == 1 else 'ies'}", loc="center", fontsize=10)
    for cell in cells:
        cell.set_axis_off()
    axis = right.subplots()
    axis.loglog(counts, apart, "o-", color=BLUE, label="two maps of n copies")
    axis.loglog(counts, apart[0] / np.sqrt(counts), ":", color=GRAY, label="1 / √n")
    axis.set(xlabel="n, noisy copies per map", ylabel="difference over mean")
    axis.set_xticks(counts, [str(n) for n in counts])
    plain_log(axis.yaxis)
    axis.minorticks_off()
    axis.legend()

    slope = float(np.polyfit(np.log(counts), np.log(apart), 1)[0])
    return Found(
        figure,
        {
            "answer": f"{classes[int(top)].split(',')[0]}, {percent(float(probabilities[top]), 0)}",
            "difference over n, exponent": f"{slope:.2f}",
            **{f"correlation of two maps of {n}": f"{r:.2f}" for n, r in zip(counts, alike, strict=True)},
        },
        {
            "the difference falls as 1 / √n": -0.65 < slope < -0.35,
            f"two maps of {counts[-1]} copies agree": alike[-1] > 0.6,
            "two maps of one copy do not": alike[0] < alike[-1] - 0.3,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
