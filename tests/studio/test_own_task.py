"""The studio of a task that only tests know: the generic view, in which nothing is about any task."""

import pytest
from PIL import Image

import clearsight as cs
from clearsight.serving.app import build_app


@pytest.fixture(scope="module")
def own_studio(own_run, running):
    """The address of a server of such a model."""
    with running(build_app(cs.load(own_run, engine="torch").predictor, run=own_run)) as address:
        yield address


def test_a_task_of_its_own_is_shown(visit, own_studio, own_run, own_task, tmp_path):
    image = own_task.spotted(1, seed=3)[0][0]
    Image.fromarray(image).save(tmp_path / "spots.png")
    page = visit(own_studio).ready()
    assert page.get_by_role("tab").all_inner_texts() == ["Heatmap", "Similar", "Network", "Report"]
    assert "counts" in page.locator("#about").inner_text()
    page.set_input_files("input[type=file]", str(tmp_path / "spots.png"))
    page.wait_for_selector("#answer .facts")
    (own,) = cs.load(own_run, engine="torch").predictor.predict(str(tmp_path / "spots.png"))
    words = page.locator("#answer").inner_text()
    assert f"value {own.outputs['rates']['value']:.3g}" in words
    assert own.line().split("  (")[0][:14] in words
    page.wait_for_selector("#heatmap .heat-stage img.over")
    page.wait_for_selector("#heatmap .figures")
    assert "value: " in page.locator("#heatmap").inner_text()
    page.get_by_role("tab", name="Report").click()
    page.wait_for_selector("#report iframe")
