"""Similar images: embeddings of any layer, indexed exactly or in a few bytes each, searched and judged."""

from clearsight.retrieve.index import Index, Retrieval, build_index, judge_index, search_images

__all__ = ["Index", "Retrieval", "build_index", "judge_index", "search_images"]
