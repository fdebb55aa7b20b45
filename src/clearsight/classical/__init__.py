"""Image analysis before networks: filters, templates, descriptors, key points, encodings. Arrays in, arrays out.

Descriptors of whole images work on batches of tensors (N, C, H, W) in [0, 1], as networks do, and are parts of one
where a classifier stands on them; filters, templates and key points work on one image (H, W) or (H, W, C) at a time.
"""
