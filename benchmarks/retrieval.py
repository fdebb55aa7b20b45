"""Product quantisation on 1,000,000 vectors of 128 numbers against exact search, in one run.

The vectors are synthetic: points around 1,000 centres on a 24-dimensional surface in 128, as features of images lie,
not a uniform cloud, in which no vector is near another. Curve: lists looked at, recall@10, queries per second.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import PeakMemory

N, WIDTH, QUERIES = 1_000_000, 128, 1000


def measure() -> dict[str, Any]:
    import faiss

    from clearsight.metrics.retrieval import neighbour_recall
    from clearsight.retrieval.index import build_faiss, search_faiss, unit

    rng = np.random.default_rng(0)
    plane = rng.normal(size=(24, WIDTH)).astype(np.float32)
    centres = rng.normal(size=(1000, 24)).astype(np.float32)

    def draw(n: int) -> Any:
        inner = centres[rng.integers(1000, size=n)] + 0.5 * rng.normal(size=(n, 24))
        return unit((inner @ plane + 0.3 * rng.normal(size=(n, WIDTH))).astype(np.float32))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        stored = np.lib.format.open_memmap(path, "w+", np.dtype(np.float32), (N, WIDTH))
        for start in range(0, N, 100_000):
            stored[start : start + 100_000] = draw(100_000)
        queries = draw(QUERIES)
        exact = build_faiss(stored, "exact")
        began = time.perf_counter()
        _, truth = search_faiss(exact, queries, 10)
        exact_rate = QUERIES / (time.perf_counter() - began)
        del exact
        curves = {}
        for code_bytes in (32, 16):
            steps: list[tuple[int, int]] = []
            began = time.perf_counter()
            with PeakMemory() as memory:
                index = build_faiss(stored, "ivfpq", code_bytes, lambda *step, seen=steps: seen.append(step))
            built = time.perf_counter() - began
            file = Path(folder) / "index.faiss"
            faiss.write_index(index, str(file))
            lists = faiss.extract_index_ivf(index)
            curve = []
            for probed in (1, 4, 16, 64, lists.nlist // 16):
                lists.nprobe = probed
                began = time.perf_counter()
                _, found = search_faiss(index, queries, 10)
                rate = QUERIES / (time.perf_counter() - began)
                curve.append({"lists": probed, "recall@10": neighbour_recall(found, truth), "queries_per_second": rate})
            curves[f"{code_bytes} bytes"] = {
                "share_of_raw": file.stat().st_size / (N * WIDTH * 4),
                "bar_share_of_raw": 1 / 8,
                "build_seconds": built,
                "peak_bytes_while_building": memory.peak,
                "progress_steps": len(steps),
                "lists": lists.nlist,
                "curve": curve,
            }
    return {"exact_queries_per_second": exact_rate, "ivfpq": curves}
