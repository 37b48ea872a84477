"""Rows of operation: health and metrics, which every program answers on its operation port.

One set for all programs: the callee is ``Program.EVERY``, and ``table.rows_for`` gives these rows to each.
"""

from __future__ import annotations

from sota.boundaries.interaction import Boundary, Http, Program, answers, declared, refuses

B0 = Boundary("B0", Program.OPERATION, Program.EVERY)

HEALTH = B0.row(
    "X-B0-1", "Health", Http("GET", "/healthz", asset=True), answers("alive", "the program runs and its loop turns")
)
READINESS = B0.row(
    "X-B0-2",
    "Readiness",
    Http("GET", "/readyz", asset=True),
    answers("ready", "the program can do its work"),
    refuses("not_ready", 503, "Not ready", "something that the program needs is away: the body says what"),
)
METRICS = B0.row(
    "X-B0-3", "Metrics", Http("GET", "/metrics", asset=True), answers("measured", "Prometheus metrics as text")
)

ROWS = declared(globals())
