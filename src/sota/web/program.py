"""The Web Server as a program: what :func:`sota.kit.runtime.program.run` runs, and how its parts are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sota.boundaries.b1_browser_web.queries import TrailOwner
from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b3_web_resolver.client import ResolverClient
from sota.kit.audit.trail import AuditTrail
from sota.kit.errors import SotaError, StartError
from sota.kit.http.client import HttpClient
from sota.kit.http.listener import HttpListener
from sota.kit.runtime.clock import Clock, SystemClock
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.program import Background
from sota.kit.runtime.settings import read_secret
from sota.kit.security import tls
from sota.kit.security.service_tls import calling_of
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from sota.web.accounts.api import UsersApi
from sota.web.accounts.first_password import FirstPassword
from sota.web.accounts.service import TokenUses
from sota.web.accounts.tokens_api import TokensApi
from sota.web.app import WebApp
from sota.web.audit.api import AuditApi
from sota.web.console import manifest
from sota.web.console.api import ConsoleApi
from sota.web.console.page import Pages
from sota.web.documents.api import DocumentsApi
from sota.web.gateway.core_api import CoreApi
from sota.web.gateway.resolver_api import ResolverApi
from sota.web.https_gate import HttpsGate, PublicAddresses
from sota.web.registers.api import RegistersApi
from sota.web.registers.service import Registers
from sota.web.repository.api import RepositoryApi
from sota.web.repository.service import SignatureRule, Uploads
from sota.web.repository.store import PackageRepository
from sota.web.sessions.api import SessionsApi
from sota.web.sessions.own_api import OwnAccountApi
from sota.web.sessions.service import Sessions
from sota.web.sessions.throttle import EnrolmentThrottle
from sota.web.settings import WebSettings
from sota.web.visitor import Visitors

MIGRATIONS = "sota.web.migrations"
RESUME_EVERY_S = 1.0
SWEEP_EVERY_S = 15.0
CERTIFICATE_EVERY_S = 2.0
LOOK_EVERY = timedelta(days=1)
ENDS_SOON = timedelta(days=14)


class WebProgram:
    """The Web Server. ``port`` and ``https_port`` are the actual ones once it is started.

    ``first_password`` is the generated password of the first account until its owner changes it: the command that
    starts the program shows it.
    """

    name = "web"

    def __init__(self, settings: WebSettings, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.db = Database.of(settings)
        self._first = FirstPassword(settings.data, self.db)
        self.first_password: str | None = None
        self.port, self.https_port = settings.port, settings.https_port
        self.certificate: Path | None = None
        self.audit = AuditTrail(self.db)
        self.sessions = Sessions(self.db, self.clock, idle_s=settings.session_idle_s, limit_s=settings.session_limit_s)
        self.token_uses = TokenUses(self.db)
        self._background = Background()
        self._listeners: list[HttpListener] = []
        self._clients: list[HttpClient] = []
        self._log = get_logger(program=self.name)

    async def start(self) -> None:
        """Upgrade the database, resume interrupted work, listen.

        Raises:
            StartError: a setting, the database, the repository or an address cannot be used.
        """
        settings = self.settings
        core = CoreClient(self._client(settings.core_url, settings.core_token_file, "core_token_file"))
        resolver = ResolverClient(
            self._client(settings.resolver_url, settings.resolver_token_file, "resolver_token_file")
        )
        signatures = SignatureRule.of(settings.package_keys, required=settings.require_signature)
        self.repository = PackageRepository(settings.repository)
        await self.db.check()
        await upgrade(self.db, MIGRATIONS)
        self.first_password = await self._first.prepare(self.clock)

        self.registers = Registers(
            self.db,
            core,
            resolver,
            self.clock,
            wait_s=settings.intent_wait_s,
            retry_s=settings.intent_retry_s,
        )
        self.uploads = Uploads(self.db, self.repository, self.registers, core, signatures, self.clock, settings)
        app = await self._app(core, resolver)
        await self._listen(app)
        self._background.keep("web:registrations", self._keep_registering)
        self._background.keep("web:sweep", self._keep_sweeping)
        self._background.keep("web:certificate", self._keep_certificate)

    async def stop(self) -> None:
        """Stop listening, let requests under way end, leave open registrations for the next start."""
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        await self._background.stop()
        if hasattr(self, "registers"):
            await self.registers.stop()
        await asyncio.gather(*(client.close() for client in self._clients))
        await self.db.close()

    async def trouble(self) -> str | None:
        """Return what is wrong with the database or a background task. Core and the Resolver report for themselves."""
        if not self._listeners:
            return "it is starting"
        return await self.db.trouble() or self._background.trouble()

    async def _app(self, core: CoreClient, resolver: ResolverClient) -> WebApp:
        settings = self.settings
        key = await self.sessions.return_key()
        visitors = Visitors(self.db, self.sessions, self.token_uses, self.clock)
        assets = manifest.load()
        pages = Pages(core, assets)
        app = WebApp(visitors, self.audit, self.clock)
        app.add(
            ConsoleApi(pages, assets, visitors, key),
            DocumentsApi(assets, visitors, key),
            SessionsApi(self.sessions, visitors, pages, self.clock, key),
            OwnAccountApi(self.sessions, visitors, pages, key),
            UsersApi(self.db, self.clock),
            TokensApi(self.db, self.clock),
            AuditApi(self.audit, {TrailOwner.CORE: core, TrailOwner.RESOLVER: resolver}),
            CoreApi(core, EnrolmentThrottle(self.db, self.clock)),
            ResolverApi(resolver, core),
            RegistersApi(self.registers),
            RepositoryApi(self.uploads, core, self.repository, settings),
        )
        app.check()
        return app

    async def _listen(self, app: WebApp) -> None:
        settings = self.settings
        self.certificate, key = self._certificate()
        self._tls = tls.ServerCertificate(self.certificate, key)
        addresses = PublicAddresses(settings.public_host, lambda: self.https_port, self._tls)
        gate = HttpsGate(app, addresses, serve_plain=settings.plain_http == "serve")
        most = settings.connections_per_address
        https = HttpListener(gate, settings.host, settings.https_port, tls=self._tls.context, per_address=most)
        plain = HttpListener(gate, settings.host, settings.port, per_address=most)
        for listener in (https, plain):
            await listener.start()
            self._listeners.append(listener)
        self.https_port, self.port = https.port, plain.port

    def _certificate(self) -> tuple[Path, Path]:
        settings = self.settings
        if settings.certificate_file is None:
            return tls.ensure_certificate(settings.data / "web-tls", now=self.clock.now())
        if settings.certificate_key_file is None:
            raise StartError("certificate_file is set: set certificate_key_file too")
        return settings.certificate_file, settings.certificate_key_file

    def _client(self, url: str, token_file: Path, what: str) -> HttpClient:
        try:
            client = HttpClient(
                url, read_secret(token_file, what), calling_of(self.settings), self.settings.call_timeout_s, pool=64
            )
        except ValueError as error:
            raise StartError(str(error)) from None
        self._clients.append(client)
        return client

    async def _keep_registering(self) -> None:
        await self._try(self.registers.resume(everything=True))
        while True:
            await asyncio.sleep(RESUME_EVERY_S)
            await self._try(self.registers.resume())

    async def _keep_sweeping(self) -> None:
        while True:
            for sweep in (
                self.uploads.sweep,
                self.sessions.sweep,
                self.token_uses.write,
                self.registers.forget_old,
                self._first.forget_when_used,
            ):
                await self._try(sweep())
            await self._try(self.audit.take_up(self.clock.now()))
            await asyncio.sleep(min(SWEEP_EVERY_S, self.settings.upload_note_s))

    async def _keep_certificate(self) -> None:
        looked_at: datetime | None = None
        while True:
            now = self.clock.now()
            # The clock may have been set since the last check.
            if looked_at is None or abs(now - looked_at) >= LOOK_EVERY:
                await asyncio.to_thread(self._look_after_certificate)
                looked_at = now
            await asyncio.sleep(CERTIFICATE_EVERY_S)
            await asyncio.to_thread(self._tls.refresh)

    def _look_after_certificate(self) -> None:
        certificate, _ = self._certificate()  # our own certificate is renewed here when it is about to expire
        left = tls.time_left(certificate, self.clock.now())
        if left < ENDS_SOON:
            self._log.warning("certificate_ends_soon", certificate=str(certificate), days=left.days)

    async def _try(self, work: Coroutine[Any, Any, None]) -> None:  # Any: what a coroutine yields
        try:
            await work
        except Exception as error:  # noqa: BLE001 - one piece of work must not hold the others up: the next round is soon
            is_known = isinstance(error, (SotaError, OSError))
            self._log.warning("background_work_waits", reason=str(error), exc_info=None if is_known else error)
