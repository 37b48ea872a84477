"""Who announced what: the way from a service's name to the connection behind which it is."""

from __future__ import annotations

from collections.abc import Iterable

from sota.rvi.connection import PeerConnection


class Routes:
    """All services of other nodes.

    A name announced by several connections belongs to the newest; when that one ends, the one before takes over. A
    name that ends in a slash stands for everything below it; the longest one that fits is taken where the exact name
    is unknown.
    """

    def __init__(self) -> None:
        self._ways: dict[str, tuple[PeerConnection, ...]] = {}
        self._prefixes: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._ways

    def names(self) -> list[str]:
        """All names, as they were announced."""
        return list(self._ways)

    def find(self, name: str) -> PeerConnection | None:
        """Find the connection for a service."""
        ways = self._ways.get(name)
        if ways is None and self._prefixes:
            below = [prefix for prefix in self._prefixes if name.startswith(prefix)]
            ways = self._ways[max(below, key=len)] if below else None
        return ways[-1] if ways else None

    def add(self, connection: PeerConnection, names: Iterable[str]) -> None:
        """Note services of a connection, which becomes the newest for them."""
        for name in names:
            others = tuple(other for other in self._ways.get(name, ()) if other is not connection)
            self._ways[name] = (*others, connection)
            if name.endswith("/"):
                self._prefixes.add(name)

    def remove(self, connection: PeerConnection, names: Iterable[str]) -> list[str]:
        """Forget services of a connection; gives those that nobody has any more."""
        gone: list[str] = []
        for name in names:
            left = tuple(other for other in self._ways.get(name, ()) if other is not connection)
            if left:
                self._ways[name] = left
            elif self._ways.pop(name, None) is not None:
                gone.append(name)
                self._prefixes.discard(name)
        return gone
