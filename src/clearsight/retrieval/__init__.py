"""Similar images: embeddings of any layer, indexed exactly or in a few bytes each, searched and evaluated."""

from clearsight.retrieval.index import Index, Retrieval, build_index, evaluate_index, search_images
from clearsight.retrieval.originals import Originals
from clearsight.retrieval.results import IndexResult, Neighbour, SearchResult

__all__ = [
    "Index",
    "IndexResult",
    "Neighbour",
    "Originals",
    "Retrieval",
    "SearchResult",
    "build_index",
    "evaluate_index",
    "search_images",
]
