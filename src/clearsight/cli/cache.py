"""Show the contents of the cache, and prune it.

The cache stores decoded pixels, features and compiled networks. Each entry is identified by everything that its content
depends on. Removed entries are recomputed when they are needed. The cache is in ~/.cache/clearsight, or in the folder
that $CLEARSIGHT_CACHE specifies. Its size is limited to $CLEARSIGHT_CACHE_GB gigabytes (default: 20) by removing the
least recently used entries.
"""

from __future__ import annotations

import argparse
import time

from clearsight.cli.options import print_json
from clearsight.errors import ConfigError

DAY = 24 * 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prune",
        type=float,
        metavar="GB",
        help="remove the least recently used entries until at most GB gigabytes are left; 0 removes all "
        "(default: keep all)",
    )
    parser.add_argument(
        "--unused-for",
        type=float,
        metavar="DAYS",
        help="remove entries that have not been used for DAYS days, 0 or more (default: keep all)",
    )


def run(arguments: argparse.Namespace) -> None:
    from clearsight.data.cache import cache_limit, cache_root, entries, prune
    from clearsight.wording import count, size_words

    for name in ("prune", "unused_for"):
        value = getattr(arguments, name)
        if value is not None and not 0 <= value < 1e9:
            raise ConfigError(f"--{name.replace('_', '-')} {value:g}", expected="0 or more")
    gone = []
    if arguments.prune is not None or arguments.unused_for is not None:
        since = None if arguments.unused_for is None else time.time() - arguments.unused_for * DAY
        gone = prune(int(1e9 * (1e9 if arguments.prune is None else arguments.prune)), unused_since=since)
    kinds: dict[str, list[tuple[int, float]]] = {}
    for one in entries():
        kinds.setdefault(one.folder.parent.name, []).append((one.size, (time.time() - one.used) / DAY))
    total = sum(size for rows in kinds.values() for size, _ in rows)
    if arguments.json:
        shown = {
            kind: {"entries": len(rows), "bytes": sum(size for size, _ in rows), "days_unused": max(d for _, d in rows)}
            for kind, rows in sorted(kinds.items())
        }
        removed = {"entries": len(gone), "bytes": sum(one.size for one in gone)}
        print_json(
            {"folder": str(cache_root()), "bytes": total, "limit": cache_limit(), "kinds": shown, "removed": removed}
        )
        return
    if gone:
        print(f"removed {count(len(gone), 'entry', 'entries')}, {size_words(sum(one.size for one in gone))}")
    print(f"{cache_root()}: {size_words(total)} used of {size_words(cache_limit())}")
    for kind, rows in sorted(kinds.items()):
        oldest = max(days for _, days in rows)
        size = size_words(sum(size for size, _ in rows))
        print(f"  {kind:<12} {size:>8}  {count(len(rows), 'entry', 'entries')}, unused for up to {oldest:.1f} days")
