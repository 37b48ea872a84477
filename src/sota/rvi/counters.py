"""What the node counts, beside what every program counts."""

from __future__ import annotations

from sota.kit.metrics import Counter, Gauge

MESSAGES = Counter("sota_rvi_messages_total", "Messages, by what became of them.", ["result"])
SENT = MESSAGES.labels("sent")
RECEIVED = MESSAGES.labels("received")
DELIVERED = MESSAGES.labels("delivered")
STORED = MESSAGES.labels("stored")
EXPIRED = MESSAGES.labels("expired")
CONNECTIONS = Gauge("sota_rvi_connections", "Connections to other nodes.", ["role"])
WAITING = Gauge("sota_rvi_stored_messages", "Messages on disk for services that are away.", ["role"])
