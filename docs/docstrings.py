"""Print the files whose docstrings `make check` examines: public modules, one file a line.

Public are the modules that `import clearsight as cs` takes its names from, and those of the reference (`pages.py`).
In the files printed here every public function, method and class has the sections that apply: Args, Returns, Raises.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pages import REFERENCE, ROOT

SOURCE = ROOT / "src" / "clearsight"

INTERFACE = "interface for extensions: the base class states shapes in prose, and its implementations repeat none of it"
INTERNAL = "used through a function of the API, which is documented; it still states arguments and shapes in prose"

EXEMPT = {
    **dict.fromkeys(
        (
            "tasks.task", "tasks.reading", "tasks.classification", "tasks.multilabel", "tasks.ordinal",
            "tasks.regression", "tasks.anomaly", "tasks.losses", "tasks.predictions", "tasks.evaluation",
            "tasks.classification_evaluation", "tasks.multilabel_evaluation", "tasks.regression_evaluation",
            "tasks.anomaly_evaluation", "models.base", "models.registry", "models.layers", "models.network",
            "models.anomaly_model", "data.dataset",
        ),
        INTERFACE,
    ),
    **dict.fromkeys(
        (
            "calibration.prediction_sets", "data.audit", "data.inputs", "data.pixels", "data.sound",
            "data.sources.read", "data.splits", "derivatives.gradient_correlation",
            "diagnosis.gradient_check", "evaluation.localisation", "evaluation.ood", "evaluation.robustness",
            "explanation.explain", "explanation.gradients", "feature_vis.visualize", "localisation.locate",
            "localisation.maps", "localisation.windows", "models.anatomy", "models.initialization",
            "ood.detector", "ood.scores", "predictor", "retrieval.index", "train.config", "train.loop",
            "train.optimisers",
        ),
        INTERNAL,
    ),
}  # fmt: skip
"""Public modules that are not examined yet, and why."""


def public_modules() -> list[str]:
    """The public modules by their names within `clearsight`, sorted."""
    sys.path.insert(0, str(SOURCE.parent))
    import clearsight

    homes = {clearsight._HOMES[name].removeprefix("clearsight.") for name in clearsight.__all__}
    return sorted(homes.union(*REFERENCE.values()))


def file_of(module: str) -> Path:
    """The file of a module or package."""
    path = SOURCE / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def examined() -> list[Path]:
    """The files of the public modules that are not exempt."""
    return [file_of(module) for module in public_modules() if module not in EXEMPT]


if __name__ == "__main__":
    print("\n".join(str(path.relative_to(ROOT)) for path in examined()))
