"""Routes: from a service's name to the connection that announced it."""

from __future__ import annotations

from collections.abc import Iterable

from sota.rvi.connection import PeerConnection


class Routes:
    """All services of other nodes.

    A name announced by several connections belongs to the newest; when that one ends, the one before takes over. A
    name that ends in a slash stands for everything below it. Where the exact name is unknown, the longest matching
    prefix is used.
    """

    def __init__(self) -> None:
        self._connections: dict[str, tuple[PeerConnection, ...]] = {}
        self._prefixes: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._connections

    def names(self) -> list[str]:
        """Return all announced names."""
        return list(self._connections)

    def find(self, name: str) -> PeerConnection | None:
        """Return the connection for a service."""
        found = self._connections.get(name)
        if found is None and self._prefixes:
            below = [prefix for prefix in self._prefixes if name.startswith(prefix)]
            found = self._connections[max(below, key=len)] if below else None
        return found[-1] if found else None

    def add(self, connection: PeerConnection, names: Iterable[str]) -> None:
        """Add services of a connection, which becomes the newest for them."""
        for name in names:
            others = tuple(other for other in self._connections.get(name, ()) if other is not connection)
            self._connections[name] = (*others, connection)
            if name.endswith("/"):
                self._prefixes.add(name)

    def remove(self, connection: PeerConnection, names: Iterable[str]) -> list[str]:
        """Remove services of a connection; returns those that no connection has any more."""
        gone: list[str] = []
        for name in names:
            left = tuple(other for other in self._connections.get(name, ()) if other is not connection)
            if left:
                self._connections[name] = left
            elif self._connections.pop(name, None) is not None:
                gone.append(name)
                self._prefixes.discard(name)
        return gone
