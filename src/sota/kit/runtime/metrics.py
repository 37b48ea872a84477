"""Prometheus metrics of every program; a feature adds its own beside its code.

All live in the default registry of the process and carry a label ``program``, since ``sota up`` runs several in one
process.
"""

from __future__ import annotations

import functools

from sota.kit.runtime.stub_modules import stubbed

with stubbed("prometheus_client.exposition"):  # it brings a web server, which only ``exposition`` below needs
    from prometheus_client import REGISTRY, Counter, Gauge, Histogram

__all__ = ["DURATION", "REFUSED", "REGISTRY", "REQUESTS", "Counter", "Gauge", "Histogram", "count_answer", "exposition"]

REQUESTS = Counter(
    "sota_requests_total", "Answers given, by program, interaction and status.", ["program", "interaction", "status"]
)
DURATION = Histogram(
    "sota_request_duration_seconds",
    "Time from request to answer, by program and interaction.",
    ["program", "interaction"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REFUSED = Counter("sota_refused_total", "Requests outside the whitelist, by program and reason.", ["program", "reason"])


@functools.lru_cache(maxsize=4096)  # finding a child by its labels takes a lock, and longer than counting
def _answers(program: str, interaction: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(program, interaction, status), DURATION.labels(program, interaction)


def count_answer(program: str, interaction: str, status: int, took_s: float) -> None:
    """Count an answer and the time it took."""
    answers, duration = _answers(program, interaction, status)
    answers.inc()
    duration.observe(took_s)


def exposition() -> bytes:
    """Return all metrics in Prometheus's text format."""
    from prometheus_client.exposition import generate_latest

    return generate_latest(REGISTRY)
