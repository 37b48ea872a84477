"""Measurements of the running system: ``python -m bench`` for all, ``python -m bench startup`` for one.

Each benchmark is one file with one function, ``measure() -> Measurement``. It starts real programs on loopback, repeats
what it measures, takes medians, measures a plain baseline in the same run, and ends what it started. ``report.py``
prints the table and writes ``bench/results/NAME.json``; the results are kept in the repository.
"""
