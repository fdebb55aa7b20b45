"""What the studio asks over HTTP is what the functions behind it find."""

import asyncio
import base64
import io
import json
import os
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image
from starlette.requests import ClientDisconnect

import clearsight as cs
from clearsight.attacks import attack_one
from clearsight.errors import BundleError
from clearsight.feature_vis import feature_maps, unit_inputs
from clearsight.models.layer_graph import wiring
from clearsight.serving.app import build_app
from clearsight.serving.folder import RunFolder
from clearsight.serving.queueing import Turns
from clearsight.serving.settings import WAITING_LOOKS, ServeConfig


@pytest.fixture(scope="module")
def run_client(digits_run, predictor, serving):
    with serving(predictor, run=digits_run) as made:
        yield made


@pytest.fixture(scope="module")
def nodes(predictor):
    return wiring(predictor.network, predictor.shape)


@pytest.fixture(scope="module")
def pixels(digits_arrays):
    """The first of the images that `pngs` holds, as the network sees it."""
    return digits_arrays[0][-40].astype(np.float32) / 255


def picture(uri):
    """A PNG data URI as an array."""
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_an_attack_is_that_of_the_library(run_client, predictor, pngs, pixels):
    found = run_client.post("/v1/attack?epsilon=0.1&target=3&steps=5", content=pngs[0]).json()
    expected = attack_one(predictor, pixels, 0.1, steps=5, target=3)
    assert found["before"]["probabilities"] == pytest.approx(expected.before.probabilities, abs=1e-5)
    assert found["after"]["probabilities"] == pytest.approx(expected.after.probabilities, abs=1e-3)
    assert found["target"] == "3"
    assert found["largest"] == pytest.approx(0.1, abs=1e-6)
    before, after = picture(found["picture"]), picture(found["attacked"])
    assert before.shape == (8, 8, 3)
    assert np.abs(after.astype(int) - before).max() in (25, 26)  # a tenth of 255
    still = run_client.post("/v1/attack?epsilon=0&method=fgsm", content=pngs[0]).json()
    assert still["largest"] == 0
    assert still["before"]["probabilities"] == still["after"]["probabilities"]
    assert (picture(still["difference"]) == 128).all()


@pytest.mark.parametrize(
    "query", ["epsilon=2", "epsilon=0.1&method=x", "epsilon=0.1&steps=0", "epsilon=0.1&target=x", ""]
)
def test_attacks_that_cannot_be(run_client, pngs, query):
    found = run_client.post(f"/v1/attack?{query}", content=pngs[0])
    assert found.status_code == 422
    assert found.headers["content-type"] == "application/problem+json"


def test_the_graph_is_that_of_the_network(run_client, predictor, nodes):
    found = run_client.get("/v1/network").json()
    assert [layer["inputs"] for layer in found["layers"]] == [list(n.inputs) for n in nodes]
    assert found["parameters"] == sum(p.numel() for p in predictor.network.parameters())
    conv = next(layer for layer in found["layers"] if layer["name"] == "layer1.0.conv1")
    assert (conv["units"], conv["height"], conv["receptive_field"]) == (32, 8, 5)
    assert "3*3*32*32" in conv["arithmetic"]


