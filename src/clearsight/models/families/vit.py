"""Vision transformers [Dosovitskiy et al. 2020, "An image is worth 16x16 words", arXiv:2010.11929], timm's
implementation.

The image is cut into patches; each is a token that attends to all others through 12 blocks. `vit_ti_16` and
`vit_s_16` are the smaller widths of DeiT [Touvron et al. 2020, arXiv:2012.12877] and of Steiner et al. 2021
[arXiv:2106.10270], whose weights are the published ones here; they were trained on pixels in [-1, 1].
Departure from the paper: as in the published fine-tuned weights, the classifier is one dense layer on the
class token.

Small images: below 64 px patches are 4x4 pixels, not 16x16, so 32 px give 64 tokens. The side must be a
multiple of the patch.

Shapes at 224, width D: x (N, channels, 224, 224) -> patches (N, 14 * 14, D) -> with class token (N, 197, D)
-> (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from clearsight.errors import ModelError
from clearsight.models.ablations import Design
from clearsight.models.layers import SMALL, activation
from clearsight.models.published import PLUS_MINUS_ONE, TimmWeights
from clearsight.models.registry import register

PAPER = "Dosovitskiy et al. 2020, arXiv:2010.11929"
SMALLER = "Steiner et al. 2021, arXiv:2106.10270"
TIMMS_BLOCK = "the blocks come from timm"


@dataclass(frozen=True)
class ViTDesign(Design):
    """patch: side of the patches in pixels (16, for small images 4). width: of the tokens. depth: blocks.
    heads: a block.

    activation: inside the blocks' dense layers. dropout: after the position embedding and the dense layers,
    as in the paper.
    """

    unsupported: ClassVar[dict[str, str]] = {
        "residual": TIMMS_BLOCK + ", and their shortcuts are fixed",
        "norm": TIMMS_BLOCK + " and use layer normalisation instead of batch normalisation",
        "norm_position": TIMMS_BLOCK + " and apply layer normalisation before attention and before the dense layers",
        "se": "attention already weights the tokens",
        "padding_mode": "patches tile the image, so there is no padding",
        "kernel": "the filters are the same size as the patches; set 'patch' instead",
        "downsample": "the number of tokens is the same in all blocks",
        "dropconnect": TIMMS_BLOCK + " and drop only units, not weights",
    }

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int | None = None
    activation: str = "gelu"
    dropout: float = 0.0


TINY = ViTDesign(width=192, heads=3)
LITTLE = ViTDesign(width=384, heads=6)
BASE = ViTDesign()


def _vit(timm_name: str, classes: int, channels: int, img_size: int, design: ViTDesign) -> nn.Module:
    patch = design.patch or (4 if img_size < SMALL else 16)
    if img_size % patch:
        fitting = [p for p in range(2, img_size + 1) if img_size % p == 0]
        near = sorted(fitting, key=lambda p: abs(p - patch))[:2]
        raise ModelError(
            f"patches of {patch}x{patch} do not tile the image: ({img_size}-{patch})/{patch}+1 is not an integer",
            found=f"{img_size}x{img_size} pixels",
            fix=f"use --img-size {img_size // patch * patch or patch} or {(img_size // patch + 1) * patch}, "
            f"or patch={' or '.join(map(str, sorted(near)))}",
        )
    if design.width % design.heads:
        raise ModelError(
            f"a width of {design.width} cannot be divided among {design.heads} heads",
            expected="a width that is a multiple of the number of heads",
        )
    import timm  # some seconds of start-up, spent only where the network is wanted

    return timm.create_model(  # type: ignore[no-any-return]
        timm_name,
        num_classes=classes,
        in_chans=channels,
        img_size=img_size,
        patch_size=patch,
        embed_dim=design.width,
        depth=design.depth,
        num_heads=design.heads,
        act_layer=lambda: activation(design.activation),
        pos_drop_rate=design.dropout,
        proj_drop_rate=design.dropout,
    )


VARIANTS = (  # name, timm's name, design, year, paper, top1, top5
    ("vit_ti_16", "vit_tiny_patch16_224", TINY, 2021, SMALLER, 75.452, 92.858),  # 5,717,416 parameters
    ("vit_s_16", "vit_small_patch16_224", LITTLE, 2021, SMALLER, 81.402, 96.150),  # 22,050,664
    ("vit_b_16", "vit_base_patch16_224", BASE, 2020, PAPER, 84.534, 97.300),  # 86,567,656
)

for name, timm_name, design, year, paper, top1, top5 in VARIANTS:
    register(
        name=name,
        img_size=224,
        min_size=4,
        year=year,
        paper=paper,
        top1=top1,
        top5=top5,
        design=design,
        weights=TimmWeights(  # of ImageNet-21k, fine-tuned on ImageNet-1k
            f"{timm_name}.augreg_in21k_ft_in1k", mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1]
        ),
    )(partial(_vit, timm_name))
