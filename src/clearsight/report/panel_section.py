"""How the trust panel looks on pages and in notebooks."""

from __future__ import annotations

from markupsafe import Markup

from clearsight.report.components.pieces import PieceFilters
from clearsight.report.render import environment
from clearsight.report.renderer import nested_css, unique_idents
from clearsight.tasks.panel import TrustPanel


def panel_fragment(panel: TrustPanel) -> Markup:
    """The panel alone, with the styles it needs, for a notebook."""
    templates = environment(trim_blocks=True, lstrip_blocks=True)
    templates.filters.update(PieceFilters(lambda card: None).filters())
    templates.filters["nested"] = nested_css
    return unique_idents(templates.get_template("panel_result.html").render(layout="fragment.html", panel=panel))
