"""Benchmarks: each ``bench_*.py`` is a script that prints medians, limits and ratios; packaging/bench runs them."""
