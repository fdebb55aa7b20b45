"""Similar images: embeddings of any layer, indexed exactly or in a few bytes each, searched and judged."""

from clearsight.retrieval.index import Index, Retrieval, build_index, evaluate_index, search_images
from clearsight.retrieval.originals import Originals

__all__ = [
    "Index",
    "Originals",
    "Retrieval",
    "build_index",
    "evaluate_index",
    "search_images",
]
