"""The External Resolver as a program: opens and upgrades its database, and answers B3 and B5."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from sota.boundaries.binding.audited_app import AuditedApp
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.binding.service_credentials import ServiceCredentials
from sota.boundaries.interaction import Program
from sota.boundaries.table import rows_for
from sota.kit.audit.trail import AuditTrail
from sota.kit.errors import SotaError
from sota.kit.http.listener import HttpListener
from sota.kit.runtime.clock import Clock, SystemClock
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.program import Background
from sota.kit.security.service_tls import TlsListener
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from sota.resolver import tables
from sota.resolver.attributes.api import AttributesApi
from sota.resolver.audit.api import AuditApi
from sota.resolver.dependencies.api import DependenciesApi
from sota.resolver.explanation.api import ExplanationApi
from sota.resolver.explanation.service import Explanations
from sota.resolver.facts import service as fact_service
from sota.resolver.facts.api import FactsApi
from sota.resolver.filters.api import FiltersApi
from sota.resolver.filters.widening import Widening
from sota.resolver.groups.api import GroupsApi
from sota.resolver.index.bitmap_index import BitmapIndex
from sota.resolver.index.fleet_index import FleetIndex
from sota.resolver.index.keeper import Keeper
from sota.resolver.index.share import remove_others
from sota.resolver.index.spread_index import SpreadIndex
from sota.resolver.index.vins import warm_up
from sota.resolver.index.workers import Workers
from sota.resolver.language.parser import parse
from sota.resolver.preview.api import PreviewApi
from sota.resolver.preview.service import Previews
from sota.resolver.recorded.api import RecordedApi
from sota.resolver.recorded.erasure import Erasures
from sota.resolver.recorded.service import Records
from sota.resolver.register.api import RegisterApi
from sota.resolver.resolution.api import ResolutionApi
from sota.resolver.resolution.service import Resolver
from sota.resolver.settings import ResolverSettings

MIGRATIONS = "sota.resolver.migrations"
TIDY_INTERVAL_S = 3600.0
LOADING_S = 5.0
SWITCH_S = 0.001


class ResolverProgram:
    """The External Resolver."""

    name = "resolver"

    def __init__(self, settings: ResolverSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.db = Database.of(settings)
        self.erasures = Erasures(self.db, self.clock)
        self.audit = AuditTrail(self.db)
        self.once = Idempotency(self.db, tables.idempotency, self.clock)
        self.workers = Workers(settings.workers, "resolve")
        self.previews = Workers(1, "preview")
        self._keeping = Workers(1, "index")
        self.index: FleetIndex
        if settings.index_processes > 1:
            self.index = SpreadIndex(settings)
        else:
            self.index = BitmapIndex(Keeper(self.db, self._keeping, settings), self.workers, self.previews)
        self._background = Background()
        self._listener: HttpListener | None = None
        self._tls: TlsListener | None = None
        self._log = get_logger(program=self.name)

    @property
    def port(self) -> int:
        """The actual port, once started."""
        return self._listener.port if self._listener is not None else self.settings.port

    async def start(self) -> None:
        """Return when requests can be answered.

        Raises:
            StartError: the credentials file, the database or the address is wrong.
        """
        # Threads compute beside the event loop: a shorter interval returns the interpreter to the loop sooner.
        sys.setswitchinterval(SWITCH_S)
        credentials = ServiceCredentials.load(self.settings.credentials_file)
        await self.db.check()
        await upgrade(self.db, MIGRATIONS)
        rows = rows_for(Program.EXTERNAL_RESOLVER)
        app = AuditedApp(self.name, rows, credentials.authenticator(), self.audit, self.clock)
        resolver = Resolver(self.db, self.index, self.workers)
        records = Records(self.db, resolver, self.workers, self.clock)
        app.add(
            AuditApi(self.audit),
            RegisterApi(self.once, self.clock),
            FiltersApi(self.db, self.once, self.workers, Widening(self.index, self.previews), self.clock),
            FactsApi(self.db, self.clock, self.erasures.wake),
            ResolutionApi(resolver, records),
            RecordedApi(self.db, records, self.workers),
            DependenciesApi(self.db),
            AttributesApi(self.db),
            GroupsApi(self.db, self.clock),
            PreviewApi(Previews(self.db, self.index, resolver, self.previews)),
            ExplanationApi(Explanations(self.db, resolver, self.previews)),
        )
        app.check()
        self._listener = HttpListener(app, self.settings.host, self.settings.port)
        self._tls = TlsListener(app, self.settings)
        await self._listener.start()
        await self._tls.start()
        self._background.keep("resolver:certificate", self._tls.run)
        self._background.keep("resolver:tidy", self._tidy)
        self._background.keep("resolver:erasures", self.erasures.run)
        remove_others(self.settings.data, self.settings.index_processes)
        self.index.start(self._background)
        # Mostly this takes a moment. A large fleet continues to load while other requests are answered already.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOADING_S):
                await self.index.wait_ready()
        # Requests are answered by now: the first expression must not wait for this.
        await self.previews.run(_warm_up)

    async def stop(self) -> None:
        """End running requests, and close the database."""
        if self._listener is not None:
            await self._listener.stop()
        if self._tls is not None:
            await self._tls.stop()
        await self._background.stop()
        self.index.close()
        for workers in (self.workers, self.previews, self._keeping):
            workers.close()
        await self.db.close()

    async def trouble(self) -> str | None:
        """Return what is wrong: with the database, with a background task, or that the index is not loaded."""
        if self._listener is None:
            return "it is starting"
        trouble = await self.db.trouble() or self._background.trouble()
        if trouble is None and not await self.index.is_ready():
            return "the index of the fleet is not loaded"
        return trouble

    async def _tidy(self) -> None:
        """Delete every hour what is only kept for repeated requests."""
        while True:
            try:
                await self.once.forget_old()
                await self.erasures.drop_abandoned()
                while await self.db.transact(lambda tx: fact_service.forget_old(tx, self.clock)):
                    pass
            except SotaError as error:
                self._log.warning("tidying_failed", reason=error.detail)
            await asyncio.sleep(TIDY_INTERVAL_S)


def _warm_up() -> None:
    parse("TRUE")
    warm_up()
