"""What the API is measured against: a bare Starlette handler that does one indexed read.

``python -m bench.api_baseline PORT URL`` serves it.

No token, no table of interactions, no metrics: the least that a Python service on this database can do. It reads
through the same engine as our programs do, with the same pool.
"""

from __future__ import annotations

import sys

import sqlalchemy as sa
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sota.core.tables import vehicle
from sota.kit.sql.database import Database


def application(url: str) -> Starlette:
    """Make the application; it answers ``/vehicles/{vin}``."""
    database = Database(url)

    async def show(request: Request) -> JSONResponse:
        query = sa.select(vehicle).where(vehicle.c.vin == request.path_params["vin"])
        async with database.reading_engine.connect() as connection:
            row = (await connection.execute(query)).one()
        return JSONResponse(
            {
                "vin": row.vin,
                "registered_at": row.created_at.isoformat(),
                "connected": bool(row.connected),
                "last_seen_at": row.last_seen_at.isoformat() if row.last_seen_at is not None else None,
            }
        )

    return Starlette(routes=[Route("/vehicles/{vin}", show)])


def main(port: int, url: str) -> None:
    """Serve until SIGTERM."""
    uvicorn.run(
        application(url),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        timeout_keep_alive=75,
        log_level="warning",
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
