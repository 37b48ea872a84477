"""The Software Loading Manager as a program: assembles its parts and runs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from sota.boundaries.b10_client_slm.client import ClientForSlm
from sota.boundaries.binding.app import App
from sota.boundaries.binding.service_credentials import ServiceCredentials, keep_secret
from sota.boundaries.interaction import Program
from sota.boundaries.table import rows_for
from sota.boundaries.values import short_vin
from sota.kit.errors import SotaError, StartError
from sota.kit.files.durable import private_folder
from sota.kit.http.network import Listener, Network
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier
from sota.kit.runtime.program import Background
from sota.kit.runtime.settings import read_secret
from sota.kit.sql.local_threads import Threads
from sota.slm.api import PackagesApi, UpdatesApi
from sota.slm.boot import Boot
from sota.slm.configured_commands import confine_configured_commands
from sota.slm.consent import Consents
from sota.slm.consent_api import ConsentApi
from sota.slm.incoming_files import IncomingFiles
from sota.slm.installation import Installation
from sota.slm.installers import Capability, Installer, InstallerFailed, Place
from sota.slm.installers.loading import load
from sota.slm.journal import Journal
from sota.slm.preconditions import Preconditions
from sota.slm.reports import ReportSender, StageSender
from sota.slm.running_time import RunningTime
from sota.slm.settings import SlmSettings
from sota.slm.step_runner import StepRunner
from sota.slm.update_queue import UpdateQueue


class SlmProgram:
    """Runs beside the SOTA Client in each vehicle."""

    name = "slm"

    def __init__(
        self,
        settings: SlmSettings,
        *,
        network: Network | None = None,
        threads: Threads | None = None,
        installers: Sequence[Installer] | None = None,
        runner: StepRunner | None = None,
    ) -> None:
        """Assemble the program.

        ``network`` and ``threads`` belong to a process that many vehicles share. ``installers`` and ``runner`` replace
        the real ones in a simulated vehicle.
        """
        self.settings = settings = confine_configured_commands(settings)
        self._network = network or Network()
        self._credentials = ServiceCredentials.load(settings.credentials_file)
        token = read_secret(settings.client_token_file, "token for the SOTA Client")
        self._http = self._network.client(settings.client_url, token)
        client = ClientForSlm(self._http)
        data = settings.data.resolve()
        self._notifier = Notifier()
        journal = self._journal = Journal(data, threads)
        journal.database.on_begun_again = self._begin_again
        self._incoming = IncomingFiles(journal, data / "arriving", settings.quota_bytes, self._notifier)
        self._has_processes = runner is None
        self._runner = runner = runner or StepRunner(
            data / "steps", timeout_s=settings.install_timeout_s, output_limit=settings.output_bytes
        )
        self._running = RunningTime(journal.database, settings.boot_id_file)
        preconditions = Preconditions(settings, journal, self._running)
        boot = Boot(settings, self._running, preconditions.why_not_boot)
        self._installers = load_installers(settings) if installers is None else list(installers)
        check_boot(boot, self._installers)
        self._installation = Installation(settings, journal, self._installers, runner, boot, preconditions)
        self._consents = Consents(settings, journal, self._running)
        self._reports = ReportSender(settings, journal, client, self._notifier)
        self._stages = StageSender(settings, journal, client)
        self._updates = UpdateQueue(
            settings, journal, self._incoming, self._installation, client, self._notifier, self._consents
        )
        self._background = Background()
        self._working: asyncio.Task[None] | None = None
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The port of the API."""
        return self._listener.port if self._listener else self.settings.port

    async def start(self) -> None:
        """Open the journal, continue what was interrupted, and listen."""
        private_folder(self.settings.data)
        await self._journal.database.open()
        if await self._journal.belong_to(self.settings.vin):
            get_logger(program="slm").warning("updates_of_another_vehicle_forgotten", vin=short_vin(self.settings.vin))
        await self._running.open()
        await self._journal.forget_old()
        await self._incoming.prepare()
        if self._has_processes:
            await self._installation.operations.clear()
            self._background.start("slm-steps", self._runner.tend())
        self._installation.prepare()
        secret = keep_secret(self.settings.data / "driver.secret")
        app = App("slm", rows_for(Program.SOFTWARE_LOADING_MANAGER), self._credentials.authenticator())
        app.add(
            UpdatesApi(self._updates, self._incoming),
            PackagesApi(self.settings, self._installers, self._journal),
            ConsentApi(self._consents, self._updates, secret),
        )
        app.check()
        self._listener = self._network.listener(app, self.settings.host, self.settings.port)
        await self._listener.start()
        self._background.keep("slm-reports", self._reports.run)
        self._background.keep("slm-stages", self._stages.run)
        self._working = self._background.start("slm-update_queue", self._updates.run())

    async def stop(self) -> None:
        """Stop. A running installer gets some time to finish; otherwise it runs on, and the next start continues it."""
        await asyncio.gather(self._let_installer_end(), *([self._listener.stop()] if self._listener else []))
        await self._background.stop()
        await self._incoming.close()
        with contextlib.suppress(SotaError):  # a full disk only makes a wait a little longer
            await self._running.save()
        await self._journal.database.close()
        await self._http.close()

    def _begin_again(self) -> None:
        """Continue with an empty journal: the damaged file was set aside."""
        self._background.start("slm-journal", self._journal.belong_to(self.settings.vin))
        self._notifier.notify()

    async def trouble(self) -> str | None:
        """Return why updates are not installed, or which background task fails."""
        if self._working is None or self._working.done():
            return "the update queue has stopped"
        return self._background.trouble()

    async def _let_installer_end(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.stop_wait_s):
                await self._installation.operations.stop()


def load_installers(settings: SlmSettings) -> list[Installer]:
    """Return the vehicle's installers.

    Raises:
        StartError: an installer does not exist, its options are invalid, or options name one that is not configured.
    """
    strange = sorted(set(settings.options) - set(settings.installers))
    if strange:
        raise StartError(f"slm: there are options for {', '.join(strange)}, which this vehicle does not have")
    data = settings.data.resolve() / "installers"
    return [
        load(name, Place(settings.root.resolve(), data / name, settings.options.get(name, {}), settings.lock_timeout_s))
        for name in dict.fromkeys(settings.installers)
    ]


def check_boot(boot: Boot, installers: Sequence[Installer]) -> None:
    """Check that a boot can be detected, if an installer needs one.

    Raises:
        StartError: the id of this boot cannot be read.
    """
    if any(Capability.NEEDS_BOOT in installer.capabilities for installer in installers):
        try:
            boot.note()
        except InstallerFailed as error:
            raise StartError(f"slm: {error.detail}") from None
