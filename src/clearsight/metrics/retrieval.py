"""How good is a ranking of neighbours? relevant (Q, k): whether each query's neighbour, best first, is one to be found.

totals (Q,): how many there are to be found in all; queries with none are left out of every mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Found = NDArray[np.bool_]
Totals = NDArray[np.integer]


def precision_at(relevant: Found, totals: Totals, k: int) -> float:
    """Mean share of the first k neighbours that are relevant."""
    return float(relevant[totals > 0, :k].mean())


def recall_at(relevant: Found, totals: Totals, k: int) -> float:
    """Mean share of the relevant images that are among the first k neighbours."""
    some = totals > 0
    return float((relevant[some, :k].sum(1) / totals[some]).mean())


def mean_average_precision(relevant: Found, totals: Totals) -> float:
    """Mean over the queries of average precision: the precision at each relevant neighbour, averaged over those that
    the k neighbours could hold at most, min(total, k).
    """
    some = totals > 0
    hits, k = relevant[some], relevant.shape[1]
    precision = hits.cumsum(1) / np.arange(1, k + 1)
    return float(((precision * hits).sum(1) / np.minimum(totals[some], k)).mean())


def neighbour_recall(found: NDArray[np.integer], truth: NDArray[np.integer]) -> float:
    """Share of the true k nearest neighbours (Q, k) that an approximate search found among its own (Q, k)."""
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, truth, strict=True)]))
