"""SOTA Core as a program: builds its parts, starts and stops them."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.binding.audited_app import AuditedApp
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.binding.rvi_service import RviServices
from sota.boundaries.binding.service_credentials import ServiceCredentials
from sota.boundaries.interaction import Program
from sota.boundaries.services import CALLBACK_LIMIT
from sota.boundaries.table import rows_for
from sota.core import facts, tables
from sota.core.audit.api import AuditApi
from sota.core.blacklist.api import BlacklistApi
from sota.core.cleanup import run_cleanup
from sota.core.components.api import ComponentsApi
from sota.core.following.api import FollowingApi
from sota.core.following.resync import Resync
from sota.core.following.service import Following
from sota.core.identity.api import IdentitiesApi, RenewalApi
from sota.core.identity.authority import KeptAuthority
from sota.core.identity.revocations import RevocationList
from sota.core.logistics.api import LogisticsApi
from sota.core.packages.api import PackagesApi
from sota.core.queue.api import QueueApi
from sota.core.queue.endings import Endings
from sota.core.relaying import Senders
from sota.core.requests.api import RequestsApi
from sota.core.requests.queueing import Queueing
from sota.core.retirement.api import RetirementApi
from sota.core.schedules import GET_PACKAGES, SCHEDULE, UNSCHEDULE
from sota.core.settings import CoreSettings
from sota.core.transfers.api import CallbackApi, TransfersApi
from sota.core.transfers.dispatching.dispatcher import Dispatcher
from sota.core.transfers.presence.conflicts import Conflicts
from sota.core.transfers.presence.instances import Instances
from sota.core.transfers.presence.registration import Registration, callback_secret
from sota.core.transfers.sending.engine import Engine
from sota.core.transfers.sending.fair_queue import WORKERS
from sota.core.vehicles.api import VehiclesApi
from sota.kit.audit.trail import AuditTrail
from sota.kit.errors import SotaError
from sota.kit.http.client import HttpClient
from sota.kit.http.json_server import JsonServer
from sota.kit.http.listener import HttpListener
from sota.kit.http.post_client import PostClient
from sota.kit.runtime.clock import Clock, SystemClock
from sota.kit.runtime.memory import keep_freed
from sota.kit.runtime.program import Background
from sota.kit.runtime.settings import read_secret
from sota.kit.security.service_tls import TlsListener, calling_of
from sota.kit.sql import migrations
from sota.kit.sql.database import Database
from sota.kit.sql.outbox import Relay

MIGRATIONS = "sota.core.migrations"


class CoreProgram:
    """SOTA Core: its API, its outbox, and the engine that brings updates to vehicles."""

    name = "core"

    def __init__(self, settings: CoreSettings, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.db = Database.of(settings)
        token = read_secret(settings.resolver_token_file, "core: credential for the External Resolver")
        self._resolver_http = HttpClient(settings.resolver_url, token, calling_of(settings))
        self._node_http = HttpClient(settings.node_url, timeout_s=10, pool=64)
        self._node_pipe = PostClient(settings.node_url, pool=WORKERS) if settings.node_url.startswith("http:") else None
        resolver, node = FactsClient(self._resolver_http), NodeClient(self._node_http, self.clock, self._node_pipe)
        self.resync = Resync(self.db, resolver, self.clock, settings.data, every_s=settings.resolver_check_s)
        senders = Senders(self.db, self.resync, node, self.clock)
        self.relay = Relay(
            self.db,
            tables.outbox,
            {
                facts.KIND: facts.delivery(senders.send_facts),
                SCHEDULE: senders.send_schedules,
                UNSCHEDULE: senders.send_withdrawals,
                GET_PACKAGES: senders.ask_for_packages,
            },
            self.clock,
        )
        self.resync.relay = self.relay
        self.engine = Engine(self.db, node, self.clock, settings)
        self.dispatcher = Dispatcher(self.engine)
        self.engine.on_free = self.dispatcher.wake
        self.registration = Registration(self.dispatcher)
        self.audit = AuditTrail(self.db)
        self.instances = Instances(
            self.db,
            settings.instance,
            self.clock,
            gone_after_s=settings.gone_after_s,
            taken_over=self.registration.take_over,
        )
        self.once = Idempotency(self.db, tables.idempotency, self.clock)
        conflicts = Conflicts(self.engine, self.dispatcher, self.relay, self.audit)
        self.registration.on_found = conflicts.ask
        self.transfers = TransfersApi(self.registration, self.relay, conflicts)
        self.authority = KeptAuthority(settings.authority, timedelta(days=settings.identity_days))
        self.revocations = RevocationList(self.db, self.clock, settings.revoked or settings.data / "revoked.txt")
        self.renewals = RenewalApi(self.db, self.authority, node, self.audit, self.clock)
        self.endings = Endings(self.engine, self.dispatcher, self.relay, self.clock)
        self.blacklist = BlacklistApi(self.endings)
        self.following = Following(self.relay, settings.resolver_wait_s)
        self.queueing = Queueing(resolver, self.following, self.relay, self.dispatcher)
        self.callbacks = self._callback_server()
        self.app = self._bind(resolver)
        self.listener = HttpListener(self.app, settings.host, settings.port)
        self.tls = TlsListener(self.app, settings)
        self._background = Background()

    @property
    def port(self) -> int:
        """The port that the API listens on, once started."""
        return self.listener.port

    async def start(self) -> None:
        """Bring the database up to date, listen, and begin to work.

        Raises:
            StartError: the database rejects us or is away, or the port is in use.
        """
        keep_freed()
        await self.db.check()
        await migrations.upgrade(self.db, MIGRATIONS)
        self.registration.secret = callback_secret(self.settings.data)
        await self.revocations.follow()  # before the first message
        await self.listener.start()
        await self.tls.start()
        await self.callbacks.start()
        address = self.settings.callback_url or f"http://{self.settings.host}:{self.callbacks.port}"
        self.registration.address = address.rstrip("/")
        self._background.keep("core certificate", self.tls.run)
        self._background.keep("core acknowledgements", self.engine.writer.run)
        self._background.keep("core outbox", self.relay.run)
        self._background.keep("core resync", self.resync.run)
        self._background.keep("core presence", self.registration.run_events)
        self._background.keep("core registration", self.registration.run)
        self._background.keep("core dispatcher", self.dispatcher.run)
        self._background.keep("core transfers", self.engine.run)
        self._background.keep("core preparations", self.queueing.preparations.run)
        self._background.keep("core revocations", self.revocations.run)
        self._background.keep("core instances", self.instances.run)
        self._background.keep("core:cleanup", partial(run_cleanup, self.once, self.blacklist))

    async def stop(self) -> None:
        """Stop accepting requests, then stop the work under way; the next start continues from the database."""
        await self.listener.stop()
        await self.tls.stop()
        await self.callbacks.stop()
        await self._background.stop()
        await self.engine.stop()
        with contextlib.suppress(SotaError, SQLAlchemyError):
            await self.instances.leave()
        await self.transfers.stop()
        await self._resolver_http.close()
        await self._node_http.close()
        if self._node_pipe is not None:
            await self._node_pipe.close()
        await self.db.close()

    async def trouble(self) -> str | None:
        """Return what is wrong: the database, a background task, or our registration at the node."""
        trouble = await self.db.trouble() or self._background.trouble()
        if trouble is None and not self.registration.registered.is_set():
            return "the RVI node does not answer, or does not know our services"
        return trouble

    def _callback_server(self) -> JsonServer:
        services = RviServices(Program.SOTA_CORE, "backend", self.name)
        services.add(self.transfers)
        services.add(self.renewals)
        services.guard_by(self.revocations.guard)
        callback = CallbackApi(services, self.registration)
        services.on_availability(callback.available, callback.unavailable)
        host, port = self.settings.host, self.settings.callback_port
        return JsonServer(self.name, callback.answer, host, port, max_body=CALLBACK_LIMIT)

    def _bind(self, resolver: FactsClient) -> AuditedApp:
        credentials = ServiceCredentials.load(self.settings.credentials_file)
        rows = rows_for(Program.SOTA_CORE)
        app = AuditedApp(self.name, rows, credentials.authenticator(), self.audit, self.clock)
        app.add(
            VehiclesApi(self.db, self.once, self.relay, self.clock),
            PackagesApi(self.db, self.once, self.clock),
            ComponentsApi(self.db, self.once, self.clock),
            RequestsApi(self.db, self.once, resolver, self.queueing, self.clock),
            QueueApi(self.endings, resolver, self.following),
            FollowingApi(self.following),
            self.blacklist,
            RetirementApi(self.endings, self.once, self.revocations),
            AuditApi(self.audit),
            IdentitiesApi(self.db, self.authority, self.revocations, self.clock),
            LogisticsApi(self.db, self.relay, self.clock),
        )
        app.check()
        return app
