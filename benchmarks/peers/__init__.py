"""The same work for other job systems, in the same run: see README.md beside the benchmarks."""
