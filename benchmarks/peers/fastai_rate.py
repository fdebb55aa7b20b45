"""fastai's rate with every layer unfrozen: ROOT NAME STEPS -> one line of JSON with images per second.

The same loaders as fastai_fine_tune.py with batches of 32; NAME is efficientnet_lite0 (timm's) or resnet18
(torchvision's). The clock runs from the end of the second batch to the end of the last.
"""

import json
import sys
import time

from fastai.vision.all import (
    Callback,
    CancelFitException,
    ImageDataLoaders,
    Normalize,
    Resize,
    ResizeMethod,
    aug_transforms,
    resnet18,
    vision_learner,
)

root, name, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])


class Clock(Callback):
    """Notes when each training batch is done, and stops after enough of them."""

    def before_fit(self):
        self.times = []

    def after_batch(self):
        self.times.append(time.perf_counter())
        if len(self.times) == steps + 2:
            raise CancelFitException


loaders = ImageDataLoaders.from_folder(
    root,
    train="train",
    valid="test",
    item_tfms=Resize(224, method=ResizeMethod.Squish),
    batch_tfms=[*aug_transforms(), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    bs=32,
    num_workers=2,
)
architecture = "tf_efficientnet_lite0" if name == "efficientnet_lite0" else resnet18
learner = vision_learner(loaders, architecture, pretrained=False, normalize=False)
learner.unfreeze()
clock = Clock()
with learner.no_bar(), learner.no_logging():
    learner.fit_one_cycle(1, 1e-3, cbs=clock)
print(json.dumps({"images_per_second": 32 * steps / (clock.times[-1] - clock.times[1])}))
