"""What Core tidies up now and then: answers kept for repeated requests, a blacklisting that was interrupted."""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.binding.idempotency import Idempotency
from sota.core.blacklist.api import BlacklistApi
from sota.kit.errors import SotaError
from sota.kit.runtime.logging import get_logger

EVERY_S = 3600.0


async def keep_house(once: Idempotency, blacklist: BlacklistApi) -> None:
    """Tidy up every hour until cancelled."""
    while True:
        try:
            await once.forget_old()
            await blacklist.finish()
        except (SotaError, SQLAlchemyError) as error:
            get_logger().warning("housekeeping_postponed", reason=str(error))
        await asyncio.sleep(EVERY_S)
