"""What the node counts, beside what every program counts.

Messages are counted as plain numbers that are read when somebody asks for the metrics: a counter with a lock would cost
every message more than its rights do.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from sota.kit.runtime.metrics import REGISTRY, Gauge


class Tally:
    """A number that only grows, counted on the event loop."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        """Count one."""
        self.value += 1


SENT, RECEIVED, DELIVERED, STORED, EXPIRED = Tally(), Tally(), Tally(), Tally(), Tally()


class MessageCollector(Collector):
    """Gives the numbers to Prometheus."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Name them."""
        family = CounterMetricFamily("sota_rvi_messages", "Messages, by what became of them.", labels=["result"])
        tallies = {"sent": SENT, "received": RECEIVED, "delivered": DELIVERED, "stored": STORED, "expired": EXPIRED}
        for result, tally in tallies.items():
            family.add_metric([result], tally.value)
        yield family


REGISTRY.register(MessageCollector())
CONNECTIONS = Gauge("sota_rvi_connections", "Connections to other nodes.", ["role"])
WAITING = Gauge("sota_rvi_stored_messages", "Messages on disk for services that are away.", ["role"])
