"""Waits until the Resolver has recorded everything that Core has acknowledged.

The Resolver keeps an index of the fleet, and learns of changes from Core's outbox, a moment after Core acknowledged
them. A decision by that index right after an import would miss vehicles. So each such call waits for the entries that
are in the outbox when it begins, and no later ones. An entry leaves the outbox when the Resolver has committed it, so
this holds with several Cores on one database, and through crashes.
"""

from __future__ import annotations

from sota.core.facts import KIND
from sota.kit.errors import Unavailable
from sota.kit.sql.outbox import Relay


class Following:
    """Waits for the Resolver, at most ``most_s`` seconds."""

    def __init__(self, relay: Relay, most_s: float) -> None:
        self._relay, self._most_s = relay, most_s

    async def wait(self) -> None:
        """Wait until the Resolver knows everything that Core had acknowledged before this call.

        Raises:
            Unavailable: the time-out passed: the Resolver is away or has much to record.
        """
        if not await self._relay.wait_until_sent(KIND, self._most_s):
            raise Unavailable(
                "The Resolver has not recorded all vehicles and packages that Core has acknowledged: try again soon."
            )
