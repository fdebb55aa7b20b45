"""What runs measured, as lines of benchmarks/results/promises.jsonl: one for each run and version of the code."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from benchmarks.promises.measures import measure
from benchmarks.promises.peers import compare
from benchmarks.promises.store import Job, Store

FILE = Path(__file__).parent.parent / "results" / "promises.jsonl"

KEY = ("set", "kind", "seed", "code")


def collect(store: Store, jobs: Iterable[Job], file: Path = FILE, *, again: bool = False) -> list[dict[str, Any]]:
    """The lines of all finished runs of a version of the code; runs that are not in the file yet are measured and
    appended. A line is enough: the arrays of its run may be on another machine.

    again: measure all stored runs again, and rewrite their lines.
    """
    lines = read(file)
    known = {tuple(line.get(k) for k in KEY): line for line in lines}
    found, new = [], []
    for job in jobs:
        line, record = known.get((job.set, job.kind, job.seed, store.code)), store.get(job)
        if record is not None and (again or line is None):
            about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": record.facts["machine"]}
            line = rounded({**measure(record), "peers": compare(record), **about})
            new.append(line)
        if line is not None:
            found.append(line)
    if again:
        replaced = {tuple(line[k] for k in KEY) for line in new}
        kept = [line for line in lines if tuple(line.get(k) for k in KEY) not in replaced]
        write(file, kept + new)
    elif new:
        append(file, new)
    return found


def unfinished(store: Store, jobs: Iterable[Job], file: Path = FILE) -> list[Job]:
    """The runs of a version of the code that have no line in the file yet."""
    known = {tuple(line.get(k) for k in KEY) for line in read(file)}
    return [job for job in jobs if (job.set, job.kind, job.seed, store.code) not in known]


def extra(name: str, code: str, found: dict[str, Any], file: Path = FILE) -> dict[str, Any]:
    """Append what belongs to no run, such as simulations."""
    line = {
        "kind": name, "code": code, "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(),
        "found": rounded(found),
    }  # fmt: skip
    append(file, [line])
    return line


def extras(name: str, code: str | None = None, file: Path = FILE) -> dict[str, Any] | None:
    """The last of these of a version of the code, else the last of any."""
    lines = [line for line in read(file) if line["kind"] == name]
    own = [line for line in lines if line["code"] == code]
    return (own or lines)[-1] if lines else None


def read(file: Path = FILE) -> list[dict[str, Any]]:
    """All lines."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def append(file: Path, lines: list[dict[str, Any]]) -> None:
    """Add lines at the end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write("".join(json.dumps(line) + "\n" for line in lines))


def write(file: Path, lines: list[dict[str, Any]]) -> None:
    """Write all lines anew."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text("".join(json.dumps(line) + "\n" for line in lines))
    partial.replace(file)


def rounded(value: Any) -> Any:
    """Plain values with five significant digits."""
    if isinstance(value, dict):
        return {str(k): rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    if hasattr(value, "tolist"):
        return rounded(value.tolist())
    return float(f"{value:.5g}") if isinstance(value, float) else value
