"""Bodies of B8: those of B7, which the nodes carry unchanged and do not read. The frames are in ``rvi/codec.py``."""

from __future__ import annotations

from sota.boundaries.b7_core_rvi.messages import BACKEND_BODIES, VEHICLE_BODIES

__all__ = ["BACKEND_BODIES", "VEHICLE_BODIES"]
