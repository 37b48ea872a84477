"""Rows of B11, Charging & Billing to SOTA Core. The whitelist only names the boundary; it has no rows."""

from __future__ import annotations

from sota.boundaries.interaction import Interaction

ROWS: tuple[Interaction, ...] = ()
