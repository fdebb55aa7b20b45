"""Run benchmarks by name, or all that need no peer: prints one JSON object per benchmark."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module

from benchmarks.harness import machine

ALL = (
    "startup",
    "accuracy",
    "features",
    "memory",
    "step_memory",
    "fastai",
    "finetune",
    "textures",
    "resume",
    "doctor",
    "descriptors",
    "retrieval",
    "classical",
    "explain",
    "attacks",
    "trust",
    "export",
    "serving",
    "studio",
    "audit",
    "tasks",
    "anomaly",
    "speech",
    "locate",
    "detect",
    "gpu",
    "promises",
)
DEFAULT = ("startup", "accuracy", "features", "memory", "doctor")


def main() -> int:
    if sys.argv[1:2] in (["promises"], ["audit"]):  # which have options of their own
        return int(import_module(f"benchmarks.{sys.argv[1]}.command").main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)} (default: all but fastai)")
    chosen = parser.parse_args().names or DEFAULT
    if unknown := set(chosen) - set(ALL):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; known: {', '.join(ALL)}")
    print(json.dumps({"machine": machine()}, indent=1), flush=True)
    for name in chosen:
        module = import_module(f"benchmarks.{name}")
        print(json.dumps({name: module.measure()}, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
