"""One self-contained HTML page about a run: it opens from disk, loads nothing and needs no script to be whole."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup, escape

from clearsight.diagnosis import Diagnosis
from clearsight.disk import whole_file
from clearsight.evaluation import Evaluation, OODCheck
from clearsight.report.content import Content, gather
from clearsight.report.render import environment
from clearsight.train.config import TrainConfig
from clearsight.train.fit import Fitted


def write_report(
    path: Path,
    *,
    fitted: Fitted,
    evaluation: Evaluation,
    validation: Evaluation,
    config: TrainConfig,
    diagnosis: Diagnosis | None = None,
    limits: OODCheck | None = None,
) -> None:
    """Write the report of a run, whole or not at all.

    evaluation: of the test split, its mistakes with positions in the data set. validation: of the validation images.
    diagnosis: what the doctor says of the training, None where there was none. limits: what became of the model's word
    on its limits on the test split. Raises OSError when the disk refuses.
    """
    content = gather(
        fitted=fitted,
        test=evaluation,
        val=validation,
        config=config,
        run=path.parent,
        diagnosis=diagnosis,
        limits=limits,
    )
    with whole_file(path) as stream:
        stream.write(render(content).encode(errors="replace"))


def render(content: Content) -> str:
    """The page as HTML; every name from the data is escaped."""
    templates = environment(trim_blocks=True, lstrip_blocks=True)
    templates.filters["code"] = code
    return templates.get_template("report.html").render(page=content)


def code(text: str) -> Markup:
    """Words between backticks as code, everything escaped; an odd backtick stays one."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))
