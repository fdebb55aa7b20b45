"""Speed, memory and accuracy, measured: `python -m benchmarks [NAME ...]`."""
