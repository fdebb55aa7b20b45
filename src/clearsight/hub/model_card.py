"""The model card of a model on the Hub: Markdown with YAML metadata [Mitchell 2019, arXiv:1810.03993]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath, PureWindowsPath
from typing import Any

from clearsight.bundle import Bundle
from clearsight.data.licences import IDENTIFIERS, licence_notes
from clearsight.models.zoo import published
from clearsight.tasks.panel import TrustPanel
from clearsight.wording import count

MEASURES = {
    "accuracy": ("accuracy", "Accuracy"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "macro_f1": ("f1", "F1, mean over classes"),
    "auroc": ("roc_auc", "AUROC"),
    "average_precision": ("average_precision", "Average precision"),
    "mean_average_precision": ("mean_average_precision", "Mean average precision"),
    "log_loss": ("log_loss", "Log loss"),
    "brier": ("brier_score", "Brier score"),
    "ece": ("expected_calibration_error", "Expected calibration error"),
    "mae": ("mae", "Mean absolute error"),
    "rmse": ("rmse", "Root mean squared error"),
    "r2": ("r_squared", "Coefficient of determination"),
}
"""Scores of the test split that the metadata list, with their names on the Hub and on the card."""


@dataclass(frozen=True)
class Statements:
    """What only the author of a model knows. Licences are identifiers of the Hub, such as apache-2.0 or cc-by-4.0; None
    where the author does not state it.
    """

    license: str | None = None
    data_license: str | None = None
    weights_license: str | None = None
    intended_use: str | None = None


def model_card(bundle: Bundle, repository: str, stated: Statements, options: Mapping[str, Any]) -> str:
    """Write the card.

    Args:
        bundle: the model with its scores.
        repository: its name on the Hub.
        stated: what the author states.
        options: options of the run, by name; none where they are not known.

    Returns:
        The content of README.md.
    """
    parts = [
        f"# {repository}",
        _summary(bundle),
        _use(bundle, repository),
        _intended(bundle, stated),
        _data(bundle, stated),
        _weights(bundle, stated, options),
        _scores(bundle),
        _panel(bundle),
        _files(bundle),
    ]
    text = "\n\n".join(part for part in parts if part)
    return f"---\n{_metadata(bundle, repository, stated)}\n---\n\n{text}\n"


def data_name(bundle: Bundle) -> str:
    """The name of the training data, without the folders that it lies in."""
    name = PurePath(PureWindowsPath(str(bundle.data.get("name", ""))).name).name
    return name or "unnamed"


def data_licence(bundle: Bundle, stated: Statements) -> str | None:
    """The licence of the training data: what the author states, or that of a built-in data set."""
    return stated.data_license or IDENTIFIERS.get(str(bundle.data.get("origin", "")))


def backbones(bundle: Bundle) -> list[str]:
    """Names of the pretrained networks that the model stands on."""
    members = bundle.network.member_networks or (bundle.network,)
    return sorted({str(one.spec["name"]) for one in members if one.feature_levels is not None})


def _metadata(bundle: Bundle, repository: str, stated: Statements) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    kind = _pipeline(bundle)
    test = bundle.scores.get("test", {})
    results = [
        EvalResult(
            task_type=kind or "other", dataset_type=data_name(bundle), dataset_name=data_name(bundle),
            dataset_split="test", metric_type=metric, metric_name=title, metric_value=round(float(test[name]), 6),
        )
        for name, (metric, title) in MEASURES.items()
        if isinstance(test.get(name), int | float)
    ]  # fmt: skip
    metadata = ModelCardData(
        license=stated.license,
        library_name="clearsight",
        pipeline_tag=kind,
        base_model=[name for name in backbones(bundle) if "/" in name] or None,
        tags=["clearsight", bundle.task.name, "safetensors"],
        metrics=[metric for name, (metric, _) in MEASURES.items() if isinstance(test.get(name), int | float)],
        model_name=repository if results else None,
        eval_results=results or None,
        data_license=data_licence(bundle, stated),
        weights_license=stated.weights_license or _known_licence(bundle),
    )
    return str(metadata.to_yaml()).strip()


def _pipeline(bundle: Bundle) -> str | None:
    """The task as the Hub calls it; None for one that it has no name for."""
    if not bundle.task.probabilistic:
        return None
    return "audio-classification" if bundle.thing == "sound" else "image-classification"


def _summary(bundle: Bundle) -> str:
    task = bundle.task
    names = ", ".join(bundle.classes[:20]) + (", ..." if len(bundle.classes) > 20 else "")
    what = task.words_used.names[len(bundle.classes) != 1]
    test = bundle.scores.get("test")
    headline = task.evaluation.headline(test, bundle.thing).splitlines()[0] if test else ""
    return (
        f"A model for {task.name} with {len(bundle.classes)} {what}: {names}. It was trained and evaluated with "
        "Clearsight." + (f"\n\n{headline[0].upper()}{headline[1:]}." if headline else "")
    )


def _use(bundle: Bundle, repository: str) -> str:
    return f"""## How to use it

