"""The long tier: tests marked `long`, which `make test` leaves out and `pytest --long` runs, and what they found.

`pytest --long` appends a line of JSON to `benchmarks/results/test-long.jsonl` for every test that ran: when and where,
outcome, seconds, and what the test measured with `record_property`. A test that has passed with the same code and the
same versions is left out, so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "test-long.jsonl"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests of the long tier, and only these")
    parser.addoption("--results", type=Path, default=RESULTS, metavar="FILE", help=f"default: {RESULTS.name}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: in the long tier (many seeds, fuzzing, kills, versions of dependencies)")
    if config.getoption("--long") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(config.getoption("--results")), "record of the long tier")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = config.getoption("--long")
    if hasattr(config, "workerinput"):  # all workers must leave out the same tests, also one that starts later
        passed = set(config.workerinput.get("passed", ()))
    else:
        passed = config.pluginmanager.getplugin("record of the long tier").passed if long else set()
    kept, left = [], []
    for item in items:
        wanted = (item.get_closest_marker("long") is not None) == long and item.nodeid not in passed
        (kept if wanted else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


class Record:
    """Of the process that hands out the tests: writes a line for each that ended, and knows which had passed before."""

    def __init__(self, file: Path) -> None:
        self.file, self.circumstances = file, _circumstances()
        self.passed = {line["test"] for line in self._lines() if self._counts(line)}
        self._seconds: dict[str, float] = {}
        self._outcome: dict[str, str] = {}

    def _lines(self) -> list[dict[str, Any]]:
        lines = self.file.read_text().splitlines() if self.file.is_file() else []
        return [json.loads(line) for line in lines]

    def _counts(self, line: dict[str, Any]) -> bool:
        same = ("code", "python", "torch", "processor")
        return line["outcome"] == "passed" and all(line[key] == self.circumstances[key] for key in same)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["passed"] = sorted(self.passed)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid
        self._seconds[test] = self._seconds.get(test, 0.0) + report.duration
        if self._outcome.get(test, "passed") == "passed":
            self._outcome[test] = report.outcome
        if report.when == "teardown":
            line = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                **self.circumstances,
                "test": test,
                "outcome": self._outcome.pop(test),
                "seconds": round(self._seconds.pop(test), 2),
                "measured": dict(report.user_properties),
            }
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.passed:
            session.exitstatus = pytest.ExitCode.OK  # all had passed


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _circumstances() -> dict[str, str]:
    """What a result depends on: the code, as committed and as it is, the versions and the processor."""
    digest = hashlib.sha256()
    for name in sorted(_git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")):
        if name and not name.startswith("benchmarks/results/") and (ROOT / name).is_file():
            digest.update(f"{name}\0".encode() + hashlib.sha256((ROOT / name).read_bytes()).digest())
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD").strip(),
        "code": digest.hexdigest()[:12],
        "python": platform.python_version(),
        "torch": version("torch"),
        "processor": _processor(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
