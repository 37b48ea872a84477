"""Core's periodic cleanup: old answers kept for repeated requests, and interrupted blacklistings."""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.binding.idempotency import Idempotency
from sota.core.blacklist.api import BlacklistApi
from sota.kit.errors import SotaError
from sota.kit.runtime.logging import get_logger

EVERY_S = 3600.0


async def run_cleanup(once: Idempotency, blacklist: BlacklistApi) -> None:
    """Clean up every hour until cancelled."""
    while True:
        try:
            await once.forget_old()
            await blacklist.finish()
        except (SotaError, SQLAlchemyError) as error:
            get_logger().warning("cleanup_postponed", reason=str(error))
        await asyncio.sleep(EVERY_S)