```python
import clearsight as cs

model = cs.load("{repository}")  # revision="COMMIT" pins one state
prediction = model.predict("new.png")[0]
```

```bash
clearsight predict {repository} new.png
```

Input: {bundle.form.colours}, {bundle.form.bits} bits per channel, resized to {bundle.geometry.width} x \
{bundle.geometry.height} pixels ({bundle.geometry.resize_mode})."""


def _intended(bundle: Bundle, stated: Statements) -> str:
    use = stated.intended_use or "The author has not stated an intended use."
    flagged = (
        f" {bundle.thing.capitalize()}s that differ from the training {bundle.thing}s are flagged as out of "
        "distribution (`is_ood`); do not use their predictions."
        if bundle.ood_detector
        else ""
    )
    return (
        f"## Intended use\n\n{use}\n\nScores hold for {bundle.thing}s from the same source as the training data. "
        f"Evaluate the model on {bundle.thing}s of your own before you rely on it: "
        f"`clearsight evaluate MODEL DATA`.{flagged}"
    )


def _data(bundle: Bundle, stated: Statements) -> str:
    images = bundle.data.get("images")
    number = f", {count(int(images), bundle.thing)}" if images is not None else ""
    licence = data_licence(bundle, stated) or "not stated"
    notes = "".join(f"\n- {note}" for note in licence_notes(str(bundle.data.get("origin", ""))))
    return f"## Training data\n\n- data set: {data_name(bundle)}{number}\n- licence of the data: {licence}{notes}"


def _known_licence(bundle: Bundle) -> str | None:
    """The licence of the published weights that the model stands on."""
    found = {weights.licence for name in backbones(bundle) if (weights := published(name)) is not None}
    return " and ".join(sorted(found - {""})) or None


def _weights(bundle: Bundle, stated: Statements, options: Mapping[str, Any]) -> str:
    licence = f"- licence of this model: {stated.license or 'not stated'}"
    names = backbones(bundle)
    if not names:
        return f"## Weights\n\n{licence}\n- trained from random weights, or fitted to computed features"
    rows = [licence]
    for name in names:
        weights = None if options.get("weights") else published(name)
        if weights is None:
            rows.append(
                f"- pretrained weights of {name}: from a file; licence {stated.weights_license or 'not stated'}"
            )
        else:
            known = stated.weights_license or weights.licence or "not stated"
            rows.append(
                f"- pretrained weights of {name}: {weights.weights} ({weights.library}); licence {known}; trained on "
                "ImageNet, whose images may be used for non-commercial research"
            )
    return "## Weights\n\n" + "\n".join(rows)


def _scores(bundle: Bundle) -> str:
    test = bundle.scores.get("test", {})
    rows = []
    for name, (_, title) in MEASURES.items():
        if not isinstance(value := test.get(name), int | float):
            continue
        ends = test.get(f"{name}_interval")
        interval = f"{ends[0]:.4g} to {ends[1]:.4g}" if isinstance(ends, list | tuple) and len(ends) == 2 else ""
        rows.append(f"| {title} | {value:.4g} | {interval} |")
    if not rows:
        return ""
    number = f" ({count(int(test['n']), bundle.thing)})" if "n" in test else ""
    table = "\n".join(["| measure | value | 95 % interval |", "|---|---|---|", *rows])
    return f"## Scores on the test split{number}\n\n{table}"


def _panel(bundle: Bundle) -> str:
    if not (panel := bundle.scores.get("panel")):
        return ""
    rows = [
        f"| {entry.title} | {entry.status} | {_cell(entry.words)} | {_cell(entry.required)} |"
        for entry in TrustPanel.from_dict(panel)
    ]
    table = "\n".join(["| promise | status | measured | required |", "|---|---|---|---|", *rows])
    return f"## Trust panel\n\n{table}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _files(bundle: Bundle) -> str:
    detector = "\n- `ood.safetensors`: reference features of the OOD detector" if bundle.ood_detector else ""
    split = "\n- `split.csv`: digests of the training, validation and test images, without their names"
    return (
        "## Files\n\n- `model.safetensors`: the weights\n- `config.json`: the network, the task, the input and the "
        f"calibration{detector}{split if bundle.split else ''}"
    )
