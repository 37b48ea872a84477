"""Typed results of Core's stores: the outcomes of B4."""

from __future__ import annotations

from sota.boundaries.store_result import StoreResult

__all__ = ["StoreResult"]
