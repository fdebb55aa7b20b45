"""`python -m benchmarks promises [--sets digits elpv ...] [--seeds 8] [--only clean left-out ...]`"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence

from benchmarks.promises.runs import execute
from benchmarks.promises.sets import SETS, MissingError
from benchmarks.promises.store import KINDS, Job, Store, code_version, folder_of

SEEDS, DIGITS_SEEDS = 8, 20
"""Of a full run: of every set, and of digits on the data as it is."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m benchmarks promises", description=__doc__)
    made.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), metavar="SET")
    made.add_argument("--seeds", type=int, metavar="N", help=f"default {SEEDS}, and {DIGITS_SEEDS} for digits")
    made.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of runs (default all)")
    made.add_argument("--cache", metavar="FOLDER", help="of arrays (default $CLEARSIGHT_PROMISES, or the cache)")
    made.add_argument("--code", help="version of the code whose runs are read (default the one that is installed)")
    made.add_argument("--levels", action="store_true", help="keep features of all levels too")
    made.add_argument("--most", type=int, metavar="N", help="stop after so many runs; exit status 3 if some are left")
    return made


def jobs(sets: Sequence[str], kinds: Sequence[str], seeds: int | None) -> list[Job]:
    """The runs of a benchmark, one seed of all sets after the other."""
    found = []
    for seed in range(max(seeds or DIGITS_SEEDS, 1)):
        for kind in kinds:
            for name in sets:
                which = SETS[name]
                most = seeds or (DIGITS_SEEDS if name == "digits" and kind == "clean" else SEEDS)
                if seed < most and _applies(name, kind, which.task, which.small):
                    found.append(Job(name, kind, seed))
    return found


def _applies(name: str, kind: str, task: str, small: bool) -> bool:
    """Whether a kind of run means something for a set."""
    two = name in ("elpv", "elpv32", "cells300", "imbalanced")
    if kind == "clean":
        return True
    if task != "classification":
        return False
    return {"left-out": not two, "symmetric": True, "confusable": not two, "ensemble": not small}[kind]


def main(words: Sequence[str] | None = None) -> int:
    """Run what is not finished."""
    asked = parser().parse_args(words)
    store = Store(folder_of(asked.cache), asked.code or code_version())
    done, failed, left, missing = 0, 0, 0, set()
    for job in jobs(asked.sets, asked.kinds, asked.seeds):
        if store.get(job) is not None or job.set in missing:
            continue
        if asked.most is not None and done >= asked.most:
            left += 1
            continue
        with store.claimed(job) as mine:
            if not mine or store.get(job) is not None:
                continue
            began = time.perf_counter()
            try:
                execute(job, store, levels=asked.levels)
            except MissingError as error:
                missing.add(job.set)
                print(json.dumps({"set": job.set, "missing": str(error)}), flush=True)
                continue
            except Exception:
                failed += 1
                traceback.print_exc()
            done += 1
            print(json.dumps({"run": str(job), "seconds": round(time.perf_counter() - began, 1)}), flush=True)
    return 1 if failed else 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
