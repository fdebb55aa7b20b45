"""`python -m benchmarks audit`: plant faults and copies, and print the tables of docs/audit.md.

Each repeat appends a line to benchmarks/results/audit.jsonl, and is left out if the file has one of the same code. The
thresholds of the audit were chosen with the seeds from 1000; those from 0 were used for the tables alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import clearsight
from benchmarks.audit import copies
from benchmarks.audit.faults import SHORTCUTS, Truth, copied, missing, shortcut
from benchmarks.audit.planted import SETS, Planted
from benchmarks.harness import fresh_cache, machine
from benchmarks.promises.results import append, read, rounded

FILE = Path(__file__).parent.parent / "results" / "audit.jsonl"

REPEATS = 20

COPIES_SEED = 17


def main(words: Sequence[str]) -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks audit", description=__doc__)
    made.add_argument("--repeats", type=int, default=REPEATS, help="repeats of every fault in every set (default: 20)")
    made.add_argument("--seed", type=int, default=0, help="seed of the first repeat (default: 0)")
    made.add_argument("--sets", nargs="*", default=SETS, help=f"of {', '.join(SETS)} (default: all)")
    made.add_argument("--faults", nargs="*", default=None, help="kinds of planted data sets (default: all)")
    made.add_argument("--copies", nargs="*", default=(), help="sets that copies are planted in (default: none)")
    made.add_argument("--results", type=Path, default=FILE, help="where results are appended")
    asked = made.parse_args(words)
    kinds = asked.faults or KINDS
    for name in asked.sets:
        for repeat in range(asked.seed, asked.seed + asked.repeats):
            for kind in kinds:
                key = {"set": name, "kind": kind, "seed": repeat, "code": code_version(kind)}
                _once(key, asked.results, lambda kind=kind, name=name, repeat=repeat: planted(name, kind, repeat))
    for name in asked.copies:
        key = {"set": name, "kind": "copies", "seed": asked.seed + COPIES_SEED, "code": code_version("copies")}
        _once(key, asked.results, lambda name=name: copies.copies(name, 5000, seed=asked.seed + COPIES_SEED))
    seeds = range(asked.seed, asked.seed + max(asked.repeats, COPIES_SEED + 1))
    print(table([x for x in read(asked.results) if x["code"] == code_version(x["kind"]) and x["seed"] in seeds]))
    return 0


OTHERS: dict[str, Callable[[Planted], Truth]] = {"none": lambda _: Truth(), "missing": missing, "copied": copied}
"""Data sets without a fault, and with faults other than shortcuts."""

KINDS = (*OTHERS, *SHORTCUTS)


def planted(name: str, kind: str, repeat: int) -> dict[str, Any]:
    """Whether each planted fault was found, what else was, and the seconds of the audit."""
    data = Planted(name, np.random.default_rng([repeat, 5]))
    truth = OTHERS[kind](data) if kind in OTHERS else shortcut(data, kind)
    with fresh_cache():
        began = time.perf_counter()
        audit = data.audit(copies=kind in ("none", "copied"))
        seconds = time.perf_counter() - began
    found = {fault: check(audit) for fault, check in truth.checks.items()}
    noted = [
        f.evidence["feature"]
        for f in audit.findings
        if f.code == "predictive-property" and set(truth.labels) & set(f.evidence["classes"])
    ]
    return {
        "found": found,
        "noted": noted,
        "labels": truth.labels,
        "false": truth.false_findings(audit),
        "seconds": seconds,
    }


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Both tables in Markdown."""
    cells: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        for fault, hit in line.get("found", {}).items():
            noted = "note" if line["noted"] else "missed"
            cells.setdefault(fault, {}).setdefault(line["set"], []).append("found" if hit else noted)
        if line["kind"] == "none":
            for words in ("shortcut", "leak"):
                false = any(one.startswith(words) for one in line["false"])
                row = cells.setdefault(f"nothing: false {words}", {})
                row.setdefault(line["set"], []).append("found" if false else "missed")
    sets = [name for name in SETS if any(name in row for row in cells.values())]
    rows = [["planted", *sets], ["---"] * (1 + len(sets))]
    rows += [[fault, *(_share(row.get(name, [])) for name in sets)] for fault, row in cells.items()]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    for line in lines:
        if line["kind"] == "copies":
            text += "\n" + json.dumps({key: line[key] for key in line if key not in ("machine", "code")})
    return text


def _share(outcomes: Sequence[str]) -> str:
    """How often a fault was found, and how often there was only a note."""
    notes = outcomes.count("note")
    found = f"{outcomes.count('found')} of {len(outcomes)}" if outcomes else ""
    return f"{found}, {notes} as a note" if notes else found


def code_version(kind: str) -> str:
    """A digest of the modules that a line depends on."""
    root, own = Path(clearsight.__file__).parent / "data", Path(__file__).parent
    names = (own / f"{name}.py" for name in ("planted", "faults", "changes", "copies"))
    shortcuts = [root / "checks" / f"{name}.py" for name in ("shortcuts", "one_property", "properties", "marks")]
    others = [root / "audit.py", root / "duplicates.py", root / "thumbnails.py", *(root / "checks").glob("*.py")]
    digest = hashlib.sha256()
    for path in sorted({*names, *(shortcuts if kind in SHORTCUTS else others)}):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:10]


def _once(key: dict[str, Any], file: Path, make: Any) -> None:
    """Append what is made as a line, unless the file has it."""
    if any(all(line.get(k) == v for k, v in key.items()) for line in read(file)):
        return
    append(
        file,
        [{**key, **rounded(make()), "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}],
    )
