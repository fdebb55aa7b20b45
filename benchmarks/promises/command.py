"""`python -m benchmarks promises [--sets digits elpv ...] [--seeds 8] [--only calibration ood ...]`

Runs what is not finished, measures it, appends it to benchmarks/results/promises.jsonl, and writes docs/promises.md.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.promises import results, tables
from benchmarks.promises.runs import execute
from benchmarks.promises.sets import SETS, MissingError
from benchmarks.promises.store import Job, Store, code_version, folder_of

SEEDS, DIGITS_SEEDS = 8, 20
"""Of a full run: of every set, and of digits on the data as it is."""

SUBJECTS: dict[str, tuple[str, ...]] = {
    "calibration": ("clean",),
    "coverage": ("clean",),
    "ood": ("clean", "left-out"),
    "issues": ("clean", "symmetric", "confusable"),
    "ensembles": ("ensemble",),
    "intervals": (),
    "fastai": (),
}
"""What can be asked for, and the kinds of runs it needs; intervals are simulated, and fastai trains itself."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m benchmarks promises", description=__doc__)
    made.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), metavar="SET")
    made.add_argument("--seeds", type=int, metavar="N", help=f"default {SEEDS}, and {DIGITS_SEEDS} for digits")
    made.add_argument(
        "--only", nargs="+", choices=list(SUBJECTS), default=[s for s in SUBJECTS if s != "fastai"],
        help="subjects (default all but fastai)",
    )  # fmt: skip
    made.add_argument("--cache", metavar="FOLDER", help="of arrays (default $CLEARSIGHT_PROMISES, or the cache)")
    made.add_argument("--code", help="report stored runs of this version of the code; nothing is run")
    made.add_argument("--levels", action="store_true", help="also keep features of all levels")
    made.add_argument("--most", type=int, metavar="N", help="stop after so many runs; exit status 3 if some are left")
    made.add_argument("--report", action="store_true", help="run nothing: measure what is stored, and write the page")
    made.add_argument("--again", action="store_true", help="measure stored runs again")
    made.add_argument("--page", type=Path, default=tables.PAGE, help="where the page is written")
    made.add_argument("--results", type=Path, default=results.FILE, help="where results are appended")
    return made


def jobs(sets: Sequence[str], only: Sequence[str], seeds: int | None) -> list[Job]:
    """The runs of a benchmark, one seed of all sets after the other."""
    kinds = dict.fromkeys(kind for subject in only for kind in SUBJECTS[subject])
    found = []
    for seed in range(seeds or DIGITS_SEEDS):
        for kind in kinds:
            for name in sets:
                most = seeds or (DIGITS_SEEDS if name == "digits" and kind == "clean" else SEEDS)
                if seed < most and _applies(name, kind):
                    found.append(Job(name, kind, seed))
    return found


def _applies(name: str, kind: str) -> bool:
    """Whether a kind of run means something for a set."""
    which = SETS[name]
    if which.labels_alone:
        return kind in ("symmetric", "confusable")
    if kind == "clean":
        return True
    if which.task != "classification":
        return False
    many = name not in ("elpv", "elpv32", "cells300", "imbalanced")
    return {"left-out": many, "symmetric": True, "confusable": many, "ensemble": not which.small}[kind]


def main(words: Sequence[str] | None = None) -> int:
    """Run what is not finished, then report."""
    asked = parser().parse_args(words)
    store = Store(folder_of(asked.cache), asked.code or code_version())
    wanted = jobs(asked.sets, asked.only, asked.seeds)
    status = 0
    if not (asked.code or asked.report):
        status = run(results.unfinished(store, wanted, asked.results), store, levels=asked.levels, most=asked.most)
        if status == 3:
            return status
        if "intervals" in asked.only:
            _once("intervals", store, asked.results)
        if "fastai" in asked.only:
            _once("fastai", store, asked.results)
    lines = results.collect(store, wanted, asked.results, again=asked.again)
    simulation, fastai = (results.extras(name, store.code, asked.results) for name in ("intervals", "fastai"))
    tables.write(lines, asked.page, simulation=simulation, fastai=fastai)
    print(json.dumps({"runs": len(lines), "page": str(asked.page)}), flush=True)
    return status


def run(wanted: Sequence[Job], store: Store, *, levels: bool, most: int | None) -> int:
    """Run what is not finished: 0, 1 where a run failed, 3 where some are left."""
    done, failed, left = 0, 0, 0
    missing: set[str] = set()
    for job in wanted:
        if store.get(job) is not None or job.set in missing:
            continue
        if most is not None and done >= most:
            left += 1
            continue
        with store.claimed(job) as mine:
            if not mine or store.get(job) is not None:
                continue
            began = time.perf_counter()
            try:
                execute(job, store, levels=levels)
            except MissingError as error:
                missing.add(job.set)
                print(json.dumps({"set": job.set, "missing": str(error)}), flush=True)
                continue
            except Exception:
                failed += 1
                traceback.print_exc()
            done += 1
            print(json.dumps({"run": str(job), "seconds": round(time.perf_counter() - began, 1)}), flush=True)
    return 3 if left else 1 if failed else 0


def _once(name: str, store: Store, file: Path) -> None:
    """Measure what belongs to no run, where that was not done with this version of the code."""
    known = results.extras(name, store.code, file)
    if known is not None and known["code"] == store.code:
        return
    if name == "intervals":
        from benchmarks.promises.simulation import simulate as made
    else:
        from benchmarks.promises.fastai import probabilities as made
    results.extra(name, store.code, made(), file)


def measure() -> dict[str, Any]:
    """A full run, for `python -m benchmarks` with other names."""
    return {"exit status": main([])}
