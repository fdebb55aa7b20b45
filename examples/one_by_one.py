"""A 1x1 convolution is the same small dense layer at every pixel; a bottleneck of two makes a 3x3 affordable.

It mixes channels without looking at neighbouring pixels. In ResNet-50, 1x1 takes 256 maps down to 64, the 3x3 works
there, and 1x1 goes back up: 69,632 weights, where two 3x3 convolutions between 256 maps would have 1,179,648.

Source: Lin, Chen, Yan 2013, arXiv:1312.4400, section 3.1; He et al. 2015, arXiv:1512.03385, figure 5. The pixels are
those of a photograph.
"""

import numpy as np
import torch
from skimage import data as pictures
from torch import nn

from clearsight.models.anatomy import layers_by_name
from clearsight.models.zoo import build_model
from gallery import BLUE, ORANGE, Found, main, plt


def study(short: bool, seed: int) -> Found:
    photo = torch.from_numpy(pictures.astronaut()[0:224:2, 110:334:2] / 255).float().permute(2, 0, 1)[None]
    mix = 0.75 * torch.tensor(
        [[0.39, 0.77, 0.19], [0.35, 0.69, 0.17], [0.27, 0.53, 0.13]]
    )  # sepia, known from old cameras
    conv, dense = nn.Conv2d(3, 3, 1, bias=False), nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        conv.weight.copy_(mix[:, :, None, None])
        dense.weight.copy_(mix)
        by_conv = conv(photo)
        by_pixel = torch.stack([dense(pixel) for pixel in photo[0].flatten(1).T]).T.reshape(by_conv.shape[1:])
    gap = float((by_conv[0] - by_pixel).abs().max())

    network = build_model("resnet50", classes=1000)
    layers = layers_by_name(network, (3, 64, 64))
    block = {name: layers[f"layer1.1.{name}"] for name in ("conv1", "conv2", "conv3")}
    bottleneck, plain = sum(layer.parameters for layer in block.values()), 2 * 9 * 256**2

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.5), width_ratios=(1, 1, 1.5))
    for axis, image, title in ((axes[0], photo, "three channels"), (axes[1], by_conv, "mixed by a 1x1 convolution")):
        axis.imshow(np.clip(image[0].permute(1, 2, 0).detach().numpy(), 0, 1))
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    counts = {"two 3x3\nof 256 maps": plain, "bottleneck\n256-64-64-256": bottleneck}
    bars = axes[2].bar(list(counts), [v / 1000 for v in counts.values()], color=(ORANGE, BLUE), width=0.5)
    axes[2].bar_label(bars, [f"{v:,}" for v in counts.values()], padding=3)
    axes[2].set(ylabel="weights (thousands)", ylim=(0, 1400))
    axes[2].grid(False, axis="x")

    return Found(
        figure,
        {
            "largest difference, 1x1 convolution against a dense layer at each pixel": f"{gap:.1e}",
            "weights of the bottleneck": " + ".join(f"{layer.parameters:,}" for layer in block.values()),
            "against two 3x3 of 256 maps": f"{plain:,}, {plain / bottleneck:.0f} times as many",
        },
        {
            "both give the same pixels": gap < 1e-6,
            "the bottleneck has 256·64 + 9·64² + 64·256 weights": bottleneck == 2 * 256 * 64 + 9 * 64**2,
            "two 3x3 layers have sixteen times as many": plain > 16 * bottleneck,
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
