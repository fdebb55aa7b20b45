"""What a visitor can do, in a real browser against a real server."""

import base64
import re

import pytest
from playwright.sync_api import expect

TOKEN = "correct-horse-battery-staple"


def give(page, path):
    page.set_input_files("input[type=file]", str(path))
    page.wait_for_selector("#answer .label")


def text(page, selector):
    return page.locator(selector).first.inner_text()


def open_tab(page, name):
    page.get_by_role("tab", name=name).click()


def test_a_prediction_has_probability_uncertainty_and_a_set(visit, studio, five):
    page = visit(studio).ready()
    assert "digits" in text(page, "h1")
    assert "accuracy" in text(page, "#about")
    assert f"curl -F image=@photo.jpg {studio}/v1/predict" in text(page, "footer"), "no token is needed"
    give(page, five)
    assert text(page, "#answer .label") == "5"
    assert "uncertainty" in text(page, "#answer .sure")
    shares = [float(t.strip("<>%")) for t in page.locator("#answer .bar-value").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 5
    page.get_by_role("button", name=re.compile("Show all 10")).click()
    assert page.locator("#answer .bars li").count() == 10
    few = page.locator(".members .chip").count()
    page.locator(".set label", has_text="99 %").click()
    expect(page.get_by_label("99 %")).to_be_checked()
    expect(page.locator(".set .small")).to_contain_text("99 of 100")
    assert page.locator(".members .chip").count() >= few
    assert page.locator("#shown img").get_attribute("alt") == "the image as the network sees it"
    assert "8×8" in text(page, "#caption")


def test_an_image_can_be_dropped_or_pasted(visit, studio, five):
    page = visit(studio).ready()
    for way in ("drop", "paste"):
        with page.expect_response("**/v1/predict*"):
            page.evaluate(
                """([content, way]) => {
                  const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
                  const held = new DataTransfer();
                  held.items.add(new File([bytes], "five.png", { type: "image/png" }));
                  dispatchEvent(way === "drop" ? new DragEvent("drop", { dataTransfer: held, cancelable: true })
                    : new ClipboardEvent("paste", { clipboardData: held }));
                }""",
                [base64.b64encode(five.read_bytes()).decode(), way],
            )
        page.wait_for_selector("#answer .label")
        assert text(page, "#answer .label") == "5"
        page.reload()
        page.wait_for_selector("body.ready")
        assert page.locator("#answer .label").count() == 0


def test_a_drawing_is_answered_and_can_be_made_by_keys(visit, studio):
    page = visit(studio).ready()
    page.get_by_role("button", name="Draw one").click()
    edge = page.locator("canvas").bounding_box()
    page.mouse.move(edge["x"] + 0.5 * edge["width"], edge["y"] + 0.08 * edge["height"])
    page.mouse.down()
    page.mouse.move(edge["x"] + 0.5 * edge["width"], edge["y"] + 0.92 * edge["height"], steps=6)
    page.mouse.up()
    page.wait_for_selector("#answer .label")
    assert page.locator(".inset img").is_visible()
    page.get_by_role("button", name="Clear").click()
    page.locator("canvas").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(8):
        page.keyboard.press("ArrowDown")
    with page.expect_response("**/v1/predict*") as asked:
        page.keyboard.press("Space")
    assert asked.value.status == 200


def test_a_heatmap_fades_and_shows_its_faithfulness(visit, studio, five):
    page = visit(studio).ready()
    give(page, five)
    page.wait_for_selector("#heatmap .verdict")
    assert "chance" in text(page, "#heatmap .verdict")
    assert page.locator("#heatmap .gauge").is_visible()
    over = page.locator("#heatmap img.over")
    page.get_by_label("Opacity").fill("0.2")
    assert float(over.evaluate("e => getComputedStyle(e).opacity")) == pytest.approx(0.2)
    before = over.get_attribute("src")
    page.get_by_label("Method").select_option("occlusion")
    expect(over).not_to_have_attribute("src", before)
    page.get_by_label("Target", exact=True).select_option("3")
    expect(page.locator("#heatmap .quality")).to_contain_text("Probability of 3")


def test_the_slider_attacks_and_only_the_last_move_counts(visit, studio, five):
    page = visit(studio).ready()
    give(page, five)
    open_tab(page, "Attack")
    page.wait_for_selector("#attack .three")
    slider = page.get_by_label("Epsilon")
    slider.fill("0")
    expect(page.locator("#attack .lead")).to_contain_text("Unchanged")
    asked = []
    page.on("request", lambda r: asked.append(r.url) if "/v1/attack" in r.url else None)
    slider.evaluate(
        "e => { for (const at of [10, 25, 40, 60]) { e.value = at; e.dispatchEvent(new Event('input')); } }"
    )
    expect(page.locator("#attack .lead")).to_contain_text("Changed")
    assert len([url for url in asked if "epsilon=0&" not in url]) == 1  # moves that follow at once are one request
    assert page.locator("#attack .three img").count() == 3
    assert "the change, amplified" in text(page, "#attack")
    page.get_by_label("Towards").select_option("8")
    expect(page.locator("#attack .lead")).to_contain_text("8")


def test_similar_images_and_the_run_s_pages(visit, studio, five):
    page = visit(studio).ready()
    give(page, five)
    open_tab(page, "Similar")
    page.wait_for_selector("#alike li")
    assert page.locator("#alike li img").count() == 12
    assert "of 12" in text(page, "#alike .lead")
    open_tab(page, "Report")
    frame = page.frame_locator("#report iframe")
    assert "not used in training" in frame.locator("#verdict").inner_text()
    page.locator("label", has_text="Robustness").click()
    expect(page.get_by_label("Robustness")).to_be_checked()
    page.frame_locator("#report iframe[title^='Robustness']").locator("h1").wait_for()


def test_a_walk_through_the_network(visit, studio, five):
    page = visit(studio).ready()
    open_tab(page, "Network")
    page.wait_for_selector("#network a.row")
    assert page.locator("#network .lines path").count() > page.locator("#network a.row").count()  # skips too
    give(page, five)
    page.wait_for_selector("#network a.row .mini")
    page.get_by_role("link", name=re.compile(r"layer1\.0\.\s*conv2")).click()
    page.wait_for_selector("#network .tile")
    assert page.locator("#network .tile").count() == 32
    page.locator("#network .tile").nth(5).click()
    page.wait_for_selector("#network .terms li")
    assert page.url.endswith("/5")
    assert page.locator(".box.window").is_visible()
    sums = [t.replace("−", "-") for t in page.locator(".terms .term-value").all_inner_texts()]
    total = float(text(page, ".total strong").replace("−", "-"))
    assert sum(map(float, sums)) == pytest.approx(total, abs=0.02 * sum(abs(float(s)) for s in sums))
    page.wait_for_selector(".patches li")
    assert page.locator(".patches li").count() == 8
    page.locator(".terms a").first.click()  # back to what feeds it
    expect(page.locator(".crumbs")).to_contain_text("layer1.0.act1")
    page.go_back()
    expect(page.locator(".crumbs")).to_contain_text("layer1.0.conv2")


def test_everything_by_keyboard_alone(visit, studio, five):
    page = visit(studio).ready()

    def tab_to(test, most=60):
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate(f"(() => {{ const e = document.activeElement; return Boolean({test}); }})()"):
                return
        raise AssertionError(f"Tab does not reach {test}")

    page.on("filechooser", lambda chooser: chooser.set_files(str(five)))
    tab_to("e.type === 'file'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer .label")
    tab_to("e.getAttribute('role') === 'tab'")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#network a.row .mini")
    tab_to("e.matches('a.row')")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#network .tile")
    assert page.evaluate("document.activeElement.className") == "row"  # the list and the layer stand side by side
    tab_to("e.matches('a.tile')")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".unit")
    assert page.evaluate("document.activeElement.className") == "detail"
    tab_to("e.getAttribute('role') === 'application'")
    before = page.locator(".box.window").get_attribute("style")
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.locator(".box.window").get_attribute("style") != before


