"""Fixtures that integration tests share with those of the whitelist."""

from __future__ import annotations

from tests.support.fixtures import core, identities, ivi, other_service, resolver, service, vehicle

# Fixtures: pytest finds them by their names here.
__all__ = ["core", "identities", "ivi", "other_service", "resolver", "service", "vehicle"]
