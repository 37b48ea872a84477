"""The Software Loading Manager as a program: puts its parts together and runs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from sota.boundaries.b10_client_slm.client import ClientForSlm
from sota.boundaries.binding.app import App
from sota.boundaries.binding.service_credentials import ServiceCredentials, keep_secret
from sota.boundaries.interaction import Program
from sota.boundaries.table import rows_for
from sota.kit.errors import SotaError, StartError
from sota.kit.files.durable import private_folder
from sota.kit.http.network import Listener, Network, TcpNetwork
from sota.kit.runtime.logging import get_logger, short_vin
from sota.kit.runtime.notifier import Notifier
from sota.kit.runtime.program import Background
from sota.kit.runtime.settings import read_secret
from sota.kit.sql.local_threads import Threads
from sota.slm.api import DownloadsApi, PackagesApi, UpdatesApi
from sota.slm.backups import Backups
from sota.slm.boot import Boot
from sota.slm.configured_commands import confine_own_commands
from sota.slm.consent import Consents, Limits
from sota.slm.consent_api import ConsentApi, DriverPageApi
from sota.slm.images.installation import ImageInstallation, Trust
from sota.slm.incoming_files import IncomingFiles
from sota.slm.installation import Installation
from sota.slm.installers import Capability, Installer, InstallerFailed, Place
from sota.slm.installers.loading import load
from sota.slm.journal import Journal
from sota.slm.operation import OperationRunner
from sota.slm.preconditions import Preconditions
from sota.slm.reports import ReportSender
from sota.slm.running_time import RunningTime
from sota.slm.settings import SlmSettings
from sota.slm.stages import StageSender
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
        """Put the parts together.

        ``network`` and ``threads`` are those of a process that many vehicles share; ``installers`` and ``runner``
        replace the real ones where a vehicle is simulated.
        """
        settings = confine_own_commands(settings)
        self.settings = settings
        self._network: Network = network or TcpNetwork()
        self._credentials = ServiceCredentials.load(settings.credentials_file)
        token = read_secret(settings.client_token_file, "token for the SOTA Client")
        self._http = self._network.client(settings.client_url, token)
        client = ClientForSlm(self._http)
        data = settings.data.resolve()
        notifier = Notifier()
        self._journal = Journal(data, threads)
        self._journal.database.on_begun_again = self._begin_again
        self._incoming = IncomingFiles(self._journal, data / "arriving", settings.quota_bytes, notifier)
        self._has_processes = runner is None
        runner = runner or StepRunner(
            data / "steps", timeout_s=settings.install_timeout_s, output_limit=settings.output_bytes
        )
        self._running = RunningTime(self._journal.database, settings.boot_id_file)
        conditions = Preconditions(settings, self._journal, self._running)
        boot = Boot(
            settings.boot_id_file,
            settings.reboot,
            settings.boot_timeout_s,
            running=self._running,
            why_not=conditions.why_not_boot,
            retry_s=settings.precondition_retry_s,
        )
        operations = self._operations = OperationRunner(
            self._journal, runner, boot, settings.health_check, settings.lock_timeout_s
        )
        self._installers: list[Installer] = load_installers(settings) if installers is None else list(installers)
        by_name = {installer.name: installer for installer in self._installers}
        kept = Backups(data / "kept", self._journal)
        check_boot(boot, self._installers)
        self._images = ImageInstallation(
            self._journal,
            by_name,
            operations,
            kept,
            Trust(settings.keys, settings.allow_unsigned_images),
            data / "taken-out",
            settings.image_commands,
        )
        self._installation = Installation(
            self._journal,
            by_name,
            operations,
            self._images,
            conditions,
            vin=settings.vin,
            allow_downgrade=settings.allow_downgrade,
        )
        self._notifier = notifier
        self._reporter = ReportSender(
            self._journal, client, notifier, retry_s=settings.retry_s, retry_max_s=settings.retry_max_s
        )
        limits = Limits(settings.max_deferrals, settings.max_defer_s, settings.defer_s)
        self._stages = StageSender(
            self._journal, client, settings.vin, retry_s=settings.retry_s, retry_max_s=settings.retry_max_s
        )
        self._consents = Consents(self._journal, limits, self._running)
        self._update_queue = UpdateQueue(
            settings, self._journal, self._incoming, self._installation, client, notifier, self._consents
        )
        self._background = Background()
        self._working: asyncio.Task[None] | None = None
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._listener.port if self._listener else self.settings.port

    async def start(self) -> None:
        """Open the journal, take up what was under way, and listen."""
        private_folder(self.settings.data)
        if await self._journal.open_for(self.settings.vin):
            get_logger(program="slm").warning("updates_of_another_vehicle_forgotten", vin=short_vin(self.settings.vin))
        await self._running.open()
        await self._journal.forget_old()
        await self._incoming.prepare()
        if self._has_processes:
            await self._operations.clear()
            self._background.start("slm-steps", self._operations.tend())
        self._installation.prepare()
        secret = keep_secret(self.settings.data / "driver.secret")
        app = App("slm", rows_for(Program.SOFTWARE_LOADING_MANAGER), self._credentials.authenticator())
        app.add(
            UpdatesApi(self._update_queue),
            DownloadsApi(self._update_queue, self._incoming),
            PackagesApi(self.settings.vin, self._installers, self._images.store, self.settings.firmware_command),
            ConsentApi(self._consents, self._update_queue),
            DriverPageApi(self._consents, self._update_queue, secret),
        )
        app.check()
        self._listener = self._network.listener(app, self.settings.host, self.settings.port)
        await self._listener.start()
        self._background.keep("slm-reporter", self._reporter.run)
        self._background.keep("slm-stages", self._stages.run)
        self._working = self._background.start("slm-update_queue", self._update_queue.run())

    async def stop(self) -> None:
        """End. An installer at work gets some time to end too; then it runs on and the next start picks it up."""
        await asyncio.gather(self._let_installer_end(), *([self._listener.stop()] if self._listener else []))
        await self._background.stop()
        await self._incoming.close()
        with contextlib.suppress(SotaError):  # a full disk: waits get a little longer
            await self._running.save()
        await self._journal.close()
        await self._http.close()

    def _begin_again(self) -> None:
        """Go on with an empty journal, since the file was damaged and is set aside."""
        self._background.start("slm-journal", self._remember())
        self._notifier.notify()

    async def _remember(self) -> None:
        await self._journal.belong_to(self.settings.vin)

    async def trouble(self) -> str | None:
        """Return why updates are not worked off, or which background task fails."""
        if self._working is None or self._working.done():
            return "updates are not worked off"
        return self._background.trouble()

    async def _let_installer_end(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.stop_wait_s):
                await self._installation.rest()


def load_installers(settings: SlmSettings) -> list[Installer]:
    """Find the vehicle's installers.

    Raises:
        StartError: one does not exist, or its options do not fit, or there are options of none.
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
    """Make sure that a boot can be noticed where an installer needs one: nobody could tell later what will run.

    Raises:
        StartError: the id of this boot cannot be read.
    """
    if any(Capability.NEEDS_BOOT in installer.capabilities for installer in installers):
        try:
            boot.note()
        except InstallerFailed as error:
            raise StartError(f"slm: {error.detail}") from None
