"""The operation port of a process: liveness, readiness, metrics (X-B0)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sota.boundaries.b0_operation import rows
from sota.boundaries.binding.app import App
from sota.boundaries.binding.call import AnyCall, Reply
from sota.boundaries.binding.decorators import serves
from sota.kit.errors import Refused
from sota.kit.runtime import metrics
from sota.kit.runtime.program import RunnableProgram


class OperationApi:
    """The operation port: liveness, readiness, metrics. Plain, unauthenticated, loopback by default."""

    def __init__(self, programs: Sequence[RunnableProgram]) -> None:
        self._programs = programs

    @serves("X-B0-1")
    async def healthz(self, _call: AnyCall) -> Reply:
        """The process answers."""
        return Reply("alive", {"status": "ok", "programs": [program.name for program in self._programs]})

    @serves("X-B0-2")
    async def readyz(self, _call: AnyCall) -> Reply:
        """Every program of the process can do its work now."""
        troubles = await asyncio.gather(*(program.trouble() for program in self._programs), return_exceptions=True)
        waiting = [f"{program.name}: {why}" for program, why in zip(self._programs, troubles, strict=True) if why]
        if waiting:
            raise Refused("not_ready", f"Not ready: {'; '.join(waiting)}.", status=503)
        return Reply("ready", {"status": "ready", "programs": [program.name for program in self._programs]})

    @serves("X-B0-3")
    async def metrics(self, _call: AnyCall) -> Reply:
        """Prometheus's text format."""
        return Reply("measured", raw=metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")


def operation_app(programs: Sequence[RunnableProgram]) -> App:
    """Build the operation port's application from its declared rows (X-B0)."""
    app = App("operation", rows.ROWS)
    app.add(OperationApi(programs))
    app.check()
    return app
