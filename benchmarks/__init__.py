"""What proves the figures. Each file runs by itself: `python -m benchmarks.NAME`; ratios are measured in one run."""
