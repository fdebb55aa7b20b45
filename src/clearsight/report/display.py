"""A renderer for every type of result: what `Result.save`, `plot` and notebooks use, loaded by name from below."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from clearsight.attacks import AttackReport
from clearsight.data.audit import Audit
from clearsight.derivatives import GradientCorrelation, Landscapes
from clearsight.evaluation import ModelComparison
from clearsight.evaluation.leaderboard import Leaderboard
from clearsight.evaluation.robustness import RobustnessReport
from clearsight.evaluation.several_runs import RunsComparison
from clearsight.explanation import Explanations
from clearsight.feature_vis import Visualization
from clearsight.localisation import Locations
from clearsight.report.attack_page import AttackRenderer
from clearsight.report.audit_page import AuditRenderer
from clearsight.report.evaluation_page import EvaluationRenderer, SubgroupsRenderer
from clearsight.report.gradient_correlation_page import GradientCorrelationRenderer
from clearsight.report.image_lists import LabelIssuesRenderer, PredictionsRenderer
from clearsight.report.landscape_page import LandscapesRenderer
from clearsight.report.leaderboard_page import LeaderboardRenderer
from clearsight.report.number_results import IndexRenderer, ModelComparisonRenderer, TextRenderer
from clearsight.report.picture_results import ExplanationsRenderer, LocationsRenderer, SearchRenderer
from clearsight.report.renderer import Renderer
from clearsight.report.robustness_page import RobustnessRenderer
from clearsight.report.runs_comparison_page import RunsComparisonRenderer
from clearsight.report.visualization_page import VisualizationRenderer
from clearsight.result import Result
from clearsight.retrieval import IndexResult, SearchResult
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.prediction_list import Predictions
from clearsight.tasks.subgroups import SubgroupTable
from clearsight.train.label_issues import LabelIssues


@singledispatch
def renderer(result: Result) -> Renderer[Any]:
    """How a result is written and shown."""
    return TextRenderer(result)


renderer.register(AttackReport, AttackRenderer)
renderer.register(Audit, AuditRenderer)
renderer.register(Evaluation, EvaluationRenderer)
renderer.register(RobustnessReport, RobustnessRenderer)
renderer.register(Explanations, ExplanationsRenderer)
renderer.register(Locations, LocationsRenderer)
renderer.register(SearchResult, SearchRenderer)
renderer.register(Visualization, VisualizationRenderer)
renderer.register(GradientCorrelation, GradientCorrelationRenderer)
renderer.register(IndexResult, IndexRenderer)
renderer.register(Landscapes, LandscapesRenderer)
renderer.register(Leaderboard, LeaderboardRenderer)
renderer.register(LabelIssues, LabelIssuesRenderer)
renderer.register(Predictions, PredictionsRenderer)
renderer.register(SubgroupTable, SubgroupsRenderer)
renderer.register(RunsComparison, RunsComparisonRenderer)
renderer.register(ModelComparison, ModelComparisonRenderer)