def test_maps_are_tiles_of_one_picture(run_client, predictor, nodes, pngs, pixels):
    node = next(n for n in nodes if n.name.endswith("layer2.0.act2"))
    found = run_client.post(f"/v1/maps?layer={node.number}&start=8&most=20", content=pngs[0]).json()
    (one,) = found["layers"]
    assert one["units"] == list(range(8, 28))
    assert (one["total"], one["below_zero"]) == (64, False)
    (own,) = feature_maps(predictor, pixels, [node.layer()], units=range(8, 28))
    assert one["peaks"] == pytest.approx(own.values.max((1, 2)), abs=1e-4)
    sheet = picture(found["picture"])
    side, columns = found["side"], found["columns"]
    assert sheet.shape == (2 * side, columns * side, 3)
    alive = int(np.argmax(own.values.max((1, 2))))
    tile = sheet[alive // columns * side :, alive % columns * side :][:side, :side].astype(int).sum(2)
    brightest = np.unravel_index(own.values[alive].argmax(), own.values[alive].shape)
    assert tile[brightest] == tile.max()
    few = run_client.post("/v1/maps?most=3", content=pngs[0]).json()
    assert [layer["layer"] for layer in few["layers"]] == [n.number for n in nodes if n.visible]
    assert {len(layer["units"]) for layer in few["layers"]} == {3}
    for query in ("layer=99", "layer=0", f"layer={node.number}&start=64"):
        assert run_client.post(f"/v1/maps?{query}", content=pngs[0]).status_code == 422


def test_a_unit_is_the_sum_of_what_feeds_it(run_client, predictor, nodes, pngs, pixels):
    node = next(n for n in nodes if n.name.endswith("layer2.0.conv2"))
    found = run_client.post(f"/v1/units?layer={node.number}&unit=7", content=pngs[0]).json()
    expected = unit_inputs(predictor, pixels, nodes, node.number, 7)
    assert found["activation"] == pytest.approx(expected.activation, abs=1e-4)
    assert found["place"] == list(expected.place)
    assert found["window"] == list(expected.window)
    total = sum(f["amount"] for f in found["feeders"]) + found["rest"] + found["bias"]
    assert total == pytest.approx(found["activation"], abs=1e-3)
    assert [f["unit"] for f in found["feeders"]] == [f.unit for f in expected.feeders]
    assert picture(found["picture"]).shape == (4, 4, 3)
    missing = run_client.post(f"/v1/units?layer={node.number}&unit=64", content=pngs[0])
    assert "unknown unit 64 in layer2.0.conv2; expected a number from 0 to 63" in missing.json()["detail"]


def test_patches_come_from_the_images_it_learned_from(run_client, predictor, nodes):
    node = next(n for n in nodes if n.name.endswith("act1"))
    found = run_client.get(f"/v1/patches?layer={node.number}&unit=3").json()
    assert found["images"] == 300
    strengths = [p["activation"] for p in found["patches"]]
    assert strengths == sorted(strengths, reverse=True)
    assert len({p["image"] for p in found["patches"]}) == 8
    for patch in found["patches"]:
        height, width = patch["size"]
        assert picture(patch["picture"]).shape == (height, width, 3)
        assert max(height, width) <= 3
        top, left, bottom, right = patch["looked_at"]
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width


def test_what_is_missing_is_reported_with_its_command(client, predictor, digits_run, serving, tmp_path):
    card = client.get("/v1/model").json()
    assert "clearsight index RUN" in card["left_out"]["search"]
    assert "clearsight robustness RUN" in card["left_out"]["robustness"]
    assert "report" in card["left_out"]
    assert "network" not in card["left_out"]
    for page in ("/v1/report.html", "/v1/robustness/robustness.html"):
        assert client.get(page).status_code == 404
    with serving(predictor, run=digits_run) as other:
        left = other.get("/v1/model").json()["left_out"]
        assert set(left) == {"search", "robustness"}
        page = other.get("/v1/report.html")
        assert page.content == (digits_run / "report.html").read_bytes()
        assert "sandbox allow-scripts" in page.headers["content-security-policy"]
        for path in ("/v1/../report.html", "/v1/report.html/../model/card.json", "/v1/robustness/../config.json"):
            assert other.get(path).status_code == 404


def test_missing_images_are_reported(predictor, tmp_path):
    folder = RunFolder(tmp_path, predictor, None)
    predictor_data = predictor.bundle.data
    folder.predictor = cs.load  # anything: nothing of it is reached
    folder._sample = BundleError("the images this model was trained on are gone")
    with pytest.raises(BundleError, match="are gone"):
        folder.sample()
    assert folder.thumbnail(0) is None
    assert predictor.bundle.data is predictor_data


def test_pictures_of_answers_and_of_what_is_found(digits_run, predictor, pngs, serving, tmp_path):
    from clearsight.api import retrieve
    from clearsight.retrieval import Index

    retrieve.index(digits_run, out=str(tmp_path / "index"))
    with serving(predictor, run=digits_run, index=Index.load(tmp_path / "index")) as client:
        found = client.post("/v1/search?k=3&pictures=true", content=pngs[0]).json()["neighbours"]
        plain = client.post("/v1/search?k=3", content=pngs[0]).json()["neighbours"]
        answer = client.post("/v1/predict?picture=true", content=pngs[0]).json()["predictions"][0]
        apart = client.post("/v1/explain?method=saliency&apart=true&picture=false", content=pngs[0]).json()
    assert [n["image"] for n in found] == [n["image"] for n in plain]
    assert {n["picture"] for n in plain} == {None}
    assert all(picture(n["picture"]).shape[:2] == (8, 8) for n in found)
    own = np.asarray(Image.open(io.BytesIO(pngs[0])))
    assert (picture(answer["picture"])[..., 0] == own).all()
    assert (picture(apart["below"])[..., 0] == own).all()
    assert picture(apart["above"]).shape == (8, 8, 4)
    assert picture(apart["above"])[..., 3].max() == 255
    assert apart["picture"] is None


def received(run, to, **data):
    """A copy of a run whose card says other things of its data."""
    shutil.copytree(run, to)
    card = json.loads((to / "model" / "card.json").read_text())
    card["data"].update(data)
    (to / "model" / "card.json").write_text(json.dumps(card))
    return to


@pytest.mark.parametrize(
    ("page", "by"),
    [*((p, b) for p in ("report.html", "robustness/robustness.html") for b in ("link", "pipe", "device", "steps")),
     ("robustness/robustness.html", "folder")],
)  # fmt: skip
def test_pages_lie_in_the_run(predictor, tmp_path, page, by):
    run, secret = tmp_path / "run", tmp_path / "secret"
    (run / page).parent.mkdir(parents=True)
    secret.mkdir()
    (secret / (run / page).name).write_text("secret")
    if by == "link":
        (run / page).symlink_to(secret / (run / page).name)
    elif by == "steps":
        (run / page).symlink_to(os.path.relpath(secret / (run / page).name, (run / page).parent))
    elif by == "pipe":
        os.mkfifo(run / page)
    elif by == "device":
        (run / page).symlink_to("/dev/zero")
    else:
        (run / "robustness").rmdir()
        (run / "robustness").symlink_to(secret)
    folder = RunFolder(run, predictor, None)
    name = {"report.html": "report", "robustness/robustness.html": "robustness"}[page]
    with pytest.raises(BundleError) as message:
        folder.page(name)
    assert "secret" not in str(message.value) or by != "pipe"
    assert name in folder.missing()


def test_a_run_that_is_a_link_itself_shows_its_pages(digits_run, predictor, tmp_path):
    (tmp_path / "latest").symlink_to(digits_run)
    page = RunFolder(tmp_path / "latest", predictor, None).page("report")
    assert page == (digits_run / "report.html").read_bytes()


def test_a_link_is_refused_over_http(digits_run, predictor, serving, tmp_path):
    run = received(digits_run, tmp_path / "run")
    (tmp_path / "secret.html").write_text("secret")
    (run / "report.html").unlink()
    (run / "report.html").symlink_to(tmp_path / "secret.html")
    with serving(predictor, run=run) as client:
        found = client.get("/v1/report.html")
        assert found.status_code == 404
        assert "symbolic link that points outside its folder" in found.json()["detail"]
        assert "report" in client.get("/v1/model").json()["left_out"]


def test_images_a_run_was_not_trained_on_are_not_shown(digits_run, digit_folders, tmp_path):
    """A card that names a folder of other images than its split records, one without a split, and one of a device."""
    private = shutil.copytree(digit_folders, tmp_path / "private")
    for path in private.rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    for number, data in enumerate(({"origin": str(private)}, {"split": None}, {"origin": "/dev/stdin"})):
        run = received(digits_run, tmp_path / f"run{number}", **data)
        if "split" in data:
            (run / "split.csv").unlink()
        folder = RunFolder(run, cs.load(run, engine="torch").predictor, None)
        with pytest.raises(BundleError) as message:
            folder.sample()
        assert str(private / "digit 0") not in str(message.value)


def test_errors_of_a_foreign_place_quote_nothing_from_it(digits_run, tmp_path):
    (tmp_path / "notes.csv").write_text("password,x\nhunter2,hunter3\n")
    run = received(digits_run, tmp_path / "run", origin=str(tmp_path / "notes.csv"))
    with pytest.raises(BundleError, match="cannot be read") as message:
        RunFolder(run, cs.load(run, engine="torch").predictor, None).sample()
    assert "hunter" not in str(message.value)
    assert "password" not in str(message.value)


def test_thumbnails_are_those_of_indexed_images(digits_run, digit_folders, tmp_path):
    from clearsight.api import retrieve
    from clearsight.retrieval import Index

    retrieve.index(digits_run, str(digit_folders), out=str(tmp_path / "index"))
    predictor = cs.load(digits_run, engine="torch").predictor
    shown = RunFolder(digits_run, predictor, Index.load(tmp_path / "index"))
    assert shown.thumbnail(0)
    assert "pictures" not in shown.missing()
    private = shutil.copytree(digit_folders, tmp_path / "private")
    for path in private.rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    card = json.loads((tmp_path / "index" / "card.json").read_text())
    for changed in ({"origin": str(private)}, {"origin": "/proc/self/cwd"}, {"digests": []}):
        (tmp_path / "index" / "card.json").write_text(json.dumps({**card, **changed}))
        folder = RunFolder(digits_run, predictor, Index.load(tmp_path / "index"))
        assert [folder.thumbnail(place) for place in range(60)] == [None] * 60
    assert "clearsight index RUN" in folder.missing()["pictures"]


def test_the_data_dir_of_a_run_shows_no_other_images(digits_run, digit_folders, tmp_path):
    """A built-in name and the folder that a run says its files lie in: any image could be listed there."""
    from clearsight.api import retrieve
    from clearsight.retrieval import Index

    def solar_cells(to, invert):
        (to / "images").mkdir(parents=True)
        lines = []
        for k, path in enumerate(sorted(digit_folders.rglob("*.png"))):
            Image.fromarray(np.asarray(Image.open(path)) ^ invert).save(to / "images" / f"{k}.png")
            lines.append(f"images/{k}.png {float(k % 2)} mono")
        (to / "labels.csv").write_text("\n".join(lines))
        return to

    run, own = received(digits_run, tmp_path / "run"), solar_cells(tmp_path / "own", 0)
    predictor = cs.load(run, engine="torch").predictor
    retrieve.index(run, "elpv", data_dir=str(own), out=str(tmp_path / "index"))
    index = Index.load(tmp_path / "index")
    config = json.loads((run / "config.json").read_text())
    for where, found in ((own, True), (solar_cells(tmp_path / "private", 255), False), ("/dev", False)):
        config["options"]["data"]["data_dir"] = str(where)
        (run / "config.json").write_text(json.dumps(config))
        assert bool(RunFolder(run, predictor, index).thumbnail(3)) == found


def test_a_classical_model_shows_what_it_has_and_says_why_not_more(classical_run, pngs, serving):
    with serving(cs.load(classical_run).predictor, run=classical_run) as client:
        left = client.get("/v1/model").json()["left_out"]
        assert "needs gradients" in left["attack"]
        assert "no layers to visualise" in left["network"]
        assert client.post("/v1/attack?epsilon=0.1", content=pngs[0]).status_code == 422
        assert client.get("/v1/network").status_code == 422
        assert client.post("/v1/maps", content=pngs[0]).status_code == 422
        assert client.post("/v1/predict", content=pngs[0]).status_code == 200


def test_looks_that_take_too_long_are_ended(predictor, digits_run, pngs, serving):
    with serving(predictor, run=digits_run, config=ServeConfig(explain_timeout=0.1)) as client:
        found = client.post("/v1/attack?epsilon=0.1&steps=100", content=pngs[0])
        if found.status_code != 200:  # a quick machine may be done in time
            assert found.status_code == 422
            assert "exceeds its time limit" in found.json()["detail"]


def test_what_nobody_waits_for_is_not_begun():
    """Of looks that wait, those whose client leaves make room, and more than may wait are refused."""

    async def scene():
        turns, gate, begun = Turns("test", WAITING_LOOKS), threading.Event(), []
        loop = asyncio.get_running_loop()

        def work(number):
            def run(deadline):
                begun.append(number)
                assert gate.wait(30)
                return number

            return run

        clients = [loop.create_future() for _ in range(WAITING_LOOKS + 1)]
        tasks = [loop.create_task(turns.take(work(i), 30, left)) for i, left in enumerate(clients)]
        while not begun:
            await asyncio.sleep(0.01)
        with pytest.raises(OverflowError):
            await turns.take(work(99), 30, loop.create_future())
        clients[2].set_result(None)
        with pytest.raises(ClientDisconnect):
            await tasks[2]
        await asyncio.sleep(0.05)
        more = loop.create_task(turns.take(work(100), 30, loop.create_future()))
        await asyncio.sleep(0)
        gate.set()
        done = await asyncio.gather(*(t for i, t in enumerate(tasks) if i != 2), more)
        turns.stop()
        return done, begun

    done, begun = asyncio.run(scene())
    assert done == [0, 1, 3, 4, 100]
    assert 2 not in begun


def test_a_deadline_ends_work_that_looks_at_it():
    async def scene():
        turns = Turns("test", WAITING_LOOKS)
        left = asyncio.get_running_loop().create_future()

        def work(deadline):
            while True:
                time.sleep(0.01)
                deadline.check()

        try:
            with pytest.raises(TimeoutError):
                await turns.take(work, 0.05, left)
        finally:
            turns.stop()  # returns, so the work has ended

    asyncio.run(scene())


def test_the_token_guards_the_studio_s_requests(predictor, digits_run, pngs):
    from starlette.testclient import TestClient

    app = build_app(predictor, run=digits_run, token="correct-horse-battery-staple", local=False)
    client = TestClient(app, base_url="http://localhost")
    for path in ("/v1/network", "/v1/patches?layer=1&unit=0", "/v1/report.html", "/v1/robustness/robustness.html"):
        assert client.get(path).status_code == 401
    for path in ("/v1/attack?epsilon=0.1", "/v1/maps", "/v1/units?layer=1&unit=0"):
        assert client.post(path, content=pngs[0]).status_code == 401
    assert client.get("/").status_code == 200
    assert client.get("/static/studio/main.js").status_code == 200
