"""Anomalies, from normal images and sounds alone to the command line."""

import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile
from skimage import data

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import ConfigError, DataError, ModelError
from clearsight.tasks import read


def tiles(count, seed=0, scratched=0):
    """Crops (N, 72, 72) of a brick wall's picture; the first `scratched` of them have a bright scratch."""
    rng, wall = np.random.default_rng(seed), data.brick()
    images = np.empty((count, 72, 72), np.uint8)
    for i in range(count):
        y, x = rng.integers(0, wall.shape[0] - 72), rng.integers(0, wall.shape[1] - 72)
        images[i] = wall[y : y + 72, x : x + 72]
        if i < scratched:
            y, x = rng.integers(8, 40, 2)
            for step in range(24):
                images[i, y + step, x + step : x + step + 4] = 255
    return images


def hum(seed, fault=False, seconds=0.8, rate=8000):
    """A machine's hum as the bytes of a WAV file: harmonics of about 100 Hz in noise; with a fault, a tone more."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * rate)) / rate
    base = rng.normal(100, 1)
    sound = sum(0.2 / k * np.sin(2 * np.pi * (k * base * t + rng.random())) for k in range(1, 9))
    sound += 0.02 * rng.standard_normal(len(t))
    if fault:
        sound += 0.1 * np.sin(2 * np.pi * rng.uniform(1500, 3000) * t)
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, np.rint(20_000 * sound).clip(-32768, 32767).astype(np.int16))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def walls(tmp_path_factory):
    """A run on a folder of whole and scratched bricks, in the layout of MVTec AD."""
    root = tmp_path_factory.mktemp("walls")
    for place, images in (
        ("train/good", tiles(60)), ("test/good", tiles(20, seed=1)), ("test/scratch", tiles(20, seed=2, scratched=20)),
    ):  # fmt: skip
        (root / "data" / place).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(root / "data" / place / f"{i}.png")
    return cs.fit(root / "data", task="anomaly", img_size=96, out=root / "run"), root / "data"


def test_scratches_are_found_in_pictures_of_walls(walls):
    run, _ = walls
    test = run.metrics["test"]
    assert run.metrics["task"] == "anomaly"
    assert (test["n"], test["anomalies"]) == (40, 20)
    assert test["auroc"] > 0.95
    assert test["found"] > 0.7
    assert test["false_alarms"] <= 0.25
    decided = {d["what"]: d for d in run.metrics["recipe"]}
    assert decided["method"]["choice"].split(":")[0] in ("padim", "patchcore")
    assert "with a pasted patch" in decided["method"]["why"]
    assert "60 normal images" in decided["threshold"]["why"] or "59 normal" in decided["threshold"]["why"]


def test_it_reloads_to_the_same_answers_and_says_where(walls):
    run, folder = walls
    scratched = [str(folder / "test" / "scratch" / f"{i}.png") for i in range(6)]
    before, again = run.predictor.predict(scratched), cs.load(run.folder).predictor.predict(scratched)
    assert again == before
    assert sum(a.anomaly for a in before) >= 4
    assert run.predictor.predict_proba(scratched).shape == (6, 1)
    assert not (run.folder / "model" / "ood.safetensors").exists()
    card = json.loads((run.folder / "model" / "card.json").read_text())
    assert (card["task"], card["task_card"]["normal"], card["network"]["kind"]) == ("anomaly", ["good"], "detector")
    found = cs.explain(run.folder, scratched[:1], out=folder.parent / "maps")[0]
    assert (found.method, found.target, found.faithfulness) == ("anomaly-map", "anomaly", None)
    assert (folder.parent / "maps" / f"{Path(scratched[0]).stem}.anomaly-map.png").is_file()
    image = np.asarray(Image.open(scratched[0]))
    white = np.asarray(Image.fromarray((image == 255).astype(np.uint8) * 255).resize((96, 96)), float) / 255
    hot = found.heat > np.quantile(found.heat, 0.9)
    assert white[hot].mean() > 2 * white.mean(), "the hottest places are those of the scratch"


def test_evaluate_repeats_the_test_and_evaluates_other_images(walls, tmp_path, capsys):
    run, folder = walls
    assert main(["evaluate", str(run.folder), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["auroc"] == pytest.approx(run.metrics["test"]["auroc"], abs=1e-3)
    assert main(["evaluate", str(run.folder), str(folder / "test" / "good")]) == 0
    text = capsys.readouterr().out
    assert "normal images flagged: " in text
    assert "AUROC" not in text, "a folder of images that are all normal"
    assert "not used in training" not in text
    assert "far off" not in text
    other = cs.evaluate(run.folder, folder / "test")
    assert other.anomalies == 20
    assert [g.name for g in other.per_group] == ["good", "scratch"]
    assert 0 <= other.summary()["per_group"]["scratch"]["auroc"] <= 1
    assert again["per_group"]["scratch"]["images"] == 20


def test_predict_says_what_it_means(walls, capsys):
    run, folder = walls
    assert main(["predict", str(run.folder), str(folder / "test" / "scratch"), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["predictions"]
    assert set(answers[0]) == {"image", "anomaly", "probability", "p_value", "score"}
    assert main(["predict", str(run.folder), str(folder / "test" / "good" / "0.png")]) == 0
    assert re.search(
        r"(normal|anomaly)  \(anomaly probability \d+\.\d %; \d+\.\d % of normal images score at least as high\)",
        capsys.readouterr().out,
    )


def test_the_report_shows_scores_and_mistakes(walls):
    page = walls[0].report.read_text()
    assert "False alarms" in page
    assert "scratch" in page
    assert 'id="scores-title"' in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert not re.search(r">[^<]*\bnan\b", page)


@pytest.fixture(scope="module")
def digit_images():
    found = read("digits")
    return np.asarray(found.source.images), np.array([found.classes[k] for k in found.labels])


def test_a_digit_never_seen_is_an_anomaly(digit_images, tmp_path):
    X, y = digit_images
    run = cs.fit(X, y, task="anomaly", normal="0,1,2,3,5,6,7,8,9", false_alarms=0.1, out=tmp_path / "run")
    test = run.metrics["test"]
    assert test["auroc"] > 0.95
    assert test["promised"] == 0.1
    assert test["false_alarms_interval"][0] < 0.1 < test["false_alarms_interval"][1] + 0.05
    assert run.metrics["model"] == "pixels"
    assert [a.anomaly for a in run.predictor.predict(X[y == "4"][:40])].count(True) > 25
    assert not run.predictor.localises
    assert cs.load(run.folder).predictor.predict(X[:20]) == run.predictor.predict(X[:20])


@pytest.mark.long
def test_the_same_seed_gives_the_same_bits(digit_images, tmp_path):
    X, y = digit_images
    some = np.isin(y, ("0", "1"))
    runs = [
        cs.fit(X[some], y[some], task="anomaly", normal="0", seed=3, out=tmp_path / f"{i}") for i in range(2)
    ]  # fmt: skip
    weights = [(r.folder / "model" / "weights.safetensors").read_bytes() for r in runs]
    assert weights[0] == weights[1]
    assert runs[0].metrics["test"] == runs[1].metrics["test"]
    assert runs[0].metrics["test"]["auroc"] > 0.98


@pytest.mark.parametrize("method", ["knn", "mahalanobis", "padim", "patchcore"])
def test_every_method_separates_ones_from_zeros(digit_images, tmp_path, method):
    X, y = digit_images
    some = np.flatnonzero(np.isin(y, ("0", "1")))[:240]
    run = cs.fit(X[some], y[some], task="anomaly", normal="0", anomaly=method, out=tmp_path / "run")
    assert run.metrics["test"]["auroc"] > 0.9
    assert run.predictor.localises == (method in ("padim", "patchcore"))
    assert cs.load(run.folder).predictor.predict(X[:9]) == run.predictor.predict(X[:9])


def test_a_named_network_is_trained_to_classify_the_normal_classes(digit_images, tmp_path):
    X, y = digit_images
    some = np.flatnonzero(np.isin(y, ("0", "1", "2")))[:300]
    options = {"task": "anomaly", "normal": "0,1", "model": "resnet8", "epochs": 6}
    run = cs.fit(X[some], y[some], out=tmp_path / "run", **options)
    assert run.metrics["test"]["auroc"] > 0.8
    assert any("trained to classify the normal classes" in d["choice"] for d in run.metrics["recipe"])
    assert cs.load(run.folder).predictor.predict(X[:9]) == run.predictor.predict(X[:9])


def test_a_few_anomalies_among_the_normal_are_suspected(digit_images, tmp_path):
    """Noise among 150 zeros: it is set aside, named, and hardly moves the threshold."""
    X, y = digit_images
    zeros = X[y == "0"][:150]
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
    images = np.concatenate([noise, zeros])
    run = cs.fit(images, ["zero"] * 156, task="anomaly", anomaly="knn", out=tmp_path / "run")
    named = {int(s.image[1:]) for s in run.label_issues.found}
    learned = {int(i) for i in run.label_issues.rows}
    assert learned & set(range(6)), "some were among the images to learn from"
    assert named == learned & set(range(6))
    assert "anomaly" in (run.folder / "label_issues.csv").read_text()
    assert all(a.anomaly for a in run.predictor.predict(noise))


@pytest.mark.long
def test_sounds_are_heard(tmp_path, capsys):
    for place, faults in (("machine/ok", False), ("machine/broken", True)):
        (tmp_path / place).mkdir(parents=True)
        for i in range(40 if not faults else 12):
            (tmp_path / place / f"{i}.wav").write_bytes(hum(i + 100 * faults, faults))
    words = ["train", tmp_path / "machine", "--task", "anomaly", "--normal", "ok", "--img-size", "64", "--out"]
    assert main([str(w) for w in (*words, tmp_path / "run", "--json")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test"]["auroc"] > 0.95
    audit = json.loads((tmp_path / "run" / "audit.json").read_text())
    assert any("log-mel spectrograms" in rule for rule in audit["pixels"]["rules"])
    card = json.loads((tmp_path / "run" / "model" / "card.json").read_text())
    assert card["data"]["sound"]["rate"] == 16_000
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "machine" / "broken" / "0.wav")]) == 0
    assert capsys.readouterr().out.split()[1] == "anomaly"
    (tmp_path / "cut.wav").write_bytes(hum(7)[:-500])
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "cut.wav")]) == 2
    assert "cut.wav is truncated" in capsys.readouterr().err
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "seen.png")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "seen.png")]) == 2
    words = "the model was trained on sounds; found seen.png, which is not a sound; expected WAV files"
    assert words in capsys.readouterr().err


def test_sounds_are_called_sounds(hearing_run, tones, capsys):
    sound = str(tones / "low" / "0.wav")
    assert main(["predict", str(hearing_run), sound]) == 0
    assert "of normal sounds score at least as high" in capsys.readouterr().out
    assert main(["evaluate", str(hearing_run)]) == 0
    text = capsys.readouterr().out
    assert "normal sounds flagged: " in text
    assert "scores higher than a normal sound; no test sound was used in training" in text
    assert re.search(r"^high +sounds +12, flagged +\d+\.\d %, AUROC \d\.\d+$", text, re.M)
    assert "normal test sounds" in (hearing_run / "report.html").read_text()
    assert main(["predict", str(hearing_run), sound, "--top", "2", "--coverage", "0.9"]) == 2
    assert "have no effect with this model; found a model trained with --task anomaly" in capsys.readouterr().err


def test_sounds_have_classes_too(tmp_path):
    for name in ("ok", "broken"):
        (tmp_path / "machine" / name).mkdir(parents=True)
        for i in range(20):
            (tmp_path / "machine" / name / f"{i}.wav").write_bytes(hum(i, name == "broken"))
    (tmp_path / "machine" / "ok" / "torn.wav").write_bytes(b"RIFF")
    run = cs.fit(tmp_path / "machine", model="hog+svm", img_size=64, out=tmp_path / "run")
    assert run.metrics["test"]["accuracy"] > 0.85
    assert "torn.wav is not a WAV file" in str(json.loads((run.folder / "audit.json").read_text())["set_aside"])
    answer = cs.load(run.folder).predictor.predict(str(tmp_path / "machine" / "broken" / "3.wav"))[0]
    assert answer.label == "broken"
    for seconds, text in ((1.4, None), (0.45, None), (3.0, "much longer"), (0.2, "much shorter")):
        (tmp_path / "other.wav").write_bytes(hum(1, seconds=seconds))
        if text is None:
            assert run.predictor.predict(tmp_path / "other.wav")
        else:
            with pytest.raises(cs.ClearsightError, match=f"other.wav is {text} than .* expected about 0.8"):
                run.predictor.predict(tmp_path / "other.wav")


def test_what_cannot_be_done_says_so(walls, digit_images, tmp_path, capsys):
    run, _ = walls
    X, y = digit_images
    for what in (cs.attack, cs.robustness, cs.landscape):
        with pytest.raises(ModelError, match="one class per image; found a model trained with --task anomaly"):
            what(run.folder)
    with pytest.raises(ConfigError, match="--quantize int8 does not support the task anomaly"):
        cs.export(run.folder, quantize="int8")
    for options, error, message in (
        ({"normal": "0"}, ConfigError, "add --task anomaly to use --normal"),
        ({"task": "anomaly"}, DataError, "the normal classes are not specified"),
        ({"task": "anomaly", "normal": "zero"}, DataError, "unknown normal class 'zero'"),
        ({"task": "anomaly", "normal": "0", "model": "hog+svm"}, ConfigError, "supports only classification"),
        ({"task": "anomaly", "normal": 0, "model": "resnet8"}, ConfigError, "found one normal class, 0"),
        (
            {"task": "anomaly", "normal": "0", "adversarial": "pgd"},
            ConfigError,
            "only classification supports --adversarial",
        ),
        (
            {"task": "anomaly", "normal": "0", "resize_mode": "auto"},
            ConfigError,
            "only classification supports --resize-mode auto",
        ),
    ):
        with pytest.raises(error, match=message):
            cs.fit(X[:200], y[:200], out=tmp_path / "no", **options)
    with pytest.raises(DataError, match=r"lists of labels cannot be used as classes; found .*; expected one class"):
        cs.fit(X[:40], [["a", "b"], ["a"]] * 20, task="anomaly", normal="a", out=tmp_path / "no")
    with pytest.raises(DataError, match="too few normal images"):
        cs.fit(X[:9], ["zero"] * 9, task="anomaly", out=tmp_path / "no")
    assert not (tmp_path / "no").exists()
    assert main(["tune", "digits", "--task", "anomaly"]) == 2
    assert "the normal classes are not specified" in capsys.readouterr().err
    assert main(["tune", "digits", "--task", "anomaly", "--normal", "0"]) == 2
    assert "there is nothing to search: an anomaly model is trained only on normal images" in capsys.readouterr().err


DOCS = (Path(__file__).parent.parent / "docs" / "anomaly.md").read_text()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder as the page imagines it: walls/, machine/ and new.png."""
    for place, images in (
        ("train/good", tiles(30)), ("test/good", tiles(8, seed=1)), ("test/scratch", tiles(8, seed=2, scratched=8)),
    ):  # fmt: skip
        (tmp_path / "walls" / place).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "walls" / place / f"{i}.png")
    Image.fromarray(tiles(1, seed=3, scratched=1)[0]).save(tmp_path / "new.png")
    for name in ("ok", "broken"):
        (tmp_path / "machine" / name).mkdir(parents=True)
        for i in range(16):
            (tmp_path / "machine" / name / f"{i}.wav").write_bytes(hum(i, name == "broken"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.long
def test_the_page_about_anomalies_runs(desk, capsys):
    lines = [
        line.split("#")[0] for block in re.findall(r"```bash\n(.*?)```", DOCS, re.S) for line in block.splitlines()
    ]
    commands = [shlex.split(line)[1:] for line in lines if line.strip()]
    assert len(commands) == 6
    for words in commands:
        quick = {"train": ["--img-size", "64"], "explain": ["--fast"]}.get(words[0], [])
        assert main([*words, *quick]) == 0, (words, capsys.readouterr().err)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", DOCS, re.S)
    assert len(blocks) == 1
    exec(blocks[0], names)
    assert names["answer"].anomaly
    assert names["evaluation"].auroc > 0.8
