"""Faults planted at random in four data sets, and whether the audit names them; false findings without a fault; copies
planted among thousands of images.

`python -m benchmarks audit` goes on where it was interrupted; see `benchmarks.audit.command` for its options.
"""
