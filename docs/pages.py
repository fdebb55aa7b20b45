"""Assemble the pages of the site in build/pages, for MkDocs: `make docs`.

The pages of docs/ and the README are what the forge shows, with links that work there; here they are copied, and
their links led to where the site has those pages. Each script of the gallery is run, and becomes a page of its claim,
its figure and the numbers it printed; what has not changed since it ran is not run again. Whether the claims hold is
for `make gallery` to say. The reference is a page for
each package, from the docstrings.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES, RUNS = ROOT / "build" / "pages", ROOT / "build" / "gallery"
EXAMPLES = ROOT / "examples"

MOVED = {"README.md": "index.md", "CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md",
         "SECURITY.md": "security.md",
         "benchmarks/README.md": "benchmarks.md"}  # fmt: skip
"""Pages that lie outside docs/, and their places in the site."""

REFERENCE = {
    "tasks": ("tasks.task", "tasks.task_parts", "tasks.target_reader", "tasks.export_parity", "tasks.reading",
              "tasks.classification", "tasks.multilabel", "tasks.ordinal", "tasks.regression", "tasks.angle_units",
              "tasks.anomaly", "tasks.losses", "tasks.predictions"),
    "train": ("train.config", "train.choices", "train.option_field", "train.loop",
              "train.optimisers", "train.schedules", "train.regularisers"),
    "models": ("models.zoo", "models.registry", "models.base", "models.anatomy", "models.initialization",
               "models.layers", "models.network", "models.anomaly_model"),
    "data": ("data.dataset", "data.inputs", "data.sources.read", "data.audit", "data.splits", "data.pixels",
             "data.pixel_format", "data.axes",
             "data.geometry", "data.augment", "data.sound"),
    "classical": ("classical.filters", "classical.matching", "classical.colour", "classical.hog",
                  "classical.encodings", "classical.surf"),
    "calibration": ("metrics.classification", "metrics.calibration", "calibration.temperature",
                    "calibration.prediction_sets", "ood.scores", "ood.detector"),
    "evaluation": ("tasks.evaluation", "tasks.classification_evaluation", "tasks.multilabel_evaluation",
                   "tasks.regression_evaluation", "tasks.anomaly_evaluation", "evaluation.localisation",
                   "evaluation.ood", "evaluation.paired", "evaluation.tta"),
    "localisation": ("localisation.locate", "localisation.detections", "localisation.maps", "localisation.windows"),
    "scale": ("scale.bulk", "scale.actors", "scale.ray_engine", "scale.record", "data.sources.stream"),
    "understanding": ("result", "predictor", "bundle.image_reader", "explanation.explain", "explanation.gradients",
                      "feature_vis.visualize", "attacks.gradient", "attacks.curve", "attacks.fooling",
                      "evaluation.robustness", "retrieval.index"),
    "derivatives": ("derivatives.objective", "derivatives.slices", "derivatives.curvature",
                    "derivatives.gradient_correlation", "derivatives.convolution", "diagnosis.gradient_check",
                    "diagnosis.layer_gradients"),
}  # fmt: skip
"""Pages of the reference, and the modules each describes."""

LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")


def place_of(path: Path) -> Path:
    """Where the site has a file of the repository, relative to its root."""
    known = path.relative_to(ROOT).as_posix()
    if known in MOVED:
        return Path(MOVED[known])
    if known.startswith("examples/"):
        return Path("gallery") / f"{path.stem}.md"
    return Path(known.removeprefix("docs/")) if known.startswith("docs/") else Path("files") / known


def copy_page(source: Path) -> None:
    """Copy a page, its relative links led to the site's own places."""
    target = PAGES / place_of(source)

    def led(found: re.Match[str]) -> str:
        wanted = (source.parent / found[2]).resolve()
        if not wanted.is_file():
            raise SystemExit(f"{source.relative_to(ROOT)} links to {found[2]}, which does not exist")
        return found[1] + os.path.relpath(PAGES / place_of(wanted), target.parent) + found[3]

    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(LINK.sub(led, source.read_text()))


def run(name: str, short: bool) -> tuple[str, bool]:
    """What a script prints, with its figure in build/gallery; and whether its claims hold."""
    recorded = RUNS / f"{name}.txt"
    newest = max((EXAMPLES / f"{other}.py").stat().st_mtime for other in (name, "gallery"))
    if recorded.is_file() and recorded.stat().st_mtime > newest:
        return recorded.read_text(), True
    gallery, script = importlib.import_module("gallery"), importlib.import_module(name)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = gallery.main(script.study, ["--out", str(RUNS), *(["--short"] if short else [])])
    if code == 0:
        recorded.write_text(printed.getvalue())
    return printed.getvalue(), code == 0


def gallery_page(name: str, printed: str) -> None:
    """The page of a script: claim, figure, numbers, source."""
    text = (EXAMPLES / f"{name}.py").read_text()
    claim, _, rest = text.split('"""')[1].strip().partition("\n\n")
    pictures = [f"![the figure]({name}.png)"]
    shutil.copy(RUNS / f"{name}.png", PAGES / "gallery")
    if (RUNS / f"{name}.gif").is_file():
        shutil.copy(RUNS / f"{name}.gif", PAGES / "gallery")
        pictures.append(f"![the same, moving]({name}.gif)")
    measured = "\n".join(line[2:] for line in printed.splitlines() if line.startswith("  ") and "figure: " not in line)
    page = [f"# {claim.removesuffix('.')}", rest, *pictures, "## What was measured", f"```text\n{measured}\n```",
            "## The script", f"```python\n{text.rstrip()}\n```"]  # fmt: skip
    (PAGES / "gallery" / f"{name}.md").write_text("\n\n".join(page) + "\n")


def reference() -> None:
    """One page for `import clearsight as cs`, and one for each group of modules."""
    import clearsight

    folder = PAGES / "reference"
    folder.mkdir()
    names = [f"::: {clearsight._HOMES[name]}.{name}" for name in clearsight.__all__]
    (folder / "index.md").write_text("# import clearsight as cs\n\n" + "\n\n".join(names) + "\n")
    for page, modules in REFERENCE.items():
        parts = [f"::: clearsight.{module}" for module in modules]
        (folder / f"{page}.md").write_text(f"# {page}\n\n" + "\n\n".join(parts) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="run the gallery's scripts in their short form")
    asked = parser.parse_args()
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("*.md", "*.py", "__pycache__"))
    (PAGES / "gallery").mkdir()
    RUNS.mkdir(parents=True, exist_ok=True)
    for page in (*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in MOVED)):
        copy_page(page)
    sys.path.insert(0, str(EXAMPLES))
    failed = []
    for name in sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "gallery"):
        began = time.perf_counter()
        printed, holds = run(name, asked.short)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        if not holds:
            failed.append(name)
            print(printed, flush=True)
        gallery_page(name, printed)
    reference()
    if failed:  # with one seed; `make gallery` takes the median of three
        print(f"with this seed, claims do not hold of: {', '.join(failed)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
