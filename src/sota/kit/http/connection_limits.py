"""How many connections a listener keeps, and of which addresses: many silent connections keep no other caller out.

Rules kept here:

* an address keeps ``per_address`` connections at most (0: any number, where a proxy stands before us): one more closes
  its oldest quiet one, or is not let in where all are busy;
* a full listener closes a quiet connection of the address that has most; where none is quiet, a few more are let in;
* a listener that is half full keeps quiet connections for a shorter time.

A connection is quiet while none of its requests is answered or has arrived whole.
"""

from __future__ import annotations

import ipaddress
from typing import Protocol

KEEP_ALIVE_S, BUSY_KEEP_ALIVE_S = 75, 5
SPARE = 100


class Connection(Protocol):
    """A connection as it is counted."""

    @property
    def is_quiet(self) -> bool:
        """Whether no caller waits for an answer on it."""

    def cut_off(self) -> None:
        """Close it at once."""

    def stop(self) -> None:
        """Close it when the request under way is answered."""


class ConnectionLimits:
    """The connections of one listener, by address, the oldest first."""

    def __init__(self, most: int, per_address: int) -> None:
        self.most, self.per_address = most, per_address
        self._by_address: dict[str, dict[Connection, None]] = {}
        self._count = 0

    @property
    def keep_alive_s(self) -> int:
        """How long a quiet connection is kept."""
        return BUSY_KEEP_ALIVE_S if self._count * 2 >= self.most else KEEP_ALIVE_S

    def connections(self) -> list[Connection]:
        """Return all connections."""
        return [connection for own in self._by_address.values() for connection in own]

    def add(self, connection: Connection, address: str) -> None:
        """Count a connection, and make room for it."""
        network = network_of(address)
        own = self._by_address.setdefault(network, {})
        if self.per_address and len(own) >= self.per_address and not self._close_quiet(own):
            connection.cut_off()
        elif self._count >= self.most:
            is_freed = self._close_quiet(max(self._by_address.values(), key=len))
            if not is_freed and self._count >= self.most + SPARE:
                connection.cut_off()
        own[connection] = None
        self._count += 1

    def remove(self, connection: Connection, address: str) -> None:
        """Forget a connection."""
        network = network_of(address)
        own = self._by_address.get(network, {})
        if connection in own:
            del own[connection]
            self._count -= 1
        if not own:
            self._by_address.pop(network, None)

    def _close_quiet(self, connections: dict[Connection, None]) -> bool:
        quiet = next((one for one in connections if one.is_quiet), None)
        if quiet is None:
            return False
        del connections[quiet]
        self._count -= 1
        quiet.cut_off()
        return True


def network_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the network, in which a single customer has all addresses.

    >>> network_of("2001:db8:1:2:3::4"), network_of("::ffff:192.0.2.1")
    ('2001:db8:1:2::/64', '192.0.2.1')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((int(found), 64), strict=False))
