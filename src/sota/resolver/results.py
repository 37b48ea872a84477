"""Typed results of the Resolver's stores: the outcomes of B6."""

from __future__ import annotations

from sota.boundaries.store_result import StoreResult

__all__ = ["StoreResult"]
