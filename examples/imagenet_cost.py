"""From AlexNet to ViT, the ImageNet error fell below a trained human's, but costlier networks may be less accurate.

Multiply-adds are counted here, layer by layer, from the networks themselves; a multiply-add is two operations. Errors
are published ones on ImageNet's validation images, of the weights named beside each. A trained annotator who took a
minute an image was wrong in 5.1 % of 1,500 of the test images [Russakovsky et al. 2015, arXiv:1409.0575, section 6.4],
with five guesses per image.

Source: Canziani, Paszke, Culurciello 2016, arXiv:1605.07678, figure 2, continued. Years are those of the networks, not
of the weights. ViT was pretrained on ImageNet-21k, about ten times as many images.
"""

import numpy as np

from clearsight.models.anatomy import anatomy
from gallery import BLUE, ORANGE, Found, main, plt

HUMAN = 5.1

TORCHVISION = "torchvision, its first weights, one crop"
TOP5_ERROR = {  # network: percent wrong in five guesses, year, whose figure
    "alexnet_grouped": (18.2, 2012, "Krizhevsky et al. 2012, table 2, one network, ten crops"),
    "vgg11": (11.4, 2014, TORCHVISION), "vgg16": (9.6, 2014, TORCHVISION), "vgg19": (9.1, 2014, TORCHVISION),
    "googlenet": (10.5, 2014, TORCHVISION),
    "inception_v2": (7.8, 2015, "Ioffe, Szegedy 2015, arXiv:1502.03167, one crop"),
    "inception_v3": (6.5, 2015, TORCHVISION), "resnet18": (10.9, 2015, TORCHVISION),
    "resnet50": (7.1, 2015, TORCHVISION), "resnet152": (6.0, 2015, TORCHVISION),
    "densenet161": (6.4, 2016, TORCHVISION),
    "seresnet50": (4.9, 2017, "timm, ra2_in1k, a later recipe; its paper's weights: 6.6"),
    "efficientnet_lite0": (7.5, 2020, "timm, ra_in1k"),
    "vit_b_16": (2.7, 2020, "timm, augreg_in21k_ft_in1k"),
}  # fmt: skip
NAMES = {"alexnet_grouped": "alexnet"}
BELOW = ("googlenet", "inception_v3", "vgg19", "seresnet50")
"""Names that stand below their dots, where there is room."""

SMALL = ("alexnet_grouped", "vgg19", "googlenet", "resnet50", "resnet152", "efficientnet_lite0", "vit_b_16",
         "seresnet50")  # fmt: skip


def study(short: bool, seed: int) -> Found:
    names = SMALL if short else tuple(TOP5_ERROR)
    bodies = {name: anatomy(name) for name in names}
    cost = {name: body.multiply_adds / 1e9 for name, body in bodies.items()}
    error = {name: TOP5_ERROR[name][0] for name in names}

    figure, axis = plt.subplots(figsize=(8, 5))
    axis.axhline(HUMAN, color=ORANGE, linestyle="--", linewidth=1.5)
    axis.text(0.27, HUMAN - 0.1, "a trained human", color=ORANGE, va="top")
    for name, body in bodies.items():
        axis.scatter(cost[name], error[name], s=body.parameters / 3e5, color=BLUE, alpha=0.55, linewidth=0)
        above = 4 + (body.parameters / 3e5 / np.pi) ** 0.5  # the dot's radius
        above = -above if name in BELOW else above
        words = {
            "xytext": (0, above),
            "va": "top" if name in BELOW else "bottom",
            "textcoords": "offset points",
            "ha": "center",
            "fontsize": 8,
        }
        axis.annotate(f"{NAMES.get(name, name)} ’{TOP5_ERROR[name][1] % 100}", (cost[name], error[name]), **words)
    axis.set(xscale="log", yscale="log", xlim=(0.25, 34), xlabel="multiply-adds per image (billions)")
    axis.set(
        ylabel="top-5 error (%)",
        title="area of a dot: number of weights; ResNet-50 has 25.6 million",
    )
    axis.set_xticks([0.3, 1, 3, 10, 30], ["0.3", "1", "3", "10", "30"])
    axis.set_yticks([3, 5, 7, 10, 15, 20], ["3", "5", "7", "10", "15", "20"])
    axis.minorticks_off()
    axis.margins(0.1)

    below = {name for name in names if error[name] < HUMAN}
    return Found(
        figure,
        {name: f"{cost[name]:6.2f} G  {error[name]:4.1f} % wrong  [{TOP5_ERROR[name][2]}]" for name in names},
        {
            "AlexNet (2012) had more than three times the error of the human": error["alexnet_grouped"] > 3 * HUMAN,
            "two have a smaller error than the human: SE-ResNet-50 "
            "with later weights, and ViT, trained on more images": (below == {"seresnet50", "vit_b_16"}),
            "VGG-19 costs more than ResNet-152 and has a larger error": cost["vgg19"] > cost["resnet152"]
            and error["vgg19"] > error["resnet152"],
            "EfficientNet-Lite0 costs less than AlexNet and has less than half its error": (
                cost["efficientnet_lite0"] < cost["alexnet_grouped"]
                and error["efficientnet_lite0"] < 0.5 * error["alexnet_grouped"]
            ),
        },
    )


if __name__ == "__main__":
    raise SystemExit(main(study))
