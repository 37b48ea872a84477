"""Waiting until the Resolver has taken in what Core has acknowledged.

The Resolver keeps an index of the fleet, and learns of changes from Core's outbox, a moment after Core has acknowledged
them. What is decided by that index right after an import would miss vehicles, so each such call waits first: for the
entries that stand in the outbox when it begins, and no later ones. An entry leaves the outbox when the Resolver has
committed it, so this holds with several Cores on one database, and whatever is killed meanwhile.
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
        """Return when the Resolver knows everything that Core had acknowledged before this call.

        Raises:
            Unavailable: it does not within the time, because it is away or has much to take in.
        """
        if not await self._relay.wait_until_told(KIND, self._most_s):
            raise Unavailable(
                "The Resolver has not taken in all vehicles and packages that Core has acknowledged: try again soon."
            )
