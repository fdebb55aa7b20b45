"""The options of a run itself: its folder, the run it continues, its cost, and where it is computed."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.train.option_field import option


@dataclass(frozen=True)
class RunConfig:
    """Where a run is written and what it may cost."""

    out: str | None = option(None, "output folder (default: runs/NAME, numbered if it exists)")
    resume: bool = option(
        False, "resume an unfinished run: the one in --out, or the latest one on this data (default: off)"
    )
    from_run: str | None = option(
        None,
        "finished run to continue, with its options, split and weights; DATA contains new images, or the edited data "
        "of that run (default: none)",
    )
    old_images: bool | None = option(
        None,
        "also train on the images of the --from run (default: on, unless DATA contains nearly all of them)",
    )
    checkpoint_every: float = option(
        5.0, "seconds between checkpoints, from which --resume continues", within="[0, inf)"
    )
    track: str = option(
        "none",
        "experiment trackers that receive the run beside its own folder; join several with +",
        choices={
            "none": "only history.csv and TensorBoard, in the folder of the run",
            "mlflow": "parameters, metrics, files, the model as a pyfunc; set up by MLFLOW_TRACKING_URI and its like",
            "wandb": "Weights & Biases: configuration, metrics and the model; set up by WANDB_PROJECT and its like",
        },
        joined=True,
    )
    auto_fix: bool = option(
        False, "apply the fix suggested by the diagnosis and train again, up to three times (default: off)"
    )
    budget: str | None = option(
        None,
        "time limit for training, such as 90s, 5m or 1h; below 1m, only a head of a pretrained network is trained "
        "(default: none)",
    )
    seed: int = option(0, "random seed for splits, initial weights and data order", within="[0, 4294967295]")
    device: str = option("auto", "device for training: auto, cpu, cuda, mps or xpu, or one of several, as cuda:1")
