"""Names, texts and pages use the terms of the field; the private terms of earlier versions do not come back."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXEMPT = ("src/clearsight/cli/renamed.py", "src/clearsight/bundle/format1.py")
"""Two files whose subject is the names of earlier versions, and one that draws images of a pangram."""

ANYWHERE = {
    "beliefs?": "probability; confidence for the largest of them",
    "believe[ds]?": "probability, confidence; faithfulness of a map",
    "doubts?|doubtful": "uncertainty (normalised entropy); label issues",
    "judg(e|es|ed|ing|ement)": "evaluate, score, validate",
    "told|tells?|telling": "say, show, report; separate, distinguish",
    "said": "reported, stated; or the noun of what is stated",
    "strange(ness)?": "out of distribution, anomalous; `ood_percentile`",
    "none[_ -]of[_ -]these": "out of distribution, unknown; `is_ood`",
    "knobs?": "`model_args`, options",
    "senseless": "unsupported",
    "suspects?": "label issues",
    "heal(s|ed|ing)?": "fix; `auto_fix`",
    "rungs?": "candidate",
    "ladders?": "leaderboard",
    "taken? at its word": "well calibrated",
    "fixes all chance": "random seed",
    "begun otherwise": "options differ",
    "pulled": "output weights, score",
    "squeezed in": "resized",
    "shattered(?! gradients)": "gradient correlation; shattered gradients are the phenomenon [Balduzzi 2017]",
    "swift": "fast",
    "hushed": "silenced",
    "spoilt": "malformed, damaged, unreadable",
    "in its place": "instead",
}
"""Private terms, as patterns without regard to case, and what the field says instead."""

IN_NAMES = {
    "wanted": "targets, required",
    "look": "step statistics, output",
    "looks": "step statistics",
    "looking": "the noun of what looks",
    "sight": "visualization",
    "together": "ensemble, averaged",
    "how": "options, rule, method",
    "twin": "shared copy",
    "pull": "output weight",
    "see": "visualize; a noun for a hook",
    "inside": "within, in_...",
    "judged": "validation_indices, evaluated",
    "agree": "broadcast",
    "waiting": "pending, remaining",
    "outcome": "result",
    "job": "context",
    "answer": "task, prediction, response",
    "answers": "predictions, responses",
}
"""Parts that no function, class, argument or variable of the package has in its name."""


def files(*places: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *places], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split() if name not in EXEMPT and (ROOT / name).is_file()]


@pytest.fixture(scope="module", autouse=True)
def _checkout():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")


def test_private_terms_are_gone():
    pattern = re.compile(rf"(?<![A-Za-z])({'|'.join(ANYWHERE)})(?![a-z])", re.IGNORECASE)
    found = []
    for name in files("src", "docs", "examples", "benchmarks", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        if not name.endswith((".py", ".md", ".html", ".js", ".css", ".toml", ".ipynb")):
            continue
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
            if match := pattern.search(line):
                word = match[0].lower()
                instead = next(text for key, text in ANYWHERE.items() if re.fullmatch(key, word))
                found.append(f"{name}:{number}: {word!r}; instead: {instead}")
    assert not found, "\n".join(found)


def test_names_of_the_package_are_those_of_the_field():
    defined = re.compile(r"\b(?:def|class)\s+([A-Za-z_]\w*)|^\s*([A-Za-z_]\w*)\s*[:=]", re.MULTILINE)
    found = []
    for name in files("src"):
        text = (ROOT / name).read_text(encoding="utf-8") if name.endswith(".py") else ""
        for match in defined.finditer(text):
            token = match[1] or match[2]
            for part in {part.lower() for part in re.findall(r"[A-Z]?[a-z]+", token)} & set(IN_NAMES):
                line = text.count("\n", 0, match.start(match.lastindex or 0)) + 1
                found.append(f"{name}:{line}: {token}; instead of {part}: {IN_NAMES[part]}")
    assert not found, "\n".join(found)
