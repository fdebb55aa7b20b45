"""A renderer for every type of result: what `Result.save`, `plot` and notebooks use, loaded by name from below."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from clearsight.attacks import AttackReport
from clearsight.data.audit import Audit
from clearsight.evaluation.robustness import RobustnessReport
from clearsight.report.attack_page import AttackRenderer
from clearsight.report.audit_page import AuditRenderer
from clearsight.report.evaluation_page import EvaluationRenderer
from clearsight.report.renderer import Renderer
from clearsight.report.robustness_page import RobustnessRenderer
from clearsight.result import Result
from clearsight.tasks.evaluation import Evaluation


@singledispatch
def renderer(result: Result) -> Renderer[Any]:
    """How a result is written and shown."""
    raise TypeError(f"no renderer for results of type {type(result).__name__}")


renderer.register(AttackReport, AttackRenderer)
renderer.register(Audit, AuditRenderer)
renderer.register(Evaluation, EvaluationRenderer)
renderer.register(RobustnessReport, RobustnessRenderer)
