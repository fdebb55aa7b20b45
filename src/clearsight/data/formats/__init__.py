"""Readers of image files, one format per module; `data.pixels` chooses among them."""