def test_a_file_that_is_no_image_shows_the_error_of_the_server(visit, studio, five, tmp_path):
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no image")
    made = visit(studio)
    page = made.ready()
    give(page, five)
    page.wait_for_selector("#heatmap .verdict")
    page.set_input_files("input[type=file]", str(wrong))
    page.wait_for_selector("#answer .trouble")
    message = text(page, "#answer .trouble")
    assert "notes.txt is not an image" in message
    assert "BMP, GIF, JPEG" in message
    assert "no prediction to explain" in text(page, "#heatmap")
    assert "notes.txt" in page.locator("#live").inner_text()
    made.complaints = [c for c in made.complaints if "422" not in c]
    give(page, five)
    page.wait_for_selector("#heatmap .verdict")


def test_a_server_that_is_gone_is_reported_and_tried_again(visit, studio, five):
    made = visit(studio)
    page = made.ready()
    page.context.set_offline(True)
    page.set_input_files("input[type=file]", str(five))
    page.wait_for_selector("#answer .trouble")
    assert "does not respond" in text(page, "#answer .trouble")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector("#answer .label")
    made.complaints = [c for c in made.complaints if "ERR_INTERNET_DISCONNECTED" not in c]


def test_the_token_is_asked_for_and_kept_in_the_tab(visit, locked, five):
    made = visit(locked)
    page = made.page
    page.wait_for_selector("#lock[open]")
    assert text(page, "#caption") == "This server requires a token."
    page.get_by_role("textbox", name="Token").fill("another token, a wrong one")
    page.keyboard.press("Enter")
    page.wait_for_selector("#lock-wrong:not([hidden])")
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    page.keyboard.press("Enter")
    made.ready()
    assert text(page, "#caption") == ""
    assert f'curl -F image=@photo.jpg -H "Authorization: Bearer TOKEN" {locked}/v1/predict' in text(page, "footer")
    give(page, five)
    assert text(page, "#answer .label") == "5"
    page.wait_for_selector("#heatmap .verdict")
    open_tab(page, "Similar")
    assert "clearsight index RUN" in text(page, "#alike .absent")  # no index: the command that makes one
    open_tab(page, "Report")
    assert "no report" in text(page, "#report .absent")
    page.reload()
    made.ready()
    assert not page.locator("#lock").is_visible()
    assert page.evaluate("[Object.keys(localStorage).length, document.cookie]") == [0, ""]
    made.complaints = [c for c in made.complaints if "401" not in c]


def test_an_address_that_names_no_layer_or_unit_says_which_there_are(visit, studio):
    page = visit(f"{studio}/#/network/1/10000").ready()
    page.wait_for_selector("#network .detail .absent")
    assert text(page, "#network .absent") == "There is no unit 10000 in conv1: its units are numbered from 0 to 31."
    page.goto(f"{studio}/#/network/999")
    page.wait_for_selector("#network .absent:has-text('layer 999')")
    assert "There is no layer 999: layers are numbered from 0 to 30." in text(page, "#network .absent")


def test_motion_is_spared_who_asks_for_it(visit, studio):
    page = visit(studio, reduced_motion="reduce").ready()
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<span class=spin></span>')")
    assert page.locator(".spin").last.evaluate("e => getComputedStyle(e).animationName") == "none"
