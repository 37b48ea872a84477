"""The authority of nodes' identities, where tests and tools look for it: see ``sota/boundaries/authority.py``."""

from __future__ import annotations

from sota.boundaries.authority import Authority, Grant, PrivateKey

__all__ = ["Authority", "Grant", "PrivateKey"]
