"""Whether what every run promises holds on ten data sets and over seeds: calibration, coverage of prediction sets and
intervals, detection of out-of-distribution images, label issues; next to other libraries on the same arrays.

`python -m benchmarks promises` goes on where it was interrupted; see `benchmarks.promises.command` for its options.
"""
