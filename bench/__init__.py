"""Benchmarks: ours and the peer in one run, paired; `python -m bench` writes bench.md."""
